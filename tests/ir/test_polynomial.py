"""Polynomials in sizes against SymPy's."""

import operator
from fractions import Fraction

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from cortico.ir.polynomial import Polynomial, symbol

NAMES = ("n", "n_context")
SYMBOLS = {name: sympy.Symbol(name, integer=True, positive=True) for name in NAMES}

leaves = st.one_of(st.integers(-5, 5), st.sampled_from(NAMES))
formulas = st.recursive(
    leaves, lambda inner: st.tuples(st.sampled_from("+-*"), inner, inner), max_leaves=8
)
OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def evaluated(formula, leaf):
    if isinstance(formula, tuple):
        kind, left, right = formula
        return OPERATORS[kind](evaluated(left, leaf), evaluated(right, leaf))
    return formula if isinstance(formula, int) else leaf(formula)


@given(formulas, formulas)
def test_arithmetic_is_that_of_sympy(one, other):
    ours = [evaluated(formula, symbol) for formula in (one, other)]
    theirs = [sympy.expand(evaluated(formula, SYMBOLS.get)) for formula in (one, other)]
    assert list(map(sympy.sympify, ours)) == theirs
    assert (ours[0] == ours[1]) == (theirs[0] == theirs[1])
    assert [isinstance(each, Polynomial) for each in ours] == [bool(t.free_symbols) for t in theirs]


@given(formulas)
def test_the_text_is_that_of_sympy(formula):
    ours = evaluated(formula, symbol)
    if isinstance(ours, Polynomial):
        assert sympy.sympify(str(ours / 2), locals=SYMBOLS) == sympy.sympify(ours / 2)
        theirs = sympy.expand(evaluated(formula, SYMBOLS.get))
        if all(term.could_extract_minus_sign() is False for term in theirs.args):
            assert str(ours) == str(theirs)


@given(formulas)
def test_what_is_never_negative_is_not(formula):
    ours = evaluated(formula, symbol)
    if isinstance(ours, Polynomial) and ours.never_negative():
        values = sympy.lambdify(list(SYMBOLS.values()), sympy.sympify(ours))
        assert all(values(n, k) >= 0 for n in (1, 2, 7) for k in (1, 3, 20))


def test_the_sign_is_seen_where_a_count_needs_it():
    n = symbol("n")
    assert (n - 1).never_negative()
    assert (n * n - n).never_negative()
    assert not (n - 2).never_negative()
    assert not (1 - n).never_negative()


def test_text():
    n, context = symbol("n"), symbol("n_context")
    assert str(9 * n * (n + 1) / 2 - 3 + n * context) == "9*n**2/2 + n*n_context + 9*n/2 - 3"
    assert str(-n) == "-n"


def test_beside_sympy_it_becomes_sympy():
    n, theirs = symbol("n"), SYMBOLS["n"]
    assert n + sympy.Max(1, theirs - 3) == theirs + sympy.Max(1, theirs - 3)
    assert sympy.Max(1, theirs - 3) * n == theirs * sympy.Max(1, theirs - 3)
    assert n == theirs
    assert (n + 1) / 3 == Polynomial({(("n", 1),): Fraction(1, 3), (): Fraction(1, 3)})
    assert len({n, symbol("n"), n + 1}) == 2
    with pytest.raises(TypeError):
        n + "m"
