"""The index tuples of some axes inside a domain: counted, enumerated and ranked in index order."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cortico.ir.domain import Domain, count_pairs, coupled_axes, difference_range, restrict

IntArray = npt.NDArray[np.int64]
Indices = dict[str, IntArray]

#: Axis to what an index of it adds to a sum over axes.
Terms = Mapping[str, Callable[[IntArray], IntArray]]

#: Up to this many rows a table of row starts is kept; beyond it rows are found by bisection.
_TABLE_ROWS = 1 << 20


@dataclass(frozen=True)
class Run:
    """A single axis over the consecutive indices `start … start + size - 1`."""

    axis: str
    start: int
    size: int

    def unrank(self, positions: IntArray) -> Indices:
        return {self.axis: positions + self.start}

    def rank(self, indices: Mapping[str, IntArray]) -> IntArray:
        return indices[self.axis] - self.start

    def terms(self, stride: int) -> Terms:
        return {self.axis: lambda index: (index - self.start) * stride}

    def contains(self, indices: Mapping[str, int]) -> bool:
        return 0 <= indices[self.axis] - self.start < self.size

    def fix(self, indices: Mapping[str, int]) -> tuple[Run, ...]:
        if self.axis not in indices:
            return (self,)
        return (Run(self.axis, indices[self.axis], int(self.contains(indices))),)


@dataclass(frozen=True)
class Strip:
    """Two axes tied by bounds: for each row (first axis) a run of columns (second axis)."""

    row_axis: str
    column_axis: str
    rows: int
    columns: int
    domain: Domain

    @cached_property
    def size(self) -> int:
        return int(
            count_pairs(self.domain, self.row_axis, self.column_axis, self.rows, self.columns)
        )

    @cached_property
    def _differences(self) -> tuple[int, int]:
        """The least and the greatest column - row."""
        return difference_range(
            self.domain, self.row_axis, self.column_axis, self.rows, self.columns
        )

    def _starts(self, row: IntArray) -> IntArray:
        """The rank of the first pair of each row, in closed form.

        The sums may wrap around in int64; their difference is right all the same.
        """
        at_least, at_most = self._differences

        def pairs_below(offset: int) -> IntArray:  # in earlier rows, with column - row <= offset
            before = _clamped_sum(np.full_like(row, offset), self.columns)
            return _clamped_sum(row + offset, self.columns) - before

        return pairs_below(at_most) - pairs_below(at_least - 1)

    @cached_property
    def _table(self) -> IntArray:
        return self._starts(np.arange(self.rows + 1))

    def _row_of(self, positions: IntArray) -> IntArray:
        """The row that holds each position: the last one that starts at or before it."""
        if self.rows <= _TABLE_ROWS:
            return np.searchsorted(self._table, positions, side="right") - 1
        low, high = np.zeros_like(positions), np.full_like(positions, self.rows)
        for _ in range(self.rows.bit_length()):
            middle = (low + high) // 2
            reached = self._starts(middle) <= positions
            low, high = np.where(reached, middle, low), np.where(reached, high, middle)
        return low

    def _first_column(self, row: IntArray) -> IntArray:
        return np.maximum(0, row + self._differences[0])

    def unrank(self, positions: IntArray) -> Indices:
        row = self._row_of(positions)
        column = self._first_column(row) + positions - self._starts(row)
        return {self.row_axis: row, self.column_axis: column}

    def rank(self, indices: Mapping[str, IntArray]) -> IntArray:
        row = np.atleast_1d(indices[self.row_axis])
        ranks = self._starts(row) + indices[self.column_axis] - self._first_column(row)
        return ranks.reshape(np.shape(indices[self.row_axis]))

    def terms(self, stride: int) -> Terms:
        return {
            self.row_axis: lambda row: (self._starts(row) - self._first_column(row)) * stride,
            self.column_axis: lambda column: column * stride,
        }

    def stretch(self, start: int, stop: int) -> tuple[IntArray, IntArray, IntArray]:
        """The rows that hold positions `start … stop - 1`, the columns there, and how many per row."""
        first, last = self._row_of(np.array([start, stop - 1]))
        rows = np.arange(first, last + 1)
        begins = self._starts(np.arange(first, last + 2))
        parts = np.clip(begins, start, stop)
        shift = self._first_column(rows) - begins[:-1]
        lengths = np.diff(parts)
        columns = np.repeat(shift + start, lengths)
        columns += np.arange(stop - start)
        return rows, columns, lengths

    def contains(self, indices: Mapping[str, int]) -> bool:
        row, column = indices[self.row_axis], indices[self.column_axis]
        at_least, at_most = self._differences
        in_range = 0 <= row < self.rows and 0 <= column < self.columns
        return in_range and at_least <= column - row <= at_most

    def fix(self, indices: Mapping[str, int]) -> tuple[Run | Strip, ...]:
        at_least, at_most = self._differences
        row, column = indices.get(self.row_axis), indices.get(self.column_axis)
        if row is None and column is None:
            return (self,)
        if row is None:
            assert column is not None
            free = _interval(self.row_axis, column - at_most, column - at_least, self.rows)
            return free, Run(self.column_axis, column, int(0 <= column < self.columns))
        if column is None:
            free = _interval(self.column_axis, row + at_least, row + at_most, self.columns)
            return Run(self.row_axis, row, int(0 <= row < self.rows)), free
        return Run(self.row_axis, row, int(self.contains(indices))), Run(
            self.column_axis, column, 1
        )


def _clamped_sum(upto: IntArray, columns: int) -> IntArray:
    """Σ over t <= upto of t clamped to 0 … columns."""
    return _triangle(np.maximum(upto, 0)) - _triangle(np.maximum(upto - columns, 0))


def _triangle(number: IntArray) -> IntArray:
    """0 + 1 + … + number. Halving the even factor first keeps it right when int64 wraps around."""
    even = number % 2 == 0
    product: IntArray = np.where(even, number // 2, number)
    product *= np.where(even, number + 1, (number + 1) // 2)
    return product


def _interval(axis: str, low: int, high: int, extent: int) -> Run:
    """The indices of an axis between `low` and `high`, both included, that exist."""
    first, last = max(0, low), min(extent - 1, high)
    return Run(axis, first, max(0, last - first + 1))


class IndexSpace:
    """All index tuples over `axes` (sizes given) that lie in `domain`.

    Tuples are ordered lexicographically, axes tied by a bound standing side by side. `size` costs
    time in the number of axes; enumeration allocates only what is asked for. Axes in `dropped` are
    projected away: what stays are the tuples of the others that some index of them completes.
    At most two axes may be tied together (`domains_fit_axes` sees to it).
    """

    def __init__(
        self,
        axes: Sequence[str],
        sizes: Mapping[str, int],
        domain: Domain = (),
        dropped: Collection[str] = (),
    ) -> None:
        self.axes = tuple(axis for axis in axes if axis not in dropped)
        self.groups: list[Run | Strip] = []
        for group in coupled_axes(restrict(domain, axes), axes):
            kept = [axis for axis in group if axis not in dropped]
            if kept:
                self.groups.append(_make_group(group, kept, sizes, restrict(domain, group)))

    @cached_property
    def _group_sizes(self) -> list[int]:
        return [group.size for group in self.groups]

    @cached_property
    def size(self) -> int:
        """Number of index tuples, in closed form."""
        return math.prod(self._group_sizes)

    def unrank(self, positions: IntArray) -> Indices:
        """Axis name to index array for the tuples at `positions` (int64, each in `[0, size)`).

        `size` must fit in int64.
        """
        indices: Indices = {}
        rest = np.asarray(positions, dtype=np.int64)
        for group, size in zip(reversed(self.groups), reversed(self._group_sizes), strict=True):
            rest, digit = np.divmod(rest, size)
            indices.update(group.unrank(digit))
        return {axis: indices[axis] for axis in self.axes}

    def rank(self, indices: Mapping[str, IntArray]) -> IntArray:
        """The inverse of `unrank`. Axes of `indices` that are not of this space are ignored."""
        position: IntArray = np.zeros((), dtype=np.int64)
        for group, size in zip(self.groups, self._group_sizes, strict=True):
            position = position * size + group.rank(indices)
        return np.asarray(position)

    def terms(self) -> Terms:
        """Axis to a function of index arrays: the sum of all terms of a tuple is its rank."""
        found: dict[str, Callable[[IntArray], IntArray]] = {}
        stride = 1
        for group, size in zip(reversed(self.groups), reversed(self._group_sizes), strict=True):
            found.update(group.terms(stride))
            stride *= size
        return found

    def contains(self, indices: Mapping[str, int]) -> bool:
        """Whether one index tuple (axis name to integer) is of this space."""
        return all(group.contains(indices) for group in self.groups)

    def fix(self, indices: Mapping[str, int]) -> IndexSpace:
        """The part of this space where the axes in `indices` have these values.

        The axes stay axes of the space. It is empty when no tuple has these values.
        """
        fixed = IndexSpace((), {})
        fixed.axes = self.axes
        fixed.groups = [part for group in self.groups for part in group.fix(indices)]
        return fixed


def _make_group(
    group: tuple[str, ...], kept: list[str], sizes: Mapping[str, int], bounds: Domain
) -> Run | Strip:
    if len(group) == 1:
        return Run(group[0], 0, sizes[group[0]])
    row, column = group
    if len(kept) == 2:
        return Strip(row, column, sizes[row], sizes[column], bounds)
    (cells,), (clock,) = kept, set(group) - set(kept)
    at_least, at_most = difference_range(bounds, clock, cells, sizes[clock], sizes[cells])
    if at_least > at_most:
        return Run(cells, 0, 0)
    return _interval(cells, at_least, sizes[clock] - 1 + at_most, sizes[cells])
