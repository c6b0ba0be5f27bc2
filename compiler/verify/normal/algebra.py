"""Polynomials in canonical form: sums, products, summation over an index, and what cancels.

Two polynomials made by the same `Algebra` are equal exactly when they are equal dictionaries.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from cortico.verify.normal.heads import Head, Heads
from cortico.verify.normal.signs import Signs
from cortico.verify.normal.terms import (
    Factor,
    Polynomial,
    Term,
    Var,
    bound_var,
    canonical_term,
    least,
    replaced,
)

UNIT: Term = Term((), (), ())

#: Most terms of a polynomial.
_MOST_TERMS = 20_000

#: Most reciprocals that are cancelled one inside another.
_DEEPEST = 24


class TooLargeError(Exception):
    """A polynomial of more terms than are worth writing out."""


#: Some 0/1 tensors, and one that is 1 at all indices where all of them are.
Implication = tuple[frozenset[str], str]


@dataclass(frozen=True)
class Assumptions:
    """What is known of given tensors: which are 0 or 1, which never negative, what implies what."""

    masks: frozenset[str] = frozenset()
    nonnegative: frozenset[str] = frozenset()
    implications: tuple[Implication, ...] = ()


class Algebra:
    """Arithmetic on polynomials in given tensors of which some things are known."""

    def __init__(self, known: Assumptions = Assumptions()) -> None:
        self.heads = Heads(known.masks)
        self.signs = Signs(self.heads, known.nonnegative)
        self._known = known
        self._depth = 0

    # ---- making polynomials ----------------------------------------------------------------------

    def constant(self, value: Fraction) -> Polynomial:
        return {UNIT: value} if value else {}

    def size(self, sort: str, exponent: Fraction) -> Polynomial:
        return self.monomial({sort: exponent}, [], [])

    def factor(self, factor: Factor) -> Polynomial:
        return self.monomial({}, [factor], [])

    def add(self, *polynomials: Polynomial) -> Polynomial:
        """The sum."""
        result: Polynomial = {}
        for polynomial in polynomials:
            for term, coefficient in polynomial.items():
                _accumulate(result, term, coefficient)
        return result

    def scale(self, polynomial: Polynomial, by: Fraction) -> Polynomial:
        return {term: c * by for term, c in polynomial.items()} if by else {}

    def multiply(self, *polynomials: Polynomial) -> Polynomial:
        """The product, distributed."""
        result = {UNIT: Fraction(1)}
        for polynomial in polynomials:
            result = self._times(result, polynomial)
        return result

    def _times(self, one: Polynomial, other: Polynomial) -> Polynomial:
        result: Polynomial = {}
        if len(one) * len(other) > _MOST_TERMS:
            raise TooLargeError(f"a product of {len(one)} and {len(other)} terms")
        for (s, a), (t, b) in itertools.product(one.items(), other.items()):
            for term, c in self._product(s, t).items():
                _accumulate(result, term, a * b * c)
        return result

    def _product(self, one: Term, other: Term) -> Polynomial:
        if one == UNIT:
            return {other: Fraction(1)}
        if other == UNIT:
            return {one: Fraction(1)}
        shifted, bound = self._apart(other, len(one.bound))
        sizes = dict(one.sizes)
        for sort, power in other.sizes:
            sizes[sort] = sizes.get(sort, Fraction(0)) + power
        return self.monomial(sizes, [*one.factors, *shifted], [*_bound(one), *bound])

    def _apart(self, term: Term, start: int) -> tuple[list[Factor], list[Var]]:
        """The factors of a term with bound indices numbered from `start`."""
        if not start or not term.bound:
            return list(term.factors), _bound(term)
        names = {var: bound_var(var.sort, k + start) for k, var in enumerate(_bound(term))}
        return replaced(term.factors, names), list(names.values())

    def sum_over(self, polynomial: Polynomial, free: Sequence[Var]) -> Polynomial:
        """The sum over all values of free indices."""
        result: Polynomial = {}
        for term, coefficient in polynomial.items():
            names = {v: bound_var(v.sort, len(term.bound) + k) for k, v in enumerate(free)}
            bound = [*_bound(term), *names.values()]
            new = self.monomial(dict(term.sizes), replaced(term.factors, names), bound)
            for each, c in new.items():
                _accumulate(result, each, coefficient * c)
        return result

    def rename(self, polynomial: Polynomial, names: Mapping[Var, Var]) -> Polynomial:
        """The polynomial with free indices replaced, also by equal ones."""
        result: Polynomial = {}
        for term, coefficient in polynomial.items():
            factors = replaced(term.factors, names)
            for each, c in self.monomial(dict(term.sizes), factors, _bound(term)).items():
                _accumulate(result, each, coefficient * c)
        return result

    def instance(self, head: Head, indices: tuple[Var, ...]) -> Polynomial:
        """The argument of an opaque function at indices, which must be free."""
        return self.rename(dict(head.pattern), dict(zip(head.parameters, indices, strict=True)))

    # ---- a single monomial -----------------------------------------------------------------------

    def monomial(
        self, sizes: Mapping[str, Fraction], factors: Sequence[Factor], bound: Sequence[Var]
    ) -> Polynomial:
        """The product of `factors` summed over `bound`, simplified."""
        merged = self._merged(factors)
        if merged is None:
            return {}
        kept, powers = self._without_unused(dict(sizes), merged, bound)
        cancelled = self._cancelled(powers, merged, kept)
        if cancelled is not None:
            return cancelled
        return {canonical_term(powers, merged, kept, self.heads.symmetries): Fraction(1)}

    def _merged(self, factors: Iterable[Factor]) -> list[Factor] | None:
        """Powers of equal factors added; None when the product is zero."""
        powers: dict[tuple[int, tuple[Var, ...]], Fraction | int] = {}
        for head, indices, power in factors:
            kind = self.heads[head]
            key = (head, least(indices, kind.symmetries))
            powers[key] = 1 if kind.idempotent else powers.get(key, 0) + power
        result = self._without_implied([Factor(h, v, p) for (h, v), p in powers.items() if p])
        if any(self.heads[f.head].kind == "within" for f in result):
            return self._compared(result)
        return self._with_nonzero(result)

    def _without_implied(self, factors: list[Factor]) -> list[Factor]:
        """`factors` without 0/1 tensors that are 1 wherever others of them are."""
        if not self._known.implications:
            return factors
        kept = list(factors)
        for factor in factors:
            others = {(self.heads[f.head].label, f.indices) for f in kept if f is not factor}
            if any(
                name == self.heads[factor.head].label
                and all((premise, factor.indices) in others for premise in premises)
                for premises, name in self._known.implications
            ):
                kept.remove(factor)
        return kept

    def _with_nonzero(self, factors: list[Factor]) -> list[Factor]:
        """`factors` without `[S ≠ 0]` where 1/S says it already."""
        guards = [f for f in factors if self.heads[f.head].kind == "nonzero"]
        for guard in guards:
            pattern = self.heads[guard.head].pattern
            for f in factors:
                other = self.heads[f.head]
                if other.kind == "inverse" and (other.pattern, f.indices) == (
                    pattern,
                    guard.indices,
                ):
                    factors = [each for each in factors if each != guard]
        return factors

    def _compared(self, factors: list[Factor]) -> list[Factor] | None:
        """`factors` with the tightest comparisons only; None when they contradict each other."""
        tightest: dict[tuple[Var, Var], int] = {}
        for f in factors:
            head = self.heads[f.head]
            if head.kind == "within":
                assert isinstance(head.label, int)
                left, right = f.indices
                pair = (left, right)
                tightest[pair] = min(head.label, tightest.get(pair, head.label))
        for (left, right), offset in list(tightest.items()):
            if left == right:
                if offset < 0:
                    return None
                del tightest[left, right]
            elif offset + tightest.get((right, left), -offset) < 0:
                return None
        rest = [f for f in factors if self.heads[f.head].kind != "within"]
        rest += [self.heads.within(left, right, o) for (left, right), o in tightest.items()]
        return self._with_nonzero(rest)

    def _without_unused(
        self, sizes: dict[str, Fraction], factors: Sequence[Factor], bound: Sequence[Var]
    ) -> tuple[list[Var], dict[str, Fraction]]:
        """Bound indices that something uses; each other one becomes the size of its sort."""
        used = {v for f in factors for v in f.indices}
        for var in bound:
            if var not in used:
                sizes[var.sort] = sizes.get(var.sort, Fraction(0)) + 1
        return [var for var in bound if var in used], sizes

    # ---- S · (1/S) = [S ≠ 0] ---------------------------------------------------------------------

    def _cancelled(
        self, sizes: Mapping[str, Fraction], factors: list[Factor], bound: Sequence[Var]
    ) -> Polynomial | None:
        """The product rewritten if it holds 1/S and the leading term of S; None if it does not.

        With S = c L + Σ others, rest · L / S = (rest · [S ≠ 0] - Σ rest · other / S) / c, where c is
        a number and sizes.
        """
        for inverse in factors:
            head = self.heads[inverse.head]
            if head.kind == "inverse":
                lead = _leading(head)
                rest = self._without(lead, head, inverse, factors, bound)
                if rest is not None:
                    return self._nested(self._expanded, sizes, head, inverse, lead, rest)
        return None

    def _nested(self, expand: Callable[..., Polynomial], *arguments: Any) -> Polynomial:
        """`expand(*arguments)`, refused when it goes round in circles."""
        if self._depth > _DEEPEST:
            raise TooLargeError("cancelling a reciprocal does not end")
        self._depth += 1
        try:
            return expand(*arguments)
        finally:
            self._depth -= 1

    def _without(
        self,
        lead: Term,
        head: Head,
        inverse: Factor,
        factors: list[Factor],
        bound: Sequence[Var],
    ) -> tuple[list[Factor], list[Var]] | None:
        """`factors` without those of the term `lead` of S, and the bound indices left; or None."""
        names = dict(zip(head.parameters, inverse.indices, strict=True))
        own = _beyond(bound, lead)
        wanted = self._merged(replaced(lead.factors, {**names, **own}))
        if not wanted:
            return None
        if not lead.bound:
            return _divided(factors, wanted, bound)
        heads = sorted(f.head for f in wanted)
        for part, inner in connected(factors, [v for v in bound if v not in inverse.indices]):
            if len(inner) == len(lead.bound) and sorted(f.head for f in part) == heads:
                outer = {v: _set_apart(v) for v in bound if v not in inner}
                mine = self._standing_apart(part, inner, outer)
                theirs = self._standing_apart(wanted, list(own.values()), outer)
                if mine == theirs:
                    rest = [f for f in factors if f not in part]
                    return rest, [v for v in bound if v not in inner]
        return None

    def _standing_apart(
        self, factors: Iterable[Factor], inner: Sequence[Var], outer: Mapping[Var, Var]
    ) -> Term:
        """The canonical form of a part of a term, whose other bound indices `outer` names."""
        return canonical_term({}, replaced(factors, outer), inner, self.heads.symmetries)

    def _expanded(
        self,
        sizes: Mapping[str, Fraction],
        head: Head,
        inverse: Factor,
        lead: Term,
        left: tuple[list[Factor], list[Var]],
    ) -> Polynomial:
        rest, bound = left
        names = dict(zip(head.parameters, inverse.indices, strict=True))
        without = [f for f in rest if f != inverse]
        if inverse.power > 1:
            without.append(inverse._replace(power=inverse.power - 1))
        elif not self.signs.is_positive(dict(head.pattern)):
            without.append(self._nonzero(head, inverse.indices))
        over_lead = _times_sizes(sizes, lead, -1)
        result = self.monomial(over_lead, without, bound)
        for other, coefficient in head.pattern:
            if other != lead:
                inner = _beyond(bound, other)
                factors = [*rest, *replaced(other.factors, {**names, **inner})]
                powers = _times_sizes(over_lead, other)
                new = self.monomial(powers, factors, [*bound, *inner.values()])
                result = self.add(result, self.scale(new, -coefficient))
        return self.scale(result, 1 / dict(head.pattern)[lead])

    def _nonzero(self, head: Head, indices: tuple[Var, ...]) -> Factor:
        """`[S ≠ 0]` for the argument S of a reciprocal, at the same indices."""
        made = self.heads.function("nonzero", dict(head.pattern))
        order = [head.parameters.index(v) for v in made.indices]
        return Factor(made.head, tuple(indices[k] for k in order))


def connected(
    factors: Iterable[Factor], bound: Sequence[Var]
) -> list[tuple[list[Factor], list[Var]]]:
    """Factors in groups that share bound indices, with these; factors without any stand alone."""
    inner = set(bound)
    groups: list[tuple[list[Factor], set[Var]]] = []
    for factor in factors:
        mine = inner.intersection(factor.indices)
        touching = [g for g in groups if mine & g[1]]
        merged: tuple[list[Factor], set[Var]] = ([factor], mine)
        for group in touching:
            merged = (group[0] + merged[0], group[1] | merged[1])
        groups = [g for g in groups if g not in touching] + [merged]
    return [(part, sorted(indices)) for part, indices in groups]


def _divided(
    factors: list[Factor], wanted: list[Factor], bound: Sequence[Var]
) -> tuple[list[Factor], list[Var]] | None:
    """`factors` divided by those of `wanted`; None when one of them is missing."""
    powers = {(f.head, f.indices): f.power for f in factors}
    for head, indices, power in wanted:
        have = powers.get((head, indices), 0)
        if have < power:
            return None
        powers[head, indices] = have - power
    return [Factor(h, v, p) for (h, v), p in powers.items() if p], list(bound)


def _leading(head: Head) -> Term:
    """The term of a reciprocal's argument through which it cancels."""
    return max((term for term, _ in head.pattern), key=_weight)


def _weight(term: Term) -> tuple[int, Term]:
    return len(term.bound), term


def _bound(term: Term) -> list[Var]:
    return [bound_var(sort, k) for k, sort in enumerate(term.bound)]


def _beyond(bound: Sequence[Var], term: Term) -> dict[Var, Var]:
    """The bound indices of a term, with numbers that none of `bound` has."""
    start = 1 + max((int(v.name) for v in bound), default=-1)
    return {v: bound_var(v.sort, start + k) for k, v in enumerate(_bound(term))}


def _set_apart(var: Var) -> Var:
    """A bound index as a free one, whose name no other has."""
    return Var(0, var.sort, f"!{var.name}")


def _times_sizes(sizes: Mapping[str, Fraction], term: Term, times: int = 1) -> dict[str, Fraction]:
    """`sizes` and those of a term, to the power `times`, multiplied."""
    result = dict(sizes)
    for sort, power in term.sizes:
        result[sort] = result.get(sort, Fraction(0)) + times * power
    return result


def _accumulate(result: Polynomial, term: Term, coefficient: Fraction) -> None:
    total = result.get(term, Fraction(0)) + coefficient
    if total:
        result[term] = total
    else:
        result.pop(term, None)
