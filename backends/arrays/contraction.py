"""Sums of products: in which order to multiply, and when to divide."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from cortico.backends.arrays.operations import (
    Contract,
    Divide,
    Multiply,
    Numbers,
    Scale,
    Select,
    Sum,
)
from cortico.backends.arrays.program import Program
from cortico.backends.arrays.variables import Product, Variable, in_order
from cortico.backends.arrays.writer import Writer

#: Size assumed for a symbolic axis when the cost of contraction orders is compared.
NOMINAL_SIZE = 1024

#: Entries of an array from which on NumPy refuses even its shape.
_LARGEST = 2**59


#: Factors of which all orders are tried: 6 take 30 ms, 7 a second, 8 a minute.
_MOST_ORDERED = 6


class Contraction:
    """Contracts one product onto the axes `onto`, adding statements to a program.

    Pairs of factors are multiplied in the order that NumPy's einsum_path finds cheap. A divisor
    divides as late as it can: just before one of its axes would be summed, or at the end. `bounds`
    are arrays of booleans: where one meets an array over its axes, it selects.
    """

    def __init__(
        self,
        program: Program,
        product: Product,
        bounds: tuple[Variable, ...],
        onto: tuple[str, ...],
        sizes: Mapping[str, int],
    ) -> None:
        self.program, self.onto, self.sizes, self.bounds = program, onto, sizes, bounds
        self.factors = [*product.factors, *bounds]
        self.divisors = list(product.divisors)

    def result(self, name: str, gain: str = "") -> Variable:
        """The variable that holds `gain` times the contracted product.

        Its axes are those of `onto` on which it depends, in the order that costs nothing.
        """
        path = _cheap_path(self.factors, self.onto, self.sizes)
        for step, pair in enumerate(path, start=1):
            first, second = (self.factors[k] for k in pair)
            rest = [f for k, f in enumerate(self.factors) if k not in pair]
            first, second = self._divide_early(first, second, rest)
            kept = self._needed(first, second, rest)
            done = step == len(path) and not self.divisors
            label = name if done else "partial"
            product = self._multiplied(label, first, second, kept, gain if done else "")
            gain = "" if done else gain
            self.factors = [*rest, product]
        (last,) = self.factors
        variable = self._finished(name, last)
        if gain:
            return self.program.assign(name, Scale(gain), variable.axes, [variable])
        return variable

    def _needed(self, first: Variable, second: Variable, rest: list[Variable]) -> tuple[str, ...]:
        """Axes that the product of a pair must keep: in the result's order at the end, else the circuit's."""
        later = {axis for factor in rest for axis in factor.axes} | set(self.onto)
        kept = ({*first.axes} | {*second.axes}) & later
        return in_order(kept, self.sizes if kept - set(self.onto) else self.onto)

    def _multiplied(
        self, name: str, first: Variable, second: Variable, kept: tuple[str, ...], gain: str
    ) -> Variable:
        """The product of a pair, summed over the axes that are not `kept`."""
        if second in self.bounds and {*second.axes} <= {*first.axes} <= {*kept}:
            return self._selected(name, first, second, gain)
        if first in self.bounds and {*first.axes} <= {*second.axes} <= {*kept}:
            return self._selected(name, second, first, gain)
        if second in self.bounds:
            first = self._number(first)
        first = self._sum_lonely(first, second, kept)
        second = self._sum_lonely(second, first, kept)
        if not {*first.axes} & {*second.axes} - {*kept}:
            if gain:
                first = self._number(first)
                first = self.program.assign("scaled", Scale(gain), first.axes, [first])
            return self.program.assign(name, Multiply(), kept, [first, second])
        _, axes = Writer(dict.fromkeys(self.sizes, "")).contracted(first, second, kept)
        return self.program.assign(name, Contract(gain), axes, [first, second])

    def _selected(self, name: str, value: Variable, bound: Variable, gain: str) -> Variable:
        if gain:
            value = self.program.assign("scaled", Scale(gain), value.axes, [value])
        return self.program.assign(name, Select(silent=False), value.axes, [value, bound])

    def _sum_lonely(self, variable: Variable, other: Variable, kept: tuple[str, ...]) -> Variable:
        """Sum the axes of `variable` that neither the other factor nor the result has."""
        axes = tuple(axis for axis in variable.axes if axis in other.axes or axis in kept)
        if axes == variable.axes:
            return variable
        return self.program.assign("total", Sum(), axes, [self._number(variable)])

    def _number(self, variable: Variable) -> Variable:
        """`variable`, as numbers where it is a bound."""
        if variable not in self.bounds:
            return variable
        return self.program.assign("inside", Numbers(), variable.axes, [variable])

    def _divide_early(
        self, first: Variable, second: Variable, rest: list[Variable]
    ) -> tuple[Variable, Variable]:
        """The pair over all divisors of which an axis is summed with it. A divisor brings its axes along."""
        while due := self._due(first, second, rest):
            axes = {*due.axes}
            if axes <= {*first.axes} or not axes <= {*second.axes}:
                first = self._divided(first, due)
            else:
                second = self._divided(second, due)
            self.divisors.remove(due)
        return first, second

    def _due(self, first: Variable, second: Variable, rest: list[Variable]) -> Variable | None:
        vanishing = ({*first.axes} | {*second.axes}) - {*self._needed(first, second, rest)}
        return next((d for d in self.divisors if vanishing & {*d.axes}), None)

    def _divided(self, variable: Variable, divisor: Variable, name: str = "ratio") -> Variable:
        variable = self._number(variable)
        extra = tuple(axis for axis in divisor.axes if axis not in variable.axes)
        return self.program.assign(name, Divide(), (*extra, *variable.axes), [variable, divisor])

    def _finished(self, name: str, variable: Variable) -> Variable:
        variable = self._number(variable)
        for divisor in list(self.divisors):
            if set(divisor.axes) - set(self.onto):
                variable = self._divided(variable, divisor)
                self.divisors.remove(divisor)
        if set(variable.axes) - set(self.onto):
            kept = in_order(variable.axes, self.onto)
            variable = self.program.assign(name, Sum(), kept, [variable])
        for divisor in self.divisors:
            variable = self._divided(variable, divisor, name)
        return variable


def _cheap_path(
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
    search = "optimal" if len(factors) <= _MOST_ORDERED else "greedy"
    plan, _ = np.einsum_path(f"{inputs}->{reachable}", *blanks, optimize=(search, 2**62))
    steps = plan[1:]
    if any(len(step) != 2 for step in steps):  # all at once: no order is cheaper than another
        return [(0, 1)] * (len(factors) - 1)
    return [(first, second) for first, second in steps]
