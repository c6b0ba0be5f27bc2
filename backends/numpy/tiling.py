"""Which statements run tile by tile: those that hold arrays over pairs of tokens.

A tile is one area (and one example of the batch) at some consecutive query tokens. No array over all
pairs is ever made: each tile has its own few rows, reads the key tokens that its bounds allow, and
writes its rows of the arrays that the rest of the program reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cortico.backends.arrays.outside import summed_inside
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.numpy.operations import Own, Part, Project
from cortico.ir import Bound, Extent
from cortico.ir.domain import conjunction

#: Entries of an array that is small enough to be made whole, where its size is known.
_SMALL = 1 << 14


@dataclass(frozen=True)
class Tile:
    """The statements of a tile, and what stands around it."""

    rows: str  #: the axis of query tokens
    columns: str  #: the axis of key tokens
    areas: tuple[str, ...]  #: axes that have one index in a tile
    statements: tuple[Statement, ...]
    exported: tuple[Variable, ...]  #: results that are read outside
    bounds: tuple[Bound, ...]  #: on rows and columns, outside which nothing is summed


@dataclass(frozen=True)
class Tiling:
    """A program in three parts: before the tiles, one tile, after all tiles."""

    before: list[Statement]
    tile: Tile | None
    after: list[Statement]


def tiled(
    statements: Sequence[Statement],
    results: Sequence[Variable],
    tokens: frozenset[str],
    areas: frozenset[str],
    sizes: Mapping[str, int],
    extents: Mapping[str, Extent],
) -> Tiling:
    """Cut a program into tiles, where it has arrays over pairs of `tokens` axes and can be cut.

    `areas` are axes that may be taken one index at a time. `sizes` are nominal where not known from `extents`.
    """
    pairs = {tokens & {*v.axes} for v in _variables(statements)}
    pairs = {pair for pair in pairs if len(pair) > 1}
    if [len(pair) for pair in pairs] == [2] and any(
        _entries(s.result, sizes) > _SMALL for s in statements
    ):
        first, second = sorted(pairs.pop(), key=list(sizes).index)
        for rows, columns in ((first, second), (second, first)):
            region = _Region(statements, results, rows, columns, areas, extents)
            if region.can_be_cut():
                return region.tiling()
    return Tiling(list(statements), None, [])


def _variables(statements: Iterable[Statement]) -> Iterable[Variable]:
    for statement in statements:
        yield statement.result
        yield from statement.operands


def _entries(variable: Variable, sizes: Mapping[str, int]) -> int:
    entries = 1
    for axis in variable.axes:
        entries *= sizes.get(axis, 1)
    return entries


class _Region:
    """The statements of one tile, for one choice of what its rows and columns are."""

    def __init__(
        self,
        statements: Sequence[Statement],
        results: Sequence[Variable],
        rows: str,
        columns: str,
        areas: frozenset[str],
        extents: Mapping[str, Extent],
    ) -> None:
        self._square = extents[rows] == extents[columns]
        self._all, self._results, self._rows, self._columns = statements, results, rows, columns
        pair = {rows, columns}
        self._inner = [
            s
            for s in statements
            if any(pair <= {*v.axes} for v in _variables([s]))
            and not isinstance(s.operation, Project | Part | Own)
        ]
        self._close()
        large = [v for s in self._inner for v in [s.result] if v.batched and pair <= {*v.axes}]
        common = areas.intersection(*(v.axes for v in large)) if large else frozenset[str]()
        self._areas = common - self._lost_axes()
        self._areas = self._areas.intersection(*(v.axes for v in self._exported()))
        self._absorb()

    def can_be_cut(self) -> bool:
        """Whether a tile needs nothing of other tiles, and all that it gives has its rows.

        Products with packed weights are of whole arrays.
        """
        exported = self._exported()
        return (
            bool(exported)
            and not any(isinstance(s.operation, Project | Part) for s in self._inner)
            and self._rows not in self._lost_axes()
            and all(self._rows in v.axes and v.batched for v in exported)
            and all(not {self._rows, self._columns} <= {*v.axes} for v in exported)
        )

    def tiling(self) -> Tiling:
        inner = {s.result.code for s in self._inner}
        later = self._depending(inner)
        order = [axis for axis in self._inner[0].result.axes if axis in self._areas]
        order += sorted(self._areas - {*order})
        tile = Tile(
            self._rows,
            self._columns,
            tuple(order),
            tuple(self._inner),
            tuple(self._exported()),
            self._bounds(),
        )
        before = [s for s in self._all if s not in self._inner and s.result.code not in later]
        after = [s for s in self._all if s not in self._inner and s.result.code in later]
        return Tiling(before, tile, after)

    def _bounds(self) -> tuple[Bound, ...]:
        """The bounds that leave each row some columns: they cut these short in a tile."""
        bounds = conjunction(summed_inside(self._inner, self._rows, self._columns))
        regular = self._square and all(bound.offset >= 0 for bound in bounds)
        return bounds if regular else ()

    def _depending(self, codes: Iterable[str]) -> set[str]:
        """`codes` and the results of all statements that depend on them."""
        found = set(codes)
        for statement in self._all:
            if any(operand.code in found for operand in statement.operands):
                found.add(statement.result.code)
        return found

    def _close(self) -> None:
        """Take in what lies between: statements that depend on inner ones and are needed by others."""
        inner = {s.result.code for s in self._inner}
        later, needed = self._depending(inner), set(inner)
        for statement in reversed(self._all):
            if statement.result.code in needed:
                needed.update(operand.code for operand in statement.operands)
        self._inner = [s for s in self._all if s.result.code in (later & needed) | inner]

    def _absorb(self) -> None:
        """Take in what is made of the rows of a tile entry by entry, while they are at hand."""
        inner = {s.result.code for s in self._inner}
        later = self._depending(inner)
        for statement in self._all:
            codes = {operand.code for operand in statement.operands}
            axes = {*statement.result.axes}
            if (
                codes & inner
                and not (codes & later) - inner
                and {self._rows, *self._areas} <= axes
                and not statement.lost
                and not isinstance(statement.operation, Project | Part)
            ):
                inner.add(statement.result.code)
        self._inner = [s for s in self._all if s.result.code in inner]

    def _lost_axes(self) -> frozenset[str]:
        """Axes of which some inner statement needs other indices: summed, or read as others."""
        return frozenset(axis for s in self._inner for axis in s.lost)

    def _exported(self) -> list[Variable]:
        inner = {s.result.code for s in self._inner}
        read = {o.code for s in self._all if s.result.code not in inner for o in s.operands}
        read |= {result.code for result in self._results}
        return [s.result for s in self._inner if s.result.code in read]
