"""Which indices run through the same set: sorts, found by union-find over the sides of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cortico.verify.equations.language import (
    POSITIONS,
    Add,
    Apply,
    Definition,
    Equations,
    Expression,
    Extents,
    Index,
    Product,
    Read,
    Size,
    Sum,
    Within,
)


class ExtentError(Exception):
    """Two sorts that should be one have other numbers of indices, or tensors other numbers of axes."""


class Classes:
    """Disjoint classes of anything; the first member that was named speaks for its class."""

    def __init__(self) -> None:
        self._parent: dict[Any, Any] = {}

    def find(self, member: Any) -> Any:
        """The representative of a class; an unknown member makes a class of its own."""
        parent = self._parent.setdefault(member, member)
        while parent != self._parent[parent]:
            parent = self._parent[parent]
        return parent

    def join(self, one: Any, other: Any) -> None:
        """Make one class of two; the representative of the first stays."""
        first, second = self.find(one), self.find(other)
        if self._rank(second) < self._rank(first):
            first, second = second, first
        self._parent[second] = first

    def _rank(self, member: Any) -> int:
        return list(self._parent).index(member)


def unified(
    left: Equations, right: Equations, same: Iterable[str] = (), again: bool = False
) -> tuple[Equations, Equations]:
    """Both with the sorts of `left`, matched by the tensors and outputs that they share.

    Indices called by a name of `same` run through the same set on both sides, too; when they were
    matched before and are `again`, sorts of the same name do. A sort of `right` that `left` does not know
    keeps its name, marked so that it stands apart. ExtentError when sorts that match have other extents, or a
    tensor other axes.
    """
    classes = Classes()
    for sort in all_sorts(left):
        classes.find(("left", sort))
    for sort in all_sorts(right):
        classes.find(("right", sort))
    for mine, theirs in _shared_sides(left, right):
        for a, b in zip(mine, theirs, strict=True):
            classes.join(("left", a), ("right", b))
    one, other = sort_of(left), sort_of(right)
    for name in same:
        if name in one and name in other:
            classes.join(("left", one[name]), ("right", other[name]))
    for sort in set(all_sorts(left)) & set(all_sorts(right)) if again else ():
        classes.join(("left", sort), ("right", sort))

    taken = set(all_sorts(right))

    def named(side: str, equations: Equations) -> Equations:
        names = {}
        for each in all_sorts(equations):
            home, sort = classes.find((side, each))
            names[each] = sort if home == "left" else _marked(sort, taken)
        known = {sort: n for sort, n in equations.extents.items() if sort in names}
        return with_sorts(replace(equations, extents=known), names)

    matched = named("left", left), named("right", right)
    _merged(matched[0].extents, matched[1].extents.items())
    return matched


def _marked(sort: str, taken: set[str]) -> str:
    """The name of a sort that only the right side has: it ends in a prime."""
    name = sort if sort.endswith("'") else f"{sort}'"
    while name != sort and name in taken:
        name += "'"
    return name


def _merged(known: Extents, more: Iterable[tuple[str, int | str]]) -> Extents:
    """Extents of both. ExtentError where they differ."""
    found = dict(known)
    for sort, extent in more:
        if found.setdefault(sort, extent) != extent:
            raise ExtentError(
                f"{sort} has size {found[sort]} on one side and {extent} on the other"
            )
    return found


def sort_of(equations: Equations) -> dict[str, str]:
    """Index name to sort. The indices of a circuit's equations are called by its axes."""
    return {v.name: v.sort for each in equations.definitions for v in each.indices}


def _shared_sides(
    left: Equations, right: Equations
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    sides = {
        name: (left.given[name], right.given[name]) for name in left.given if name in right.given
    }
    for name in left.outputs:
        if name in right.outputs:
            one, other = left.definition(name).indices, right.definition(name).indices
            sides[name] = tuple(v.sort for v in one), tuple(v.sort for v in other)
    for name, (mine, theirs) in sides.items():
        if len(mine) != len(theirs):
            raise ExtentError(
                f"{name} has {len(mine)} axes on one side and {len(theirs)} on the other"
            )
    return list(sides.values())


def all_sorts(equations: Equations) -> list[str]:
    """Every sort that equations mention."""
    found = [sort for sides in equations.given.values() for sort in sides]
    found += [v.sort for each in equations.definitions for v in each.indices]
    for each in equations.definitions:
        found += _sorts_of(each.body)
    return [sort for sort in dict.fromkeys(found) if sort != POSITIONS]


def _sorts_of(expression: Expression) -> list[str]:
    match expression:
        case Size(sort, _):
            return [sort]
        case Sum(indices, body):
            return [v.sort for v in indices] + _sorts_of(body)
        case Product(parts) | Add(parts):
            return [sort for part in parts for sort in _sorts_of(part)]
        case Apply(_, argument):
            return _sorts_of(argument)
        case _:
            return []


def sizes_of(equations: Equations, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Sort to size, of all sorts of which it is known.

    The sides of the arrays of given tensors, the numbers that equations name, and symbols that have both.
    """
    sizes = {sort: 2 for name in equations.formulas for sort in equations.given[name][2:]}
    for name, sides in equations.given.items():
        if name in arrays:
            sizes.update(zip(sides, arrays[name].shape, strict=True))
    symbols = {equations.extents.get(sort): size for sort, size in sizes.items()}
    for sort, extent in equations.extents.items():
        size = extent if isinstance(extent, int) else symbols.get(extent)
        if size is not None:
            sizes.setdefault(sort, size)
    return sizes


def with_sorts(equations: Equations, names: Mapping[str, str]) -> Equations:
    """The equations with sorts called by `names`. ExtentError when one name is given to other sizes."""

    def index(old: Index) -> Index:
        return Index(old.name, names.get(old.sort, old.sort))

    def indices(old: tuple[Index, ...]) -> tuple[Index, ...]:
        return tuple(map(index, old))

    def new(old: Expression) -> Expression:
        match old:
            case Size(sort, exponent):
                return Size(names.get(sort, sort), exponent)
            case Read(tensor, at):
                return Read(tensor, indices(at))
            case Within(left, right, offset):
                return Within(index(left), index(right), offset)
            case Sum(over, body):
                return Sum(indices(over), new(body))
            case Product(factors):
                return Product(tuple(map(new, factors)))
            case Add(terms):
                return Add(tuple(map(new, terms)))
            case Apply(function, argument):
                return Apply(function, new(argument))
            case _:
                return old

    return replace(
        equations,
        extents=_merged({}, ((names.get(s, s), n) for s, n in equations.extents.items())),
        given={
            name: tuple(names.get(sort, sort) for sort in sides)
            for name, sides in equations.given.items()
        },
        definitions=tuple(
            Definition(each.tensor, indices(each.indices), new(each.body))
            for each in equations.definitions
        ),
    )
