"""Equations as text, in the notation of the documents:

    query[h, i, a] = Σ_m W_Q[h, a, m] x[i, m] + b_Q[h, a]
    mask[h, i, j] = exp(score[h, i, j]) [j - i <= 0] / normaliser[h, i]

Factors stand side by side, a sum Σ reaches over all factors behind it, divisors stand last and
`[j - i <= 0]` is 1 where that holds, else 0. Ones and zeros are left out. x/0 is 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
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


def text_by_terms(expression: Expression) -> str:
    """An expression as text, a term a line."""
    whole = tidy(expression)
    if not isinstance(whole, Add):
        return expression_text(whole)
    first, *rest = whole.terms
    lines = [expression_text(first)]
    for term in rest:
        is_negative, size = _sign(term)
        lines.append(f"{'-' if is_negative else '+'} {_WRITER.at_least(FACTORS, size)}")
    return "\n".join(lines)


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
