"""Equations and normal forms as text."""

from fractions import Fraction

import pytest

from cortico.lowering import lower
from cortico.verify.equations.language import (
    ONE,
    ZERO,
    Apply,
    Definition,
    Index,
    Number,
    Product,
    Read,
    Size,
    Within,
    exp,
    number,
    total,
)
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.printing import decimal, tidy
from cortico.verify.equations.reference import reference
from cortico.verify.equations.sorts import unified
from cortico.verify.normal.algebra import Algebra, Assumptions
from cortico.verify.normal.form import NormalForm, formal
from cortico.verify.normal.spelling import letters_of, normal_form_expression, polynomial_text
from tests.cases import CASES

BY_NAME = {case.name: case for case in CASES}
GOLDEN = {
    "softmax_causal_biased": "softmax-mask_causal-biased",
    "memory_causal": "memory_causal",
    "everything": "everything",
}

QUERY, SOURCE = Index("i", "tokens"), Index("j", "tokens")
X, Y, Z = (Read(name, (QUERY,)) for name in "xyz")


@pytest.mark.parametrize("name", GOLDEN)
def test_equations_and_normal_form(golden, name):
    spec = BY_NAME[GOLDEN[name]].spec
    textbook, circuit = unified(reference(spec), circuit_equations(lower(spec)))
    normal_form = NormalForm(Algebra(Assumptions(textbook.masks)), textbook)
    y = textbook.definition("y")
    names = {formal(v, place): v.name for place, v in enumerate(y.indices)}
    polynomial = normal_form.of("y")
    text = polynomial_text(normal_form.algebra, polynomial, names, letters_of(textbook))
    golden(f"{textbook}\n{circuit}\ny, normal form:\n{text}\n", f"verify/{name}.txt")


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (X + Y * Z, "x[i] + y[i] z[i]"),
        ((X + Y) * Z, "(x[i] + y[i]) z[i]"),
        (X - (Y - Z), "x[i] - (y[i] - z[i])"),
        (-X - Y, "-x[i] - y[i]"),
        (-(X + Y), "-(x[i] + y[i])"),
        (X * ONE + ZERO, "x[i]"),
        (X * ZERO, "0"),
        (ZERO, "0"),
        (ONE, "1"),
        (total(SOURCE, ZERO * X), "0"),
        (total(QUERY, X) + Y, "Σ_i x[i] + y[i]"),
        (total(QUERY, X + Y), "Σ_i (x[i] + y[i])"),
        (total(QUERY, -X), "Σ_i (-x[i])"),
        (total(QUERY, total(SOURCE, X)), "Σ_i,j x[i]"),
        (Y * total(QUERY, X), "y[i] Σ_i x[i]"),
        (total(QUERY, X) * Y, "(Σ_i x[i]) y[i]"),
        (ONE / X, "1/x[i]"),
        (X / (Y + Z), "x[i] / (y[i] + z[i])"),
        (X / Y / Z, "x[i] / (y[i] z[i])"),
        (X / exp(Y) * Z, "x[i] z[i] / exp(y[i])"),
        (total(QUERY, X) / total(QUERY, X), "(Σ_i x[i]) / (Σ_i x[i])"),
        (X * total(QUERY, X) / Y, "x[i] (Σ_i x[i]) / y[i]"),
        (X * X * X, "x[i]^3"),
        (Within(SOURCE, QUERY, 0) * X, "x[i] [j - i <= 0]"),
        (Within(SOURCE, QUERY, -2) * X / Y, "x[i] [j - i <= -2] / y[i]"),
        (X * number(0.7), "0.7 x[i]"),
        (Number(Fraction(-1, 3)) * X, "-(1/3) x[i]"),
        (X * Size("key features", Fraction(-1, 2)), "size(key features)^(-1/2) x[i]"),
        (Size("n") * Size("n", Fraction(2)), "size(n) size(n)^2"),
        (Size("n", Fraction(0)) * X, "x[i]"),
        (Apply("nonzero", X) * Y, "y[i] [x[i] ≠ 0]"),
        (Apply("identity", X) + Apply("relu", -X), "x[i] + relu(-x[i])"),
        (Read("scalar", ()) * X, "scalar x[i]"),
    ],
)
def test_parentheses_only_where_needed(expression, text):
    assert str(expression) == text


def test_a_definition():
    assert str(Definition("query", (QUERY,), X + Y)) == "query[i] = x[i] + y[i]"


@pytest.mark.parametrize(
    ("value", "text"),
    [("1/2", "0.5"), ("-3/40", "-0.075"), ("12", "12"), ("1/3", ""), ("1/1000000", "0.000001")],
)
def test_decimals_are_exact(value, text):
    assert decimal(Fraction(value)) == text


def test_tidy_keeps_sums_apart_that_share_a_name():
    nested = total(QUERY, X * total(QUERY, X))
    assert tidy(nested) == nested
    assert str(total(QUERY, total(QUERY, X))) == "Σ_i Σ_i x[i]"


def test_no_index_hides_another_in_a_normal_form():
    """An exponential over the features m inside a sum over m: the inner one is m'."""
    spec = BY_NAME["one_head"].spec
    textbook = reference(spec)
    normal_form = NormalForm(Algebra(), textbook)
    nested = []

    def check(expression, above):
        from cortico.verify.equations.language import Sum, children

        if isinstance(expression, Sum):
            own = {index.name for index in expression.indices}
            assert not own & above
            nested.append(len(above))
            above = above | own
        for child in children(expression):
            check(child, above)

    check(normal_form_expression(normal_form, "y"), {"i", "o"})
    assert max(nested) >= 4  # sums stand in sums


def test_names_without_letters():
    algebra = Algebra()
    row = algebra.factor(
        algebra.heads.tensor("w", (formal(QUERY, 0), formal(Index("a", "3 key"), 1)))
    )
    summed = algebra.sum_over(row, (formal(Index("a", "3 key"), 1),))
    assert polynomial_text(algebra, summed, {formal(QUERY, 0): "k"}) == "Σ_k' w[k, k']"
    assert polynomial_text(algebra, {}, {}) == "0"
    negative = algebra.add(algebra.constant(Fraction(2)), algebra.scale(summed, Fraction(-1)))
    assert polynomial_text(algebra, negative, {formal(QUERY, 0): "i"}) == "2\n- Σ_k w[i, k]"


def test_powers_of_a_reciprocal():
    whole = Product((X / Y, ONE / Y))
    assert str(whole) == "x[i] / (y[i]^2)"
