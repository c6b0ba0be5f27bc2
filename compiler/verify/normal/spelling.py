"""Normal forms written out: polynomials as expressions and as text, with names for their indices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from cortico.verify.equations.language import (
    Add,
    Apply,
    Equations,
    Expression,
    Index,
    Number,
    Product,
    Read,
    Size,
    Sum,
    Within,
    children,
)
from cortico.verify.equations.printing import expression_text, text_by_terms
from cortico.verify.normal.algebra import Algebra
from cortico.verify.normal.form import NormalForm, formal
from cortico.verify.normal.terms import Factor, Polynomial, Term, Var, bound_var


def letters_of(equations: Equations) -> dict[str, tuple[str, ...]]:
    """Sort to the names that the equations give to indices of that sort, those of sums first."""
    found: dict[str, dict[str, None]] = {}
    bound = [v for each in equations.definitions for v in _bound_in(each.body)]
    for index in (*bound, *(v for each in equations.definitions for v in each.indices)):
        found.setdefault(index.sort, {})[index.name] = None
    return {sort: tuple(names) for sort, names in found.items()}


def _bound_in(expression: Expression) -> Iterator[Index]:
    if isinstance(expression, Sum):
        yield from expression.indices
    for child in children(expression):
        yield from _bound_in(child)


def polynomial_expression(
    algebra: Algebra,
    polynomial: Polynomial,
    names: Mapping[Var, str],
    letters: Mapping[str, Sequence[str]] | None = None,
) -> Expression:
    """A polynomial with opaque functions written out. `names` has its free indices, `letters` by
    sort the names to prefer for the others; no index has the name of one that it stands under.
    """
    free = {var: Index(name, var.sort) for var, name in names.items()}
    return _Spelling(algebra, letters or {}).polynomial(polynomial, free, set(names.values()))


def polynomial_text(
    algebra: Algebra,
    polynomial: Polynomial,
    names: Mapping[Var, str],
    letters: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """The text of a polynomial, as `polynomial_expression` writes it; a term a line."""
    return text_by_terms(polynomial_expression(algebra, polynomial, names, letters))


def normal_form_expression(normal_form: NormalForm, tensor: str) -> Expression:
    """The normal form of a defined tensor, at the indices of its definition."""
    definition, letters = (
        normal_form.equations.definition(tensor),
        letters_of(normal_form.equations),
    )
    names = {formal(v, place): v.name for place, v in enumerate(definition.indices)}
    return polynomial_expression(normal_form.algebra, normal_form.of(tensor), names, letters)


class _Spelling:
    """Writes polynomials as expressions."""

    def __init__(self, algebra: Algebra, letters: Mapping[str, Sequence[str]]) -> None:
        self.algebra, self.letters = algebra, letters

    def polynomial(
        self, polynomial: Polynomial, names: Mapping[Var, Index], taken: set[str]
    ) -> Expression:
        terms = [self.term(term, c, names, taken) for term, c in polynomial.items()]
        return Add(tuple(sorted(terms, key=_order)))

    def term(
        self, term: Term, coefficient: Fraction, names: Mapping[Var, Index], taken: set[str]
    ) -> Expression:
        known, used = dict(names), set(taken)
        factors = sorted(term.factors, key=self._rank)
        met = [v for factor in factors for v in factor.indices if v.rank == 1]
        for var in dict.fromkeys([*met, *itertools.starmap(bound_var, _numbered(term))]):
            known[var] = Index(self._name(var.sort, used), var.sort)
            used.add(known[var].name)
        parts: list[Expression] = [Size(sort, power) for sort, power in term.sizes]
        parts += [self.factor(each, known, used) for each in factors]
        bound = tuple(index for var, index in known.items() if var.rank == 1)
        body: Expression = Product(tuple(parts))
        return Product((Number(coefficient), Sum(bound, body) if bound else body))

    def factor(self, factor: Factor, names: Mapping[Var, Index], taken: set[str]) -> Expression:
        head, power = self.algebra.heads[factor.head], Fraction(factor.power)
        at = tuple(names[v] for v in factor.indices)
        if head.kind == "within":
            left, right = at
            return Within(left, right, int(head.label))
        if head.kind == "tensor":
            return Product((Read(str(head.label), at),) * int(power))
        inner = dict(zip(head.parameters, at, strict=True))
        argument = self.polynomial(dict(head.pattern), inner, taken)
        if head.kind == "exp":
            return Apply("exp", Product((Number(power), argument)))
        return Product((Apply(head.kind, argument),) * int(power))

    def _rank(self, factor: Factor) -> tuple[int, str]:
        head = self.algebra.heads[factor.head]
        order = ("tensor", "within", "nonzero", "exp")
        return order.index(head.kind) if head.kind in order else len(order), str(head.label)

    def _name(self, sort: str, taken: set[str]) -> str:
        """A name that is not taken: a letter of the sort, else the first of them with primes."""
        letters = self.letters.get(sort) or (_letter(sort),)
        primed = (letters[0] + "'" * primes for primes in itertools.count(1))
        return next(name for name in itertools.chain(letters, primed) if name not in taken)


def _numbered(term: Term) -> list[tuple[str, int]]:
    return [(sort, number) for number, sort in enumerate(term.bound)]


def _letter(sort: str) -> str:
    """The first letter of a sort that is written in words, a short name itself."""
    if len(sort) <= 2 and sort.isidentifier():
        return sort
    return next((each.lower() for each in sort if each.isalpha()), "k")


def _order(term: Expression) -> tuple[int, str]:
    text = expression_text(term)
    return len(text), text
