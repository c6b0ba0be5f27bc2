"""Domains: which index tuples exist, as a conjunction of difference bounds `left - right <= offset`.

Causal is `j - i <= 0`; a window of width w adds `i - j <= w - 1`. Difference bounds are closed under
conjunction, need no solver, and two coupled axes can be counted in closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, order=True)
class Bound:
    """The constraint `left - right <= offset` on two axes, by name."""

    left: str
    right: str
    offset: int

    def __str__(self) -> str:
        return f"{self.left} - {self.right} <= {self.offset}"

    def holds(self, indices: Mapping[str, Any]) -> Any:
        """Elementwise truth at `indices` (axis name to integer or integer array)."""
        return indices[self.left] - indices[self.right] <= self.offset


#: A conjunction of bounds, sorted, the tightest per pair of axes only. Empty: every index exists.
Domain = tuple[Bound, ...]

EVERYWHERE: Domain = ()


def conjunction(*domains: Iterable[Bound]) -> Domain:
    """All bounds of all `domains` at once, in canonical form."""
    tightest: dict[tuple[str, str], int] = {}
    for domain in domains:
        for bound in domain:
            pair = (bound.left, bound.right)
            tightest[pair] = min(bound.offset, tightest.get(pair, bound.offset))
    return tuple(sorted(Bound(left, right, offset) for (left, right), offset in tightest.items()))


def implies(domain: Domain, bound: Bound) -> bool:
    """Whether `domain` contains a bound on the same axes at least as tight as `bound`."""
    return any(
        (known.left, known.right) == (bound.left, bound.right) and known.offset <= bound.offset
        for known in domain
    )


def restrict(domain: Domain, axes: Iterable[str]) -> Domain:
    """The bounds of `domain` whose axes are both among `axes`."""
    kept = set(axes)
    return tuple(bound for bound in domain if {bound.left, bound.right} <= kept)


def rename(domain: Domain, names: Mapping[str, str]) -> Domain:
    """`domain` with axes renamed by `names`; axes that are not in `names` stay."""
    return conjunction(
        Bound(names.get(b.left, b.left), names.get(b.right, b.right), b.offset) for b in domain
    )


def mask(domain: Domain, axes: Sequence[str], sizes: Mapping[str, int]) -> np.ndarray:
    """Boolean array over `axes` (shape broadcastable to their sizes): True where the index exists."""
    grids = {
        axis: np.arange(sizes[axis]).reshape([-1 if other == axis else 1 for other in axes])
        for axis in axes
    }
    inside = np.ones([1] * len(axes), dtype=bool)
    for bound in domain:
        inside = inside & bound.holds(grids)
    return inside


def coupled_axes(domain: Domain, axes: Sequence[str]) -> list[tuple[str, ...]]:
    """`axes` grouped so that axes tied by a bound stand together, in order of first appearance."""
    group_of: dict[str, set[str]] = {axis: {axis} for axis in axes}
    for bound in domain:
        merged = group_of[bound.left] | group_of[bound.right]
        for axis in merged:
            group_of[axis] = merged
    groups: list[tuple[str, ...]] = []
    for axis in axes:
        group = tuple(other for other in axes if other in group_of[axis])
        if group not in groups:
            groups.append(group)
    return groups


def count_pairs(domain: Domain, first: str, second: str, rows: Any, columns: Any) -> Any:
    """Number of pairs (first < rows, second < columns) inside `domain`, in closed form.

    Works on integers and on SymPy expressions alike.
    """
    *_, nonnegative = _extrema(rows, columns)
    at_least, at_most = difference_range(domain, first, second, rows, columns)

    def clamped_sum(upto: Any) -> Any:  # twice the sum of clamp(t, 0, columns) over t <= upto
        inside, beyond = nonnegative(upto), nonnegative(upto - columns)
        return inside * (inside + 1) - beyond * (beyond + 1)

    def pairs_below(offset: Any) -> Any:  # twice the number of pairs with second - first <= offset
        return clamped_sum(offset + rows) - clamped_sum(offset)

    doubled = nonnegative(pairs_below(at_most) - pairs_below(at_least - 1))
    return doubled // 2 if isinstance(doubled, int) else doubled / 2


def count_shadow(domain: Domain, first: str, second: str, rows: Any, columns: Any) -> Any:
    """Number of indices of `second` that stand in at least one pair inside `domain`."""
    smaller, larger, nonnegative = _extrema(rows, columns)
    at_least, at_most = difference_range(domain, first, second, rows, columns)
    shadow = smaller(columns, rows + at_most) - larger(0, at_least)
    return _where(at_least <= at_most, nonnegative(shadow))


def _where(condition: Any, count: Any) -> Any:
    """`count` where `condition` holds, else 0; a SymPy Piecewise when it depends on the sizes."""
    if condition in (True, False):
        return count if condition else 0
    import sympy

    return sympy.Piecewise((count, condition), (0, True))


def difference_range(
    domain: Domain, first: str, second: str, rows: Any, columns: Any
) -> tuple[Any, Any]:
    """The least and greatest value of `second - first` that `domain` and the sizes allow."""
    smaller, larger, _ = _extrema(rows, columns)
    at_least, at_most = 1 - rows, columns - 1
    for bound in domain:
        if (bound.left, bound.right) == (second, first):
            at_most = smaller(at_most, bound.offset)
        elif (bound.left, bound.right) == (first, second):
            at_least = larger(at_least, -bound.offset)
    return at_least, at_most


def _extrema(*sizes: Any) -> tuple[Callable[..., Any], Callable[..., Any], Callable[[Any], Any]]:
    """Minimum, maximum and max(0, ·), of Python for integers and of SymPy otherwise."""
    if all(isinstance(size, int) for size in sizes):
        return min, max, lambda value: max(0, value)
    import sympy

    return sympy.Min, sympy.Max, lambda value: sympy.Max(0, value)
