"""Equations on numbers: what their tensors are at given sizes, over any kind of numbers.

`evaluate` is in float64: for counterexamples, and for gradients. Residues modulo primes are in
`cortico.verify.identity.textbook`, SymPy expressions in `cortico.verify.exact.textbook`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Protocol

import numpy as np

from cortico.ir.transfer import TRANSFERS
from cortico.verify.equations.arrays import Factor, all_axes, renamed, spread
from cortico.verify.equations.language import (
    OFFSET,
    SLOPE,
    Add,
    Apply,
    Equations,
    Expression,
    Index,
    Number,
    Product,
    Read,
    Size,
    Sum,
    Within,
)

Sizes = Mapping[str, int]
Arrays = dict[str, np.ndarray]


class Arithmetic(Protocol):
    """Numbers of one kind, and what equations do with arrays of them."""

    @property
    def exponents(self) -> Arithmetic:
        """The numbers that `exp` takes to these."""

    def number(self, value: Fraction) -> Factor:
        """A number that stands in an equation."""

    def power(self, size: int, exponent: Fraction) -> Factor:
        """`size ** exponent`."""

    def whole(self, numbers: np.ndarray, axes: tuple[str, str]) -> Factor:
        """Whole numbers."""

    def given(self, tensor: str, axes: tuple[str, ...]) -> Factor:
        """A given tensor, its sides called `axes`."""

    def turns(self, frequencies: str, tokens: int) -> tuple[np.ndarray, np.ndarray]:
        """Cosine and sine of `token · frequency`, each (tokens, frequencies)."""

    def contract(self, factors: Sequence[Factor], gone: Sizes) -> Factor:
        """The product of `factors`, summed over the axes `gone`, which have these sizes."""

    def add(self, terms: Sequence[Factor]) -> Factor:
        """The sum of `terms`."""

    def apply(self, function: str, argument: Factor) -> Factor:
        """A function of each number; `exp` is of one of the `exponents`."""


class Evaluation:
    """The tensors of equations at sizes of sorts, each computed once for each kind of numbers."""

    def __init__(self, equations: Equations, sizes: Sizes) -> None:
        self._formulas, self._sizes = equations.formulas, sizes
        self._definitions = {each.tensor: each for each in equations.definitions}
        self._known: dict[tuple[Arithmetic, str, int], Factor] = {}
        for name in self._formulas:
            if any(sizes[sort] != 2 for sort in equations.given[name][2:]):
                raise ValueError("a rotation turns two components")

    def of(self, tensor: str, over: Arithmetic) -> Factor:
        """A defined tensor, over all indices of its definition."""
        if (over, tensor, 0) not in self._known:
            definition = self._definitions[tensor]
            axes = tuple(index.name for index in definition.indices)
            shape = tuple(self._sizes[index.sort] for index in definition.indices)
            found = self._value(definition.body, over)
            whole = np.broadcast_to(spread(found, axes), shape)
            self._known[over, tensor, 0] = found._replace(array=whole, axes=axes)
        return self._known[over, tensor, 0]

    def _value(self, expression: Expression, over: Arithmetic) -> Factor:
        match expression:
            case Number(value):
                return over.number(value)
            case Size(sort, exponent):
                return over.power(self._sizes[sort], exponent)
            case Read(tensor, (i, j)) if tensor == OFFSET:
                return self._compared(j, i, lambda away: away, over)
            case Read(tensor, indices):
                return self._read(tensor, indices, over)
            case Within(left, right, offset):
                return self._compared(left, right, lambda away: away <= offset, over)
            case Sum(indices, body):
                gone = {index.name: self._sizes[index.sort] for index in indices}
                parts = body.factors if isinstance(body, Product) else (body,)
                return over.contract([self._value(part, over) for part in parts], gone)
            case Product(parts):
                return over.contract([self._value(part, over) for part in parts], {})
            case Add(parts):
                return over.add([self._value(part, over) for part in parts])
            case Apply(function, argument):
                inner = over.exponents if function == "exp" else over
                return over.apply(function, self._value(argument, inner))
        raise TypeError(f"no expression: {expression!r}")

    def _compared(
        self, one: Index, other: Index, of: Callable[[np.ndarray], np.ndarray], over: Arithmetic
    ) -> Factor:
        """A function of how much an index is more than another."""
        rows, columns = (np.arange(self._sizes[index.sort]) for index in (one, other))
        found = of(np.subtract.outer(rows, columns)).astype(np.int64)
        return renamed(over.whole(found, ("one", "other")), (one.name, other.name))

    def _read(self, tensor: str, indices: tuple[Index, ...], over: Arithmetic) -> Factor:
        names = tuple(index.name for index in indices)
        if tensor in self._formulas:
            return renamed(self._turned(tensor, self._sizes[indices[0].sort], over), names)
        if tensor in self._definitions:
            return renamed(self.of(tensor, over), names)
        if (over, tensor, 0) not in self._known:
            sides = tuple(map(str, range(len(names))))
            self._known[over, tensor, 0] = over.given(tensor, sides)
        return renamed(self._known[over, tensor, 0], names)

    def _turned(self, tensor: str, tokens: int, over: Arithmetic) -> Factor:
        """`R[t, p] = [[cos, -sin], [sin, cos]](t · frequencies[p])`."""
        if (over, tensor, tokens) not in self._known:
            cos, sin = over.turns(self._formulas[tensor].arguments[0], tokens)
            rows = np.stack([cos, -sin], -1), np.stack([sin, cos], -1)
            sides = ("0", "1", "2", "3")
            self._known[over, tensor, tokens] = Factor(np.stack(rows, -2), sides, 1)
        return self._known[over, tensor, tokens]


# ---- in float64 ----------------------------------------------------------------------------------


def evaluate(equations: Equations, sizes: Sizes, given: Mapping[str, np.ndarray]) -> Arrays:
    """Every tensor that is given or defined, at sizes of sorts, in float64.

    `given` has an array for each given tensor that no formula makes. ValueError when a rotation is
    asked for other than two components.
    """
    tensors, floats = dict(given), Floats(given)
    evaluation = Evaluation(equations, sizes)
    for each in equations.definitions:
        tensors[each.tensor] = evaluation.of(each.tensor, floats).array
    return tensors


def at_positions(
    made: Mapping[str, str | None], given: Mapping[str, np.ndarray], tokens: int
) -> Arrays:
    """Given tensors that positions make: the first rows of a table; without one what is 1 for the first token."""
    first = (np.arange(tokens) == 0).astype(float)
    return {n: first if table is None else given[table][:tokens] for n, table in made.items()}


class Floats:
    """Arithmetic on arrays of floats."""

    def __init__(self, given: Mapping[str, np.ndarray]) -> None:
        self._given = given

    @property
    def exponents(self) -> Floats:
        return self

    def number(self, value: Fraction) -> Factor:
        return Factor(np.asarray(float(value)), ())

    def power(self, size: int, exponent: Fraction) -> Factor:
        return Factor(np.asarray(float(size) ** float(exponent)), ())

    def whole(self, numbers: np.ndarray, axes: tuple[str, str]) -> Factor:
        return Factor(numbers.astype(float), axes)

    def given(self, tensor: str, axes: tuple[str, ...]) -> Factor:
        return Factor(np.asarray(self._given[tensor], np.float64), axes)

    def turns(self, frequencies: str, tokens: int) -> tuple[np.ndarray, np.ndarray]:
        angles = np.arange(tokens)[:, None] * self._given[frequencies]
        return np.cos(angles), np.sin(angles)

    def contract(self, factors: Sequence[Factor], gone: Sizes) -> Factor:
        whole = _combined(np.multiply, 1.0, factors)
        for name, size in gone.items():
            whole = _summed(whole, name, size)
        return whole

    def add(self, terms: Sequence[Factor]) -> Factor:
        return _combined(np.add, 0.0, terms)

    def apply(self, function: str, argument: Factor) -> Factor:
        return argument._replace(array=_FUNCTIONS[function](argument.array))


def _summed(value: Factor, name: str, size: int) -> Factor:
    if name not in value.axes:
        return value._replace(array=value.array * size)
    axis = value.axes.index(name)
    return Factor(value.array.sum(axis=axis), value.axes[:axis] + value.axes[axis + 1 :])


def _combined(operation: np.ufunc, start: float, parts: Sequence[Factor]) -> Factor:
    axes = all_axes(parts)
    total: np.ndarray = np.asarray(start)
    for part in parts:
        total = operation(total, spread(part, axes))
    shape = np.broadcast_shapes(total.shape, (1,) * len(axes))
    return Factor(np.broadcast_to(total, shape), axes)


def _inverse(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(1.0, x, out=np.zeros(np.shape(x)), where=x != 0))


def _step(x: np.ndarray) -> np.ndarray:
    return (x > 0).astype(float)


def _slope(name: str, x: np.ndarray) -> np.ndarray:
    """The slope of a transfer function, as the table writes it."""
    functions = {each: transfer.evaluate for each, transfer in TRANSFERS.items()}
    known = {**functions, "step": _step, "sqrt": np.sqrt, "pi": np.pi}
    transfer = TRANSFERS[name]
    return np.asarray(eval(transfer.slope, {**known, "x": x, "r": transfer.evaluate(x)}))


_FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    **{name: transfer.evaluate for name, transfer in TRANSFERS.items()},
    **{f"{name}{SLOPE}": partial(_slope, name) for name in TRANSFERS},
    "inverse": _inverse,
    "step": _step,
}


def draw(equations: Sequence[Equations], sizes: Sizes, seed: int) -> Arrays:
    """Small random numbers for all given tensors of several systems, the same for each name."""
    rng = np.random.default_rng(seed)
    found: Arrays = {}
    for system in equations:
        for name, sides in system.given.items():
            if name not in found and name not in system.formulas:
                shape = tuple(sizes[sort] for sort in sides)
                is_mask = name in system.masks
                found[name] = _random_bits(rng, shape) if is_mask else _random(rng, shape)
    return found


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Halves between -2 and 2 without zero, so that a reader can follow the sums."""
    whole = rng.integers(1, 5, shape) * rng.choice([-1, 1], shape)
    return np.asarray(whole / 2.0)


def _random_bits(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros and ones; not all zero, and not all one where there are several."""
    bits = rng.integers(0, 2, math.prod(shape))
    bits[:1] = 1
    bits[1:2] = 0
    return np.asarray(rng.permutation(bits).reshape(shape), dtype=float)
