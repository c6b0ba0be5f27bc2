"""Equations as text, in the notation of the documents:

    query[h, i, a] = Σ_m W_Q[h, a, m] x[i, m] + b_Q[h, a]
    mask[h, i, j] = exp(score[h, i, j]) [j - i <= 0] / normaliser[h, i]

Factors stand side by side, a sum Σ reaches over all factors behind it, divisors stand last and
`[j - i <= 0]` is 1 where that holds, else 0. Ones and zeros are left out. x/0 is 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from cortico.verify.equations.language import (
    OFFSET,
    Add,
    Apply,
    Definition,
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
from cortico.verify.normal.algebra import Algebra
from cortico.verify.normal.form import NormalForm, formal
from cortico.verify.normal.terms import Factor, Polynomial, Term, Var, bound_var

#: How tightly a text holds together: a sum of terms, a product, a single thing.
TERMS, FACTORS, ATOM = range(3)

# ---- without ones and zeros ----------------------------------------------------------------------


def tidy(expression: Expression) -> Expression:
    """The same without ones, zeros and nested sums or products; a coefficient stands first."""
    match expression:
        case Sum(indices, body):
            return _tidy_sum(indices, tidy(body))
        case Product(factors):
            return _tidy_product([tidy(each) for each in factors])
        case Add(terms):
            return _tidy_add([tidy(each) for each in terms])
        case Apply("identity", argument):
            return tidy(argument)
        case Apply(function, argument):
            return Apply(function, tidy(argument))
        case Size(_, exponent) if exponent == 0:
            return Number(Fraction(1))
    return expression


def _tidy_sum(indices: tuple[Index, ...], body: Expression) -> Expression:
    if isinstance(body, Number) and not body.value:
        return body
    if isinstance(body, Sum) and not set(indices) & set(body.indices):
        return Sum((*indices, *body.indices), body.body)
    return Sum(indices, body) if indices else body


def _tidy_product(factors: Iterable[Expression]) -> Expression:
    coefficient, kept = Fraction(1), list[Expression]()
    for factor in factors:
        for part in factor.factors if isinstance(factor, Product) else (factor,):
            if isinstance(part, Number):
                coefficient *= part.value
            else:
                kept.append(part)
    if not kept or not coefficient:
        return Number(coefficient)
    if coefficient != 1:
        kept.insert(0, Number(coefficient))
    return kept[0] if len(kept) == 1 else Product(tuple(kept))


def _tidy_add(terms: Iterable[Expression]) -> Expression:
    parts = [p for term in terms for p in (term.terms if isinstance(term, Add) else (term,))]
    kept = [part for part in parts if not (isinstance(part, Number) and not part.value)]
    if not kept:
        return Number(Fraction(0))
    return kept[0] if len(kept) == 1 else Add(tuple(kept))


# ---- expressions ---------------------------------------------------------------------------------


class Writer:
    """Writes expressions with as few parentheses as can be. `times` and `plus` join parts."""

    times, plus, minus = " ", " + ", " - "
    fractions_are_atoms = False

    def expression(self, expression: Expression) -> str:
        """The text of an expression."""
        return self.at_least(TERMS, tidy(expression))

    def at_least(self, level: int, expression: Expression) -> str:
        """The text of a tidy expression, in parentheses where it holds together less than `level`."""
        text, own = self._written(expression)
        return text if own >= level else self.parenthesised(text)

    def _written(self, expression: Expression) -> tuple[str, int]:
        match expression:
            case Number(value):
                is_plain = value >= 0 and bool(self.fractions_are_atoms or decimal(value))
                return self.number(value), ATOM if is_plain else FACTORS
            case Size(sort, exponent):
                return self.size(sort, exponent), ATOM
            case Read(tensor, indices):
                return self.read(tensor, indices), ATOM
            case Within(left, right, offset):
                return self.within(left, right, offset), ATOM
            case Sum(indices, body):
                level = ATOM if _sign(body)[0] else FACTORS
                return self.sum(indices) + self.at_least(level, body), FACTORS
            case Add(terms):
                return self._terms(terms), TERMS
            case Apply(function, argument) if function != "inverse":
                return self.function(function, self.at_least(TERMS, argument)), ATOM
        return self._product(expression), FACTORS

    def _terms(self, terms: Sequence[Expression]) -> str:
        text = self.at_least(FACTORS, terms[0])
        for term in terms[1:]:
            is_negative, size = _sign(term)
            text += (self.minus if is_negative else self.plus) + self.at_least(FACTORS, size)
        return text

    def _product(self, expression: Expression) -> str:
        is_negative, positive = _sign(expression)
        factors = positive.factors if isinstance(positive, Product) else (positive,)
        above = [each for each in sorted(factors, key=_place) if not _is_inverse(each)]
        below = [part for each in factors if _is_inverse(each) for part in children(each)]
        text = self.quotient(above, below) if below else self.product(above)
        return f"-{text}" if is_negative else text

    def product(self, factors: Sequence[Expression]) -> str:
        """Factors side by side; the last one may be a sum without parentheses."""
        counted = [(each, len(list(alike))) for each, alike in itertools.groupby(factors)]
        texts = [
            self.power(self.at_least(ATOM, each), power) if power > 1 else self.at_least(ATOM, each)
            for each, power in counted
        ]
        last, power = counted[-1]
        if power == 1 and isinstance(last, Sum):
            texts[-1] = self.at_least(FACTORS, last)
        return self.times.join(texts)

    # ---- notation --------------------------------------------------------------------------------

    def number(self, value: Fraction) -> str:
        """A number: as a decimal where it has one, else as a fraction."""
        return decimal(value) or str(value)

    def size(self, sort: str, exponent: Fraction) -> str:
        """A power of a size."""
        text = f"size({sort})"
        plain = exponent >= 0 and exponent.denominator == 1
        return text if exponent == 1 else f"{text}^{exponent if plain else f'({exponent})'}"

    def read(self, tensor: str, indices: Sequence[Index]) -> str:
        """A tensor at indices."""
        if tensor == OFFSET:
            return f"({indices[1].name} - {indices[0].name})"
        return f"{tensor}[{', '.join(v.name for v in indices)}]" if indices else tensor

    def within(self, left: Index, right: Index, offset: int) -> str:
        """A comparison."""
        return f"[{left.name} - {right.name} <= {offset}]"

    def sum(self, indices: Sequence[Index]) -> str:
        """The sign of a sum, with what follows it."""
        return f"Σ_{','.join(v.name for v in indices)} "

    def power(self, text: str, power: int) -> str:
        """A whole power."""
        return f"{text}^{power}"

    def function(self, function: str, argument: str) -> str:
        """A function of a scalar; `nonzero` is a comparison."""
        return f"[{argument} ≠ 0]" if function == "nonzero" else f"{function}({argument})"

    def quotient(self, above: Sequence[Expression], below: Sequence[Expression]) -> str:
        """A quotient; `above` may be empty."""
        one = len(above) == 1
        top = self.at_least(ATOM, above[0]) if one else self.product(above) if above else "1"
        if len(above) > 1 and isinstance(above[-1], Sum):
            top = self.times.join([self.product(above[:-1]), self.at_least(ATOM, above[-1])])
        alone = len(below) == 1
        bottom = self.at_least(ATOM, below[0]) if alone else f"({self.product(below)})"
        return f"{top} / {bottom}" if above else f"{top}/{bottom}"

    def parenthesised(self, text: str) -> str:
        """In parentheses."""
        return f"({text})"


def decimal(value: Fraction) -> str:
    """The number as a finite decimal; empty when it has none."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return ""
    places = value.denominator.bit_length()
    digits = Decimal(value.numerator * 10**places // value.denominator).scaleb(-places)
    return f"{digits:f}".rstrip("0").rstrip(".") if places > 1 else str(value)


def _sign(term: Expression) -> tuple[bool, Expression]:
    """Whether a tidy term has a negative coefficient, and the term without its sign."""
    match term:
        case Number(value) if value < 0:
            return True, Number(-value)
        case Product((Number(value), *rest)) if value < 0:
            return True, tidy(Product((Number(-value), *rest)))
    return False, term


def _is_inverse(expression: Expression) -> bool:
    return isinstance(expression, Apply) and expression.function == "inverse"


def _place(factor: Expression) -> int:
    """Numbers and sizes stand first in a product, comparisons last."""
    match factor:
        case Number():
            return 0
        case Size():
            return 1
        case Within() | Apply("nonzero", _):
            return 3
    return 2


_WRITER = Writer()


def expression_text(expression: Expression) -> str:
    """An expression as text."""
    return _WRITER.expression(expression)


def definition_text(definition: Definition) -> str:
    """`tensor[indices] = …`."""
    left = _WRITER.read(definition.tensor, definition.indices)
    return f"{left} = {expression_text(definition.body)}"


def equations_text(equations: Equations) -> str:
    """What is given, every equation, and the outputs; one a line."""
    lines = []
    for name, sorts in equations.given.items():
        note = "  # 0 or 1" if name in equations.masks else ""
        lines.append(f"given {name}[{', '.join(sorts)}]{note}")
    lines += [definition_text(each) for each in equations.definitions]
    return "\n".join([*lines, f"output {', '.join(equations.outputs)}"]) + "\n"


# ---- the normal form -----------------------------------------------------------------------------


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
    whole = tidy(polynomial_expression(algebra, polynomial, names, letters))
    if not isinstance(whole, Add):
        return expression_text(whole)
    first, *rest = whole.terms
    lines = [expression_text(first)]
    for term in rest:
        is_negative, size = _sign(term)
        lines.append(f"{'-' if is_negative else '+'} {_WRITER.at_least(FACTORS, size)}")
    return "\n".join(lines)


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
