"""Sums over axes at consecutive index tuples: how ids and weights stream out at memory speed.

A neuron's id is a sum of one term per axis (`IndexSpace.terms`), and so is the place of a weight in
its tensor. Over a product of groups of axes such sums are outer sums, so a block needs no unranking:
the values of the inner groups are computed once, and each step of the outer ones adds a number to all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from cortico.ir.index_space import IndexSpace, IntArray, Run, Strip, Terms


def enumeration(space: IndexSpace, sums: Sequence[Terms]) -> Enumeration:
    """The values of `sums` at all index tuples of `space`, in index order, of which any part can be had.

    A sum maps axes of the space to terms; an axis that it lacks adds nothing.
    """
    whole: Enumeration = _Point(1, len(sums))
    for group in reversed(space.groups):
        one = _Line(group, sums) if isinstance(group, Run) else _Rows(group, sums)
        whole = one if isinstance(whole, _Point) else _Product(one, whole)
    return whole


class Enumeration(ABC):
    """`size` columns of int64 values with a row for each of `sums` sums."""

    def __init__(self, size: int, sums: int) -> None:
        self.size = size
        self.sums = sums

    def columns(self, start: int, stop: int) -> IntArray:
        """Columns `start … stop - 1`."""
        out = np.empty((self.sums, stop - start), dtype=np.int64)
        self.fill(start, out)
        return out

    @cached_property
    def all_columns(self) -> IntArray:
        return self.columns(0, self.size)

    @abstractmethod
    def fill(self, start: int, out: IntArray) -> None:
        """Write the columns from `start` on into `out`, as many as it has."""


class _Point(Enumeration):
    """The one empty index tuple of no axes."""

    def fill(self, start: int, out: IntArray) -> None:
        out[:] = 0


class _Line(Enumeration):
    """One axis."""

    def __init__(self, run: Run, sums: Sequence[Terms]) -> None:
        super().__init__(run.size, len(sums))
        self._first = run.start
        self._terms = [terms.get(run.axis) for terms in sums]

    def fill(self, start: int, out: IntArray) -> None:
        index = np.arange(out.shape[1]) + (self._first + start)
        for row, term in zip(out, self._terms, strict=True):
            row[:] = 0 if term is None else term(index)


class _Rows(Enumeration):
    """Two tied axes. What the row axis adds is computed once per row."""

    def __init__(self, strip: Strip, sums: Sequence[Terms]) -> None:
        super().__init__(strip.size, len(sums))
        self._strip = strip
        self._terms = [(terms.get(strip.row_axis), terms.get(strip.column_axis)) for terms in sums]

    def fill(self, start: int, out: IntArray) -> None:
        rows, column, lengths = self._strip.stretch(start, start + out.shape[1])
        for sums, (of_row, of_column) in zip(out, self._terms, strict=True):
            sums[:] = 0 if of_column is None else of_column(column)
            if of_row is not None:
                sums += np.repeat(of_row(rows), lengths)


class _Product(Enumeration):
    """Every position of `outer` with every one of `inner`, the inner running fastest."""

    def __init__(self, outer: Enumeration, inner: Enumeration) -> None:
        super().__init__(outer.size * inner.size, outer.sums)
        self._outer = outer
        self._inner = inner

    def fill(self, start: int, out: IntArray) -> None:
        count, run = out.shape[1], self._inner.size
        head = min(-start % run, count)  # the rest of a run of `inner` that began before
        runs = (count - head) // run
        tail = head + runs * run
        self._fill_part(start, out[:, :head])
        self._fill_runs((start + head) // run, out[:, head:tail].reshape(self.sums, runs, run))
        self._fill_part(start + tail, out[:, tail:])

    def _fill_part(self, start: int, out: IntArray) -> None:
        """A part of one run of `inner`."""
        if out.shape[1]:
            outer, inner = divmod(start, self._inner.size)
            self._inner.fill(inner, out)
            out += self._outer.columns(outer, outer + 1)

    def _fill_runs(self, first: int, out: IntArray) -> None:
        """Whole runs of `inner`: a view of sums × runs × columns."""
        runs = out.shape[1]
        if runs:
            outer = self._outer.columns(first, first + runs)
            np.add(outer[:, :, None], self._inner.all_columns[:, None, :], out=out)
