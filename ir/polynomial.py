"""Polynomials in sizes: what counts are as long as sizes are symbols and nothing has to be decided.

SymPy takes longer to import than a spec takes to compile. `sympy.sympify` turns these into its
expressions, and arithmetic with SymPy's gives SymPy's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

#: Names with their powers, sorted; () is the constant.
Monomial = tuple[tuple[str, int], ...]


class Polynomial:
    """Σ coefficient · Π symbol^power, in symbols that stand for positive integers. A frozen value."""

    def __init__(self, terms: Mapping[Monomial, Fraction]) -> None:
        self._terms = dict(terms)

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the sizes that it depends on."""
        return frozenset(name for monomial in self._terms for name, _ in monomial)

    def never_negative(self) -> bool:
        """True when no sizes make it negative; False when that is not plain to see.

        With every symbol one or more, it is plain when s = 1 + t leaves no negative coefficient.
        """
        shifted: Any = 0
        for monomial, coefficient in self._terms.items():
            term: Any = coefficient
            for name, power in monomial:
                for _ in range(power):
                    term = term * (symbol(name) + 1)
            shifted = shifted + term
        return all(coefficient >= 0 for coefficient in _terms_of(shifted).values())

    # ---- arithmetic ------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, Polynomial | int | Fraction):
            return NotImplemented
        return _simplest([*self._terms.items(), *_terms_of(other).items()])

    def __mul__(self, other: Any) -> Any:
        if not isinstance(other, Polynomial | int | Fraction):
            return NotImplemented
        theirs = _terms_of(other).items()
        return _simplest((_times(m, n), a * b) for m, a in self._terms.items() for n, b in theirs)

    def __truediv__(self, other: Any) -> Any:
        return self * Fraction(1, other) if isinstance(other, int) else NotImplemented

    def __neg__(self) -> Any:
        return self * -1

    def __sub__(self, other: Any) -> Any:
        return NotImplemented if not _is_ours(other) else self + -other

    def __rsub__(self, other: Any) -> Any:
        return NotImplemented if not _is_ours(other) else -self + other

    __radd__, __rmul__ = __add__, __mul__

    def __eq__(self, other: object) -> bool:
        return self._terms == _terms_of(other) if _is_ours(other) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._terms.items()))

    # ---- other forms -----------------------------------------------------------------------------

    def __str__(self) -> str:
        """As SymPy writes it: `9*n**2 + n/2 - 1`, by falling powers of the symbols in order."""
        names = sorted(self.symbols)

        def powers(monomial: Monomial) -> list[int]:
            return [-dict(monomial).get(name, 0) for name in names]

        text = ""
        for monomial in sorted(self._terms, key=powers):
            coefficient = self._terms[monomial]
            sign = "-" if coefficient < 0 else "+"
            term = _term_text(monomial, abs(coefficient))
            text += f" {sign} {term}" if text else term if sign == "+" else f"-{term}"
        return text

    __repr__ = __str__

    def _sympy_(self) -> Any:
        import sympy

        def power(name: str, exponent: int) -> Any:
            return sympy.Symbol(name, integer=True, positive=True) ** exponent

        return sympy.Add(
            *(
                sympy.Rational(c.numerator, c.denominator)
                * sympy.Mul(*(power(*p) for p in monomial))
                for monomial, c in self._terms.items()
            )
        )


def symbol(name: str) -> Polynomial:
    """The polynomial that is just the size called `name`."""
    return Polynomial({((name, 1),): Fraction(1)})


def _is_ours(value: object) -> bool:
    return isinstance(value, Polynomial | int | Fraction)


def _terms_of(value: Any) -> Mapping[Monomial, Fraction]:
    if isinstance(value, Polynomial):
        return value._terms
    return {(): Fraction(value)} if value else {}


def _simplest(terms: Iterable[tuple[Monomial, Fraction]]) -> Polynomial | Fraction | int:
    """Σ terms: an integer or a fraction where no symbol is left."""
    total: dict[Monomial, Fraction] = {}
    for monomial, coefficient in terms:
        total[monomial] = total.get(monomial, Fraction(0)) + coefficient
    total = {monomial: coefficient for monomial, coefficient in total.items() if coefficient}
    if total.keys() - {()}:
        return Polynomial(total)
    constant = total.get((), Fraction(0))
    return constant.numerator if constant.denominator == 1 else constant


def _times(one: Monomial, other: Monomial) -> Monomial:
    powers = dict(one)
    for name, power in other:
        powers[name] = powers.get(name, 0) + power
    return tuple(sorted(powers.items()))


def _term_text(monomial: Monomial, coefficient: Fraction) -> str:
    powers = [name if power == 1 else f"{name}**{power}" for name, power in monomial]
    above = [str(coefficient.numerator)] if coefficient.numerator != 1 or not powers else []
    below = f"/{coefficient.denominator}" if coefficient.denominator != 1 else ""
    return "*".join([*above, *powers]) + below
