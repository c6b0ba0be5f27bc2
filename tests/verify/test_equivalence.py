"""Every case is the textbook for every size, and the textbook's equations are the oracle's numbers."""

import numpy as np
import pytest

from cortico.lowering import lower
from cortico.verify.equations.evaluate import evaluate
from cortico.verify.equations.language import (
    Definition,
    Equations,
    Index,
    Number,
    Read,
    Size,
    Sum,
    exp,
    number,
    renamed_indices,
    total,
)
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from tests.covering import every_case
from tests.oracle import textbook_attention
from tests.verify.numbers import sizes_of, split


@pytest.mark.parametrize("case", every_case(thorough=True))
def test_circuit_is_the_textbook_for_every_size(case):
    (outcome,) = compare(reference(case.spec), circuit_equations(lower(case.spec)))
    assert outcome.verdict is Known.PROVED, outcome.reason
    (back,) = compare(circuit_equations(lower(case.spec)), reference(case.spec))
    assert back.verdict is Known.PROVED, back.reason


def numbers_of(case, example=0):
    """Sizes of the textbook's sorts, and everything given, for one example of a case."""
    inputs = {name: np.asarray(a[example], dtype=float) for name, a in case.inputs.items()}
    source = inputs["context" if case.spec.cross else "x"]
    given = split(case.spec, {**case.weights, **inputs})
    return sizes_of(case.spec, len(inputs["x"]), len(source)), given, inputs


@pytest.mark.parametrize("case", every_case(thorough=True))
def test_equations_are_the_oracle(case):
    for example in range(2):
        sizes, given, inputs = numbers_of(case, example)
        expected = textbook_attention(case.spec, case.weights, **inputs)
        found = evaluate(reference(case.spec), sizes, given)["y"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


# ---- what must not be claimed --------------------------------------------------------------------

i, j = Index("i", "s"), Index("j", "s")
x_i, x_j, t_i = Read("x", (i,)), Read("x", (j,)), Read("t", (i,))


def verdict(one, other, indices=(i,), given=None, others=None):
    given = given or {"x": ("s",), "t": ("s",)}
    left = Equations(given, (Definition("y", indices, one),), ("y",))
    right = Equations(given, (Definition("y", others or indices, other),), ("y",))
    return compare(left, right)[0].verdict


def test_indices_that_nothing_reads_still_count():
    """An output over (i, j) is not one over i, even where it is the same along j."""
    assert verdict(x_i, x_i, (i, j), others=(i,)) is not Known.PROVED


def test_exponentials_that_no_float_holds_refute_nothing():
    small = exp(number(-800.0) * (x_i * x_i))
    unknown_to_rules = t_i * t_i / t_i
    assert verdict(unknown_to_rules * (small / small), t_i) is not Known.REFUTED


def test_renaming_keeps_two_primed_indices_two():
    """Σ over i and i' stays a sum over two indices where both names are needed elsewhere."""
    k, u, prime = Index("k", "s"), Index("u", "s"), Index("i'", "s")
    body = Sum((i, prime), Read("A", (i, prime)) * Read("B", (k, u)))
    renamed = renamed_indices(body, {k: i, u: prime})
    assert len(set(renamed.indices)) == 2


def test_a_size_alone():
    assert verdict(total(j, Number(1)), Size("s")) is Known.PROVED
    assert verdict(total(j, x_j), Size("s") * x_i) is Known.REFUTED
