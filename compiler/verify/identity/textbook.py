"""The textbook's equations on residues modulo primes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from cortico.ir import UnsupportedError
from cortico.ir.circuit import resolve
from cortico.spec.weights import required_shapes
from cortico.spec.wiring import Block
from cortico.verify.equations.arrays import Factor, all_axes
from cortico.verify.equations.blocks import Book
from cortico.verify.equations.evaluate import Evaluation
from cortico.verify.equations.reference import Textbook, book
from cortico.verify.identity.finite_field import Draw, add, contract


class OfTextbook:
    """The output that the textbook gives for a draw. `frequencies` are rotary ones."""

    divisors = 0  #: none where a bound of the error is known

    def __init__(
        self,
        spec: Block,
        symbols: Mapping[str, int],
        frequencies: np.ndarray | None,
        draw: Draw,
    ) -> None:
        page = book(spec)
        extents = page.extents()
        self._sizes = {sort: resolve(extent, symbols) for sort, extent in extents.items()}
        self._equations = page.equations()
        self._residues = Residues(draw, page, self._sizes, frequencies)

    def outputs(self) -> dict[str, Factor]:
        evaluation = Evaluation(self._equations, self._sizes)
        return {name: evaluation.of(name, self._residues) for name in self._equations.outputs}


class Residues:
    """Arithmetic at one level of a chain of fields, on the tensors of a draw."""

    def __init__(
        self,
        draw: Draw,
        page: Textbook | Book,
        sizes: Mapping[str, int],
        frequencies: np.ndarray | None,
        level: int = 0,
    ) -> None:
        self._draw, self._book, self._sizes = draw, page, sizes
        self._sides, self._shapes = page.given(), required_shapes(page.spec)
        self._frequencies, self._level = frequencies, level
        self._field = draw.fields[level]
        self._exponents: Residues | None = None

    @property
    def exponents(self) -> Residues:
        """The next level, one for all that ask."""
        if self._exponents is None:
            known = (self._draw, self._book, self._sizes, self._frequencies)
            self._exponents = Residues(*known, self._level + 1)
        return self._exponents

    def number(self, value: Fraction) -> Factor:
        """A decimal stands for the float that a circuit has as its gain."""
        return Factor(np.array(self._field.number(float(value))), ())

    def power(self, size: int, exponent: Fraction) -> Factor:
        return Factor(np.array(self._field.power_of(size, exponent)), ())

    def whole(self, numbers: np.ndarray, axes: tuple[str, str]) -> Factor:
        return Factor(self._field.reduce(numbers.astype(np.float64)), axes)

    def given(self, tensor: str, axes: tuple[str, ...]) -> Factor:
        sides = tuple(self._sizes[sort] for sort in self._sides[tensor])
        if tensor == "keep":
            return Factor(self._draw.mask(tensor, sides), axes)
        if isinstance(self._book, Book) and tensor in self._book.of_positions():
            return self._of_positions(self._book.of_positions()[tensor], sides, axes)
        if tensor not in self._shapes:
            return Factor(self._draw.tensor(tensor, sides, self._level), axes, 1)
        return Factor(self._book.arranged(tensor, self._drawn(tensor)), axes, 1)

    def _drawn(self, tensor: str) -> np.ndarray:
        """A tensor of the spec."""
        shape = tuple(int(extent) for extent in self._shapes[tensor])
        return self._draw.tensor(tensor, shape, self._level)

    def _of_positions(
        self, table: str | None, sides: tuple[int, ...], axes: tuple[str, ...]
    ) -> Factor:
        """The first rows of a table, or what is 1 for the first token."""
        if table is None:
            return Factor((np.arange(*sides) == 0) * 1.0, axes)
        rows = self._drawn(table)
        if len(rows) < sides[0]:
            raise UnsupportedError(f"{table} has {len(rows)} rows, for {sides[0]} tokens")
        return Factor(rows[: sides[0]], axes, 1)

    def turns(self, frequencies: str, tokens: int) -> tuple[np.ndarray, np.ndarray]:
        assert isinstance(self._book, Textbook)
        own = self._book.frequencies(self._frequencies)
        return self._draw.turns(own, tokens, self._level)

    def contract(self, factors: Sequence[Factor], gone: Mapping[str, int]) -> Factor:
        axes = all_axes(factors)
        ones = [Factor(np.ones(n), (axis,)) for axis, n in gone.items() if axis not in axes]
        left = [axis for axis in axes if axis not in gone]
        return contract(self._field, [*factors, *ones], left)

    def add(self, terms: Sequence[Factor]) -> Factor:
        return add(self._field, terms, all_axes(terms))

    def apply(self, function: str, argument: Factor) -> Factor:
        array, axes, above, below = argument
        if function == "inverse":
            return Factor(self._field.inverse(array), axes, below, above)
        return Factor(self._draw.transferred(function, array, self._level), axes)
