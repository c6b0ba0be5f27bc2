"""Domains: which index tuples exist, as a conjunction of difference bounds `left - right <= offset`.

Causal is `j - i <= 0`; a window of width w adds `i - j <= w - 1`. Difference bounds are closed under
conjunction, need no solver, and two coupled axes can be counted in closed form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from cortico.ir.polynomial import Polynomial


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


def bound_axes(domain: Iterable[Bound]) -> set[str]:
    """The axes that a domain ties."""
    return {axis for bound in domain for axis in (bound.left, bound.right)}


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


@lru_cache(
    maxsize=1024
)  # the same few pairs of axes are counted for every circuit of a compilation
def count_pairs(domain: Domain, first: str, second: str, rows: Any, columns: Any) -> Any:
    """Number of pairs (first < rows, second < columns) inside `domain`, in closed form.

    Works on integers, on polynomials in sizes, and on SymPy expressions alike.
    """
    at_least, at_most = difference_range(domain, first, second, rows, columns)

    def clamped_sum(upto: Any) -> Any:  # twice the sum of clamp(t, 0, columns) over t <= upto
        inside, beyond = _larger(0, upto), _larger(0, upto - columns)
        return inside * (inside + 1) - beyond * (beyond + 1)

    def pairs_below(offset: Any) -> Any:  # twice the number of pairs with second - first <= offset
        return clamped_sum(offset + rows) - clamped_sum(offset)

    doubled = _larger(0, pairs_below(at_most) - pairs_below(at_least - 1))
    return doubled // 2 if isinstance(doubled, int) else doubled / 2


def count_shadow(domain: Domain, first: str, second: str, rows: Any, columns: Any) -> Any:
    """Number of indices of `second` that stand in at least one pair inside `domain`."""
    at_least, at_most = difference_range(domain, first, second, rows, columns)
    shadow = _smaller(columns, rows + at_most) - _larger(0, at_least)
    return _where(at_least, at_most, _larger(0, shadow))


def _where(at_least: Any, at_most: Any, count: Any) -> Any:
    """`count` if at_least <= at_most, else 0; a SymPy Piecewise when that depends on the sizes."""
    if _never_negative(at_most - at_least):
        return count
    if _never_negative(at_least - at_most - 1):
        return 0
    import sympy

    condition = sympy.sympify(at_least) <= at_most
    return sympy.Piecewise((count, condition), (0, True))


def difference_range(
    domain: Domain, first: str, second: str, rows: Any, columns: Any
) -> tuple[Any, Any]:
    """The least and greatest value of `second - first` that `domain` and the sizes allow."""
    at_least, at_most = 1 - rows, columns - 1
    for bound in domain:
        if (bound.left, bound.right) == (second, first):
            at_most = _smaller(at_most, bound.offset)
        elif (bound.left, bound.right) == (first, second):
            at_least = _larger(at_least, -bound.offset)
    return at_least, at_most


def _never_negative(value: Any) -> bool:
    """Whether that is known without knowing the sizes."""
    if isinstance(value, Polynomial):
        return value.never_negative()
    return bool(value.is_nonnegative) if hasattr(value, "is_nonnegative") else bool(value >= 0)


def _larger(one: Any, other: Any) -> Any:
    """The maximum; SymPy's when it depends on the sizes."""
    if _never_negative(one - other):
        return one
    if _never_negative(other - one):
        return other
    import sympy

    return sympy.Max(one, other)


def _smaller(one: Any, other: Any) -> Any:
    """The minimum; SymPy's when it depends on the sizes."""
    if _never_negative(other - one):
        return one
    if _never_negative(one - other):
        return other
    import sympy

    return sympy.Min(one, other)
