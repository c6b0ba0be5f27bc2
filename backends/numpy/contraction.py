"""Sums of products: in which order to multiply, and when to divide."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from cortico.backends.numpy.program import Program, pair_code, sum_code
from cortico.backends.numpy.terms import Product, Variable, indexed, transposed

#: Size assumed for a symbolic axis when the cost of contraction orders is compared.
NOMINAL_SIZE = 1024

#: Entries of an array from which on NumPy refuses even its shape.
_LARGEST = 2**59


class Contraction:
    """Contracts one product onto the axes `onto`, adding statements to a program.

    Pairs of factors are multiplied in the order that NumPy's einsum_path finds cheapest. A divisor
    divides as late as it can: just before one of its axes would be summed, or at the end.
    """

    def __init__(
        self, program: Program, product: Product, onto: tuple[str, ...], sizes: Mapping[str, int]
    ) -> None:
        self.program, self.onto, self.sizes = program, onto, sizes
        self.factors = list(product.factors)
        self.divisors = list(product.divisors)

    def result(self, name: str, gain: str = "") -> Variable:
        """The variable that holds `gain` times the contracted product, axes in the order `onto`."""
        path = _cheapest_path(self.factors, self.onto, self.sizes)
        for step, pair in enumerate(path, start=1):
            first, second = (self.factors[k] for k in pair)
            rest = [f for k, f in enumerate(self.factors) if k not in pair]
            kept = self._needed(first, second, rest)
            first, second = self._divide_early(first, second, kept)
            code, axes = pair_code(self.program, first, second, kept)
            done = step == len(path) and not self.divisors and axes == self._ordered(axes)
            if done and gain:
                code, gain = f"{gain} * ({code})", ""
            batched = first.batched or second.batched
            label = name if done else "partial"
            self.factors = [*rest, self.program.assign(label, code, axes, batched)]
        (last,) = self.factors
        variable = self._finished(name, last)
        if gain:
            code = f"{gain} * {variable.code}"
            return self.program.assign(name, code, variable.axes, variable.batched)
        return variable

    def _needed(self, first: Variable, second: Variable, rest: list[Variable]) -> tuple[str, ...]:
        """Axes that the product of a pair must keep: in the result's order at the end, else the circuit's."""
        later = {axis for factor in rest for axis in factor.axes} | set(self.onto)
        kept = ({*first.axes} | {*second.axes}) & later
        order = list(self.sizes) if kept - set(self.onto) else self.onto
        return tuple(axis for axis in order if axis in kept)

    def _divide_early(
        self, first: Variable, second: Variable, kept: tuple[str, ...]
    ) -> tuple[Variable, Variable]:
        vanishing = ({*first.axes} | {*second.axes}) - {*kept}
        for divisor in list(self.divisors):
            if vanishing & set(divisor.axes):
                if set(divisor.axes) <= set(first.axes) or not set(divisor.axes) <= set(
                    second.axes
                ):
                    first = self._divided(first, divisor)
                else:
                    second = self._divided(second, divisor)
                self.divisors.remove(divisor)
        return first, second

    def _divided(self, variable: Variable, divisor: Variable, name: str = "ratio") -> Variable:
        extra = tuple(axis for axis in divisor.axes if axis not in variable.axes)
        axes = (*extra, *variable.axes)
        code = quotient_code(self.program, indexed(variable, axes), indexed(divisor, axes))
        return self.program.assign(name, code, axes, variable.batched or divisor.batched)

    def _finished(self, name: str, variable: Variable) -> Variable:
        for divisor in list(self.divisors):
            if set(divisor.axes) - set(self.onto):
                variable = self._divided(variable, divisor)
                self.divisors.remove(divisor)
        if set(variable.axes) - set(self.onto):
            kept = tuple(axis for axis in self.onto if axis in variable.axes)
            variable = self.program.assign(name, sum_code(variable, kept), kept, variable.batched)
        for divisor in self.divisors:
            variable = self._divided(variable, divisor, name)
        ordered = self._ordered(variable.axes)
        if variable.axes != ordered:
            code = transposed(variable, ordered)
            variable = self.program.assign(name, code, ordered, variable.batched)
        return variable

    def _ordered(self, axes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(axis for axis in self.onto if axis in axes)


def quotient_code(program: Program, numerator: str, divisor: str) -> str:
    """Code for a division that gives zero where the divisor is zero."""
    return program.call("divide", f"{numerator}, {divisor}")


def _cheapest_path(
    factors: list[Variable], onto: tuple[str, ...], sizes: Mapping[str, int]
) -> list[tuple[int, int]]:
    """Pairs of positions to multiply one after another; each product goes to the end of the list."""
    if len(factors) < 2:
        return []
    # arrays without memory of their own: einsum_path looks only at shapes, which NumPy limits
    largest = max(math.prod(sizes[axis] for axis in factor.axes) for factor in factors)
    limit = largest if largest < _LARGEST else NOMINAL_SIZE // 2
    shapes = [[min(sizes[axis], limit) for axis in factor.axes] for factor in factors]
    blanks = [np.broadcast_to(0.0, shape) for shape in shapes]
    inputs = ",".join("".join(factor.axes) for factor in factors)
    reachable = "".join(a for a in onto if any(a in f.axes for f in factors))
    plan, _ = np.einsum_path(f"{inputs}->{reachable}", *blanks, optimize=("optimal", 2**62))
    steps = plan[1:]
    if any(len(step) != 2 for step in steps):  # all at once: no order is cheaper than another
        return [(0, 1)] * (len(factors) - 1)
    return [(first, second) for first, second in steps]
