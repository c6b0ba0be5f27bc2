"""Substitutions in equations: a factor beside a tensor, a factor in every sum, an index made two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from cortico.verify.equations.language import (
    Add,
    Apply,
    Definition,
    Equations,
    Expression,
    Index,
    Product,
    Read,
    Size,
    Sum,
    product,
)

_Rewrite = Callable[[Expression], Expression]


def rewritten(expression: Expression, change: _Rewrite) -> Expression:
    """`change` applied to every part of an expression, innermost first."""
    match expression:
        case Sum(indices, body):
            expression = Sum(indices, rewritten(body, change))
        case Product(factors):
            expression = Product(tuple(rewritten(part, change) for part in factors))
        case Add(terms):
            expression = Add(tuple(rewritten(part, change) for part in terms))
        case Apply(function, argument):
            expression = Apply(function, rewritten(argument, change))
    return change(expression)


def map_bodies(equations: Equations, change: _Rewrite) -> Equations:
    """The equations with `change` applied to every part of every right-hand side."""
    return replace(
        equations,
        definitions=tuple(
            replace(each, body=rewritten(each.body, change)) for each in equations.definitions
        ),
    )


def with_tensor(
    equations: Equations,
    tensor: str,
    axes: tuple[str, ...],
    factor: str,
    at: tuple[str, ...],
) -> Equations:
    """Every reading of a given tensor, whose sides are `axes`, times `factor` at some of them."""
    if tensor not in equations.given:
        return equations
    sides = [axes.index(axis) for axis in at]

    def change(part: Expression) -> Expression:
        if isinstance(part, Read) and part.tensor == tensor:
            return product(part, Read(factor, tuple(part.indices[side] for side in sides)))
        return part

    sorts = tuple(equations.given[tensor][side] for side in sides)
    return replace(map_bodies(equations, change), given={**equations.given, factor: sorts})


def within_sums(equations: Equations, sort: str, mask: str, heads: tuple[str, ...]) -> Equations:
    """Every sum over an index of `sort` restricted by a 0/1 tensor at `heads` and that index."""
    sorts = {v.name: v.sort for each in equations.definitions for v in each.indices}

    def change(part: Expression) -> Expression:
        if not isinstance(part, Sum):
            return part
        around = tuple(Index(head, sorts[head]) for head in heads)
        kept = [Read(mask, (*around, v)) for v in part.indices if v.sort == sort]
        return Sum(part.indices, product(part.body, *kept)) if kept else part

    given = {**equations.given, mask: (*(sorts[head] for head in heads), sort)}
    return replace(map_bodies(equations, change), given=given)


def with_own_size(equations: Equations, sort: str, size: str, extent: int) -> Equations:
    """The equations with `size(sort)` called `size`, which has `extent` indices, in every factor."""

    def change(part: Expression) -> Expression:
        return Size(size, part.exponent) if isinstance(part, Size) and part.sort == sort else part

    extents = {name: n for name, n in equations.extents.items() if name != sort}
    return replace(map_bodies(equations, change), extents={**extents, size: extent})


def split_sort(
    equations: Equations,
    sort: str,
    pair: tuple[Index, Index],
    tensors: Mapping[str, tuple[str, bool]],
) -> Equations:
    """The equations with each index of `sort` made two.

    `tensors` maps given tensors with such a side to a new name, and whether they lack the second.
    """

    def split(indices: tuple[Index, ...], kept: int = 2) -> tuple[Index, ...]:
        return tuple(v for old in indices for v in (pair[:kept] if old.sort == sort else (old,)))

    def change(part: Expression) -> Expression:
        match part:
            case Read(name, indices) if name in tensors:
                new, is_copied = tensors[name]
                return Read(new, split(indices, 1 if is_copied else 2))
            case Read(name, indices):
                return Read(name, split(indices))
            case Sum(indices, body):
                return Sum(split(indices), body)
            case Size(of, exponent) if of == sort:
                return product(*(Size(v.sort, exponent) for v in pair))
            case _:
                return part

    given: dict[str, tuple[str, ...]] = {}
    for name, sides in equations.given.items():
        new, is_copied = tensors.get(name, (name, False))
        formal = tuple(Index("", side) for side in sides)
        given[new] = tuple(v.sort for v in split(formal, 1 if is_copied else 2))
    changed = map_bodies(equations, change)
    definitions = tuple(
        Definition(each.tensor, split(each.indices), each.body) for each in changed.definitions
    )
    extents = {name: n for name, n in equations.extents.items() if name != sort}
    return replace(changed, given=given, definitions=definitions, extents=extents)
