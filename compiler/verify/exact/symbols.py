"""SymPy expressions as exact numbers, and equality of expressions with exponentials.

Expressions are not expanded while they are built. To compare two, exponentials become powers of
symbols, one symbol per term of an exponent, so that exp(a - m) is exp(a) / exp(m); the difference is
brought over one denominator, and its numerator is expanded. How many terms that would give is counted
first: what is too large is refused, not begun.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import sympy

from cortico.ir import TRANSFERS, Circuit, Input, InputKind, Parameter, UnsupportedError
from cortico.ir.circuit import resolve
from cortico.verify.exact.circuit import Sizes
from cortico.verify.exact.ring import Number, Ring

#: Terms of one expansion, factors of all terms that one check compares, and multiplications of a circuit
#: to evaluate: what is within all three takes about two seconds.
MOST_TERMS = 4_000
MOST_WORK = 300_000
MOST_OPERATIONS = 300


class TooManyTermsError(UnsupportedError):
    """More terms than may be expanded."""

    def __init__(self) -> None:
        super().__init__("it is too large to expand in two seconds")


class Formal(Ring):
    """SymPy expressions. Floats are the rationals that they are."""

    name = "SymPy symbols"

    def rational(self, value: Fraction) -> Any:
        return sympy.Rational(value.numerator, value.denominator)

    def payload(self, value: object) -> Any:
        return value if isinstance(value, sympy.Expr) else super().payload(value)

    def add(self, first: Any, second: Any) -> Any:
        return first + second

    def subtract(self, first: Any, second: Any) -> Any:
        return first - second

    def multiply(self, first: Any, second: Any) -> Any:
        return first * second

    def divide(self, first: Any, second: Any) -> Any:
        return first / second

    def is_zero(self, payload: Any) -> bool:
        return bool(payload == 0)

    def rank(self, payload: Any) -> Any:
        """Any order will do: the text of the expanded expression."""
        return sympy.srepr(expanded(payload))

    def root(self, size: int, exponent: Fraction) -> Any:
        return sympy.Integer(size) ** self.rational(exponent)

    def exp(self, payload: Any) -> Any:
        return sympy.exp(expanded(payload))

    def opaque(self, function: str, payload: Any) -> Any:
        argument = expanded(payload)
        if function in TRANSFERS:
            return TRANSFERS[function].in_sympy(argument)
        return getattr(sympy, function)(argument)

    def random(self, draw: random.Random) -> Number:
        return self.number(sympy.Symbol(f"s{draw.getrandbits(60)}", real=True))


def expanded(expression: Any) -> Any:
    """The expanded expression. TooManyTermsError when it would have too many terms."""
    if terms(expression) > MOST_TERMS:
        raise TooManyTermsError
    return sympy.expand(expression)


def first_difference(pairs: Sequence[tuple[Any, Any]]) -> int | None:
    """The first pair that is not the same function. TooManyTermsError when that is too much to expand."""
    split = [tuple(map(split_exponentials, pair)) for pair in pairs]
    differences = [first - second for first, second in split]
    if sum(map(_work, differences)) > MOST_WORK:
        raise TooManyTermsError
    return next((k for k, each in enumerate(differences) if not _vanishes(each)), None)


def _work(difference: Any) -> int:
    """About how many factors are multiplied to expand a difference."""
    return 0 if difference == 0 else terms(difference) * len(difference.free_symbols)


def _vanishes(expression: Any) -> bool:
    numerator, _ = sympy.fraction(sympy.together(expression))
    return bool(sympy.expand(numerator) == 0)


def split_exponentials(expression: Any) -> Any:
    """Each exp(Σ c · t) as a product of powers E_t^c, c rational and E_t a positive symbol."""

    def powers(argument: Any) -> Any:
        pairs = [term.as_coeff_Mul() for term in sympy.Add.make_args(expanded(argument))]
        return sympy.Mul(*(sympy.Symbol(f"E[{t}]", positive=True) ** c for c, t in pairs))

    return expression.replace(sympy.exp, powers)


def terms(expression: Any) -> int:
    """At most how many terms the numerator of an expression has over its common denominator."""
    return _terms(expression, {})[0]


def _terms(
    expression: Any, seen: dict[Any, tuple[int, frozenset[Any]]]
) -> tuple[int, frozenset[Any]]:
    """Terms of the numerator, and the sums that are denominators."""
    if expression not in seen:
        seen[expression] = _counted(expression, seen)
    return seen[expression]


def _counted(
    expression: Any, seen: dict[Any, tuple[int, frozenset[Any]]]
) -> tuple[int, frozenset[Any]]:
    if expression.is_Mul:
        parts = [_terms(part, seen) for part in expression.args]
        return math.prod(count for count, _ in parts), frozenset().union(*(d for _, d in parts))
    if expression.is_Add:
        parts = [_terms(part, seen) for part in expression.args]
        union: frozenset[Any] = frozenset().union(*(d for _, d in parts))
        return sum(count * _width(union - own, seen) for count, own in parts), union
    if expression.is_Pow and expression.exp.is_Integer:
        count, below = _terms(expression.base, seen)
        if expression.exp > 0:
            return count ** int(expression.exp), below
        return _width(below, seen), frozenset([expression.base] if count > 1 else [])
    return 1, frozenset()


def _width(sums: frozenset[Any], seen: dict[Any, tuple[int, frozenset[Any]]]) -> int:
    """The terms of the product of these sums."""
    return math.prod(_terms(each, seen)[0] for each in sums)


# ---- tensors of symbols ----------------------------------------------------------------------------


def symbol_tensors(circuit: Circuit, symbols: Sizes, ring: Ring) -> dict[str, np.ndarray]:
    """A symbol `name[i, j]` for each entry of each input and each parameter without formula.

    What a 0/1 input says exists: its entries are 1.
    """
    tensors = {}
    plain = [p for p in circuit.parameters if p.formula is None]
    declared: list[Input | Parameter] = [*circuit.inputs, *plain]
    for tensor in declared:
        shape = tuple(resolve(side, symbols) for side in tensor.shape)
        is_mask = isinstance(tensor, Input) and tensor.kind is InputKind.MASK
        entries = np.ones(shape, int) if is_mask else symbol_array(tensor.name, shape)
        tensors[tensor.name] = ring.array(entries)
    return tensors


def symbol_array(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Real symbols `name[i, j]`, shape `shape`."""
    array = np.empty(shape, object)
    for index in np.ndindex(shape):
        array[index] = sympy.Symbol(f"{name}[{', '.join(map(str, index))}]", real=True)
    return array


def with_every_mask(
    circuit: Circuit, symbols: Sizes, tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The inputs among `tensors` with a batch axis: one example per 0/1 input of these sizes.

    TooManyTermsError when there are more than sixteen.
    """
    gates = [t for t in circuit.inputs if t.kind is InputKind.MASK]
    shapes = [tuple(resolve(side, symbols) for side in t.shape) for t in gates]
    bits = sum(map(math.prod, shapes))
    if bits > 4:
        raise TooManyTermsError
    patterns = np.array(list(itertools.product([True, False], repeat=bits)), bool)
    inputs, start = {}, 0
    for gate, shape in zip(gates, shapes, strict=True):
        stop = start + math.prod(shape)
        inputs[gate.name] = patterns[:, start:stop].reshape(-1, *shape)
        start = stop
    for tensor in circuit.inputs:
        if tensor.name not in inputs:
            inputs[tensor.name] = np.stack([tensors[tensor.name]] * len(patterns))
    return inputs
