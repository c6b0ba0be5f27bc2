"""Heads of factors: tensors, comparisons of indices, and opaque functions, each known by a number.

An opaque function (one exponential, one reciprocal) is stored as a pattern: its argument as a
polynomial over formal indices, in canonical form. Equal arguments give the same head, whatever
indices they stand at, so nested functions are compared once and for all.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from cortico.verify.normal.terms import (
    Factor,
    Polynomial,
    Symmetries,
    Term,
    TooSymmetricError,
    Var,
    canonical_term,
    replaced,
)

_MOST_ORDERS = 720


@dataclass(frozen=True)
class Head:
    """What a factor is: a tensor by `label`, `left - right <= label`, or a function of `pattern`.

    `pattern` is a polynomial over the formal indices `parameters`.
    """

    kind: str  #: tensor, within, exp, inverse, nonzero, or a transfer function's name
    label: str | int = ""
    parameters: tuple[Var, ...] = ()
    pattern: tuple[tuple[Term, Fraction], ...] = ()
    symmetries: Symmetries = ((),)
    idempotent: bool = False  #: its rates are 0 or 1


class Renormalise(Protocol):
    """Puts a term with other indices back into canonical form."""

    def __call__(self, term: Term, names: Mapping[Var, Var]) -> Polynomial: ...


class Heads:
    """All heads met so far. Numbers depend on the order of meeting, so never compare two tables."""

    def __init__(self, masks: frozenset[str]) -> None:
        self._masks = masks
        self._numbers: dict[Hashable, int] = {}
        self._heads: list[Head] = []

    def __getitem__(self, number: int) -> Head:
        return self._heads[number]

    def symmetries(self, number: int) -> Symmetries:
        """The orders of indices that leave a head as it is."""
        return self._heads[number].symmetries

    def tensor(self, name: str, indices: tuple[Var, ...]) -> Factor:
        """An input or a parameter, read at `indices`."""
        identity: Symmetries = (tuple(range(len(indices))),)
        head = Head("tensor", name, symmetries=identity, idempotent=name in self._masks)
        return Factor(self._number(("tensor", name), head), indices)

    def within(self, left: Var, right: Var, offset: int) -> Factor:
        """The comparison `left - right <= offset`."""
        head = Head("within", offset, symmetries=((0, 1),), idempotent=True)
        return Factor(self._number(("within", offset), head), (left, right))

    def function(self, kind: str, argument: Polynomial) -> Factor:
        """An opaque function of a polynomial. TooSymmetricError when its indices look too alike."""
        free = sorted({v for t in argument for f in t.factors for v in f.indices if v.rank == 0})
        orders = list(self._orders(argument, free))
        renderings = [self._rendering(argument, order) for order in orders]
        least = min(renderings)
        chosen = [order for order, each in zip(orders, renderings, strict=True) if each == least]
        first = chosen[0]
        symmetries = tuple(sorted(tuple(first.index(v) for v in order) for order in chosen))
        parameters = tuple(_formal(k, v.sort) for k, v in enumerate(first))
        key = (kind, tuple(v.sort for v in first), least)
        head = Head(kind, "", parameters, least, symmetries, kind in ("nonzero", "step"))
        return Factor(self._number(key, head), tuple(first))

    def _number(self, key: Hashable, head: Head) -> int:
        number = self._numbers.setdefault(key, len(self._heads))
        if number == len(self._heads):
            self._heads.append(head)
        return number

    def _rendering(
        self, argument: Polynomial, order: Sequence[Var]
    ) -> tuple[tuple[Term, Fraction], ...]:
        """The argument with its free indices named by their place in `order`."""
        names = {var: _formal(k, var.sort) for k, var in enumerate(order)}
        return tuple(sorted((self.renamed(t, names), c) for t, c in argument.items()))

    def renamed(self, term: Term, names: Mapping[Var, Var]) -> Term:
        """The term with free indices replaced by other free ones, all different."""
        bound = [Var(1, sort, k) for k, sort in enumerate(term.bound)]
        factors = replaced(term.factors, names)
        return canonical_term(dict(term.sizes), factors, bound, self.symmetries)

    def _orders(self, argument: Polynomial, free: Sequence[Var]) -> Iterator[tuple[Var, ...]]:
        """Orders of the free indices among which the canonical one is."""
        looks = {var: self._look(argument, var) for var in free}
        ordered = sorted(free, key=looks.__getitem__)
        groups = [list(alike) for _, alike in itertools.groupby(ordered, looks.__getitem__)]
        count = 1
        for group in groups:
            for k in range(len(group)):
                count *= k + 1
        if count > _MOST_ORDERS:
            raise TooSymmetricError
        for parts in itertools.product(*(itertools.permutations(group) for group in groups)):
            yield tuple(var for part in parts for var in part)

    def _look(self, argument: Polynomial, var: Var) -> tuple[object, ...]:
        """What can be said of a free index without naming any: where in which terms it stands."""
        places = sorted(
            (
                tuple(f.head for f in term.factors),
                coefficient,
                tuple(
                    (f.head, place if len(self.symmetries(f.head)) == 1 else 0, f.power)
                    for f in term.factors
                    for place, v in enumerate(f.indices)
                    if v == var
                ),
            )
            for term, coefficient in argument.items()
        )
        return (var.sort, tuple(places))


def _formal(number: int, sort: str) -> Var:
    return Var(0, sort, f"%{number:03d}")
