"""The index tuples of some axes inside a domain: counted, enumerated and ranked in index order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cortico.ir.domain import Domain, count_pairs, coupled_axes, restrict

Indices = dict[str, np.ndarray]


@dataclass(frozen=True)
class _Line:
    """A single axis, free of bounds."""

    axis: str
    length: int

    @property
    def size(self) -> int:
        return self.length

    def unrank(self, positions: np.ndarray) -> Indices:
        return {self.axis: positions}

    def rank(self, indices: Mapping[str, np.ndarray]) -> np.ndarray:
        return indices[self.axis]


@dataclass(frozen=True)
class _Strip:
    """Two axes tied by bounds: for each row (first axis) a run of columns (second axis)."""

    row_axis: str
    column_axis: str
    rows: int
    columns: int
    domain: Domain

    @property
    def size(self) -> int:
        return int(
            count_pairs(self.domain, self.row_axis, self.column_axis, self.rows, self.columns)
        )

    @cached_property
    def _runs(self) -> tuple[np.ndarray, np.ndarray]:
        """First column of each row, and the rank at which each row starts (one more at the end)."""
        row = np.arange(self.rows)
        low, high = np.zeros_like(row), np.full_like(row, self.columns - 1)
        for bound in self.domain:
            if bound.left == self.column_axis:
                high = np.minimum(high, row + bound.offset)
            else:
                low = np.maximum(low, row - bound.offset)
        lengths = np.maximum(high - low + 1, 0)
        return low, np.concatenate([[0], np.cumsum(lengths)])

    def unrank(self, positions: np.ndarray) -> Indices:
        low, starts = self._runs
        row = np.searchsorted(starts, positions, side="right") - 1
        return {self.row_axis: row, self.column_axis: low[row] + positions - starts[row]}

    def rank(self, indices: Mapping[str, np.ndarray]) -> np.ndarray:
        low, starts = self._runs
        row = indices[self.row_axis]
        return starts[row] + indices[self.column_axis] - low[row]


class IndexSpace:
    """All index tuples over `axes` (sizes given) that lie in `domain`.

    Tuples are ordered lexicographically, axes tied by a bound standing side by side. `size` costs
    time in the number of axes; enumeration allocates only what is asked for.
    """

    def __init__(self, axes: Sequence[str], sizes: Mapping[str, int], domain: Domain = ()) -> None:
        self.axes = tuple(axes)
        self._groups: list[_Line | _Strip] = []
        for group in coupled_axes(restrict(domain, axes), axes):
            if len(group) == 1:
                self._groups.append(_Line(group[0], sizes[group[0]]))
            else:
                row, column = group
                bounds = restrict(domain, group)
                self._groups.append(_Strip(row, column, sizes[row], sizes[column], bounds))

    @cached_property
    def _group_sizes(self) -> list[int]:
        return [group.size for group in self._groups]

    @cached_property
    def size(self) -> int:
        """Number of index tuples, in closed form."""
        return math.prod(self._group_sizes)

    def unrank(self, positions: np.ndarray) -> Indices:
        """Axis name to index array for the tuples at `positions` (int64, each in `[0, size)`)."""
        indices: Indices = {}
        rest = np.asarray(positions, dtype=np.int64)
        for group, size in zip(reversed(self._groups), reversed(self._group_sizes), strict=True):
            rest, digit = np.divmod(rest, size)
            indices.update(group.unrank(digit))
        return {axis: indices[axis] for axis in self.axes}

    def rank(self, indices: Mapping[str, np.ndarray]) -> np.ndarray:
        """The inverse of `unrank`. Axes of `indices` that are not of this space are ignored."""
        position = np.int64(0)
        for group, size in zip(self._groups, self._group_sizes, strict=True):
            position = position * size + group.rank(indices)  # type: ignore[assignment]
        return np.asarray(position)
