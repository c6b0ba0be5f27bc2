"""Terms of the normal form, and the one name that each has whatever its summation indices are called.

A term is `size^p … · factor^q … ` summed over its bound indices. A factor is a head (a tensor, a
0/1 comparison, an opaque function such as one exponential) at indices. Two terms are equal up to the
names and the order of bound indices exactly when their canonical forms are equal objects.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

#: Most orders of indices that look alike which are tried, before giving up.
_MOST_ORDERS = 5040


class Var(NamedTuple):
    """An index in a term: `rank` 0 is free and known by its name, 1 is bound and known by its number."""

    rank: int
    sort: str
    name: str | int


class Factor(NamedTuple):
    """A head, by its number, at indices, to a power."""

    head: int
    indices: tuple[Var, ...]
    power: Fraction | int = 1


class Term(NamedTuple):
    """A monomial in canonical form. `bound` has the sorts of the bound indices 0, 1, …"""

    sizes: tuple[tuple[str, Fraction], ...]
    factors: tuple[Factor, ...]
    bound: tuple[str, ...]


#: A sum of terms with rational coefficients, none of them zero.
Polynomial = dict[Term, Fraction]

#: The orders of a head's indices that leave it as it is, the identity among them.
Symmetries = tuple[tuple[int, ...], ...]


class TooSymmetricError(Exception):
    """More orders of alike indices than are worth trying."""


def bound_var(sort: str, number: int) -> Var:
    """The bound index `number` of a term."""
    return Var(1, sort, number)


def replaced(factors: Iterable[Factor], names: Mapping[Var, Var]) -> list[Factor]:
    """Factors with indices replaced; those not in `names` stay."""
    return [
        Factor(head, tuple(names.get(v, v) for v in indices), power)
        for head, indices, power in factors
    ]


def canonical_term(
    sizes: Mapping[str, Fraction],
    factors: Sequence[Factor],
    bound: Sequence[Var],
    symmetries: Callable[[int], Symmetries],
) -> Term:
    """The canonical form of a product of factors summed over `bound`.

    Indices are told apart by where they stand (colour refinement). Those that remain alike are tried
    in every order, and the smallest rendering is taken.
    """
    order = _candidate_orders(factors, bound, symmetries)
    kept = tuple(sorted((sort, power) for sort, power in sizes.items() if power))
    return min(_rendered(kept, factors, candidate, symmetries) for candidate in order)


def _rendered(
    sizes: tuple[tuple[str, Fraction], ...],
    factors: Sequence[Factor],
    order: Sequence[Var],
    symmetries: Callable[[int], Symmetries],
) -> Term:
    """The term with bound indices numbered in this order."""
    names = {var: bound_var(var.sort, number) for number, var in enumerate(order)}
    new = sorted(
        Factor(f.head, least(f.indices, symmetries(f.head)), f.power)
        for f in replaced(factors, names)
    )
    return Term(sizes, tuple(new), tuple(var.sort for var in order))


def least(indices: tuple[Var, ...], symmetries: Symmetries) -> tuple[Var, ...]:
    """The smallest of the equivalent orders of a head's indices."""
    if len(symmetries) == 1:
        return indices
    return min(tuple(indices[k] for k in order) for order in symmetries)


def _candidate_orders(
    factors: Sequence[Factor], bound: Sequence[Var], symmetries: Callable[[int], Symmetries]
) -> Iterable[Sequence[Var]]:
    """Orders of `bound` among which the canonical one is, by colour refinement."""
    if len(bound) < 2:
        return [tuple(bound)]
    classes = _refined(factors, bound, symmetries)
    if len(classes) == len(bound):
        return [[group[0] for group in classes]]
    return _orders_of(factors, classes, symmetries)


def _orders_of(
    factors: Sequence[Factor], classes: list[list[Var]], symmetries: Callable[[int], Symmetries]
) -> Iterable[Sequence[Var]]:
    """All orders that arise from singling out each of the first alike indices in turn."""
    found: list[Sequence[Var]] = []
    stack = [classes]
    while stack:
        current = stack.pop()
        place = next((k for k, group in enumerate(current) if len(group) > 1), None)
        if place is None:
            found.append([group[0] for group in current])
            if len(found) > _MOST_ORDERS:
                raise TooSymmetricError
            continue
        for chosen in current[place]:
            rest = [var for var in current[place] if var != chosen]
            split = [*current[:place], [chosen], rest, *current[place + 1 :]]
            stack.append(_refine(factors, split, symmetries))
    return found


def _refined(
    factors: Sequence[Factor], bound: Sequence[Var], symmetries: Callable[[int], Symmetries]
) -> list[list[Var]]:
    """Bound indices in classes of indices that look alike, in canonical order."""
    by_sort: dict[str, list[Var]] = {}
    for var in bound:
        by_sort.setdefault(var.sort, []).append(var)
    return _refine(factors, [by_sort[sort] for sort in sorted(by_sort)], symmetries)


def _refine(
    factors: Sequence[Factor], classes: list[list[Var]], symmetries: Callable[[int], Symmetries]
) -> list[list[Var]]:
    """Split classes by what their indices meet, until nothing splits."""
    free = sorted({v for f in factors for v in f.indices if not any(v in c for c in classes)})
    colours: dict[Var, int] = {var: -1 - rank for rank, var in enumerate(free)}
    orbits = {f.head: _orbits(len(f.indices), symmetries(f.head)) for f in factors}
    while True:
        colours.update({var: rank for rank, group in enumerate(classes) for var in group})
        seen: dict[Var, list[tuple[int, int, Fraction | int, tuple[int, ...]]]] = {
            var: [] for group in classes for var in group
        }
        for head, indices, power in factors:
            around = tuple(colours[v] for v in indices)
            if len(symmetries(head)) > 1:
                around = tuple(sorted(around))
            for place, var in enumerate(indices):
                if var in seen:
                    seen[var].append((head, orbits[head][place], power, around))
        split: list[list[Var]] = []
        for group in classes:
            if len(group) == 1:
                split.append(group)
                continue
            for var in group:
                seen[var].sort()
            ordered = sorted(group, key=lambda var: seen[var])
            split += [list(alike) for _, alike in itertools.groupby(ordered, seen.__getitem__)]
        if len(split) == len(classes):
            return classes
        classes = split


def _orbits(arity: int, symmetries: Symmetries) -> tuple[int, ...]:
    """For each place of a head the first place that a symmetry can move it to."""
    return tuple(min(order[place] for order in symmetries) for place in range(arity))
