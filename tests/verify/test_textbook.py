"""An error in the one statement of attention is seen: beside right circuits, and where a circuit has it too."""

from dataclasses import replace

import pytest

from cortico.lowering import lower
from cortico.spec import AttentionSpec, Bias, Mask, PositionBias, QueryKeyNorm, Rotary
from cortico.spec.weights import random_weights
from cortico.verify import independent
from cortico.verify.equations.language import (
    ZERO,
    Definition,
    Read,
    Within,
    number,
    offset,
    total,
)
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import Textbook, reference
from cortico.verify.independent import Subject
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from tests.covering import first

SPEC = AttentionSpec(model=6, heads=2, mask=Mask.CAUSAL, bias=Bias(True, True, True, True))
ATTENTION, CONTENT, ARRANGED = Textbook.attention, Textbook.content, Textbook.arranged


def over_queries(book):
    """Softmax over the wrong axis."""
    score, weight, _, _ = ATTENTION(book)
    h, i, j = book.h, book.i, book.j
    weights = Read("weight", (*h, i, j))
    mask = weights / Read("normaliser", (*h, j))
    return [
        score,
        weight,
        Definition("normaliser", (*h, j), total(i, weights)),
        Definition("mask", (*h, i, j), mask),
    ]


def turned_back(book):
    """Queries turned the wrong way round."""
    rows, (p, s), t = CONTENT(book), book.a, book.b[-1]
    turn = Read("rotation(frequencies)", (book.i, p, t, s))
    turned = total(t, turn * Read("query", (*book.h, book.i, *book.b)))
    return [replace(row, body=turned) if row.tensor == "turned_query" else row for row in rows]


def without_value_bias(book, name, *indices):
    return ZERO if name == "b_V" else Read(name, indices)


def heads_swapped(book, name, array):
    return ARRANGED(book, name, array[::-1] if name == "W_Q" else array)


#: What is wrong: a spec that shows it, and what it is in the textbook.
STATEMENT = {
    "no scale": (SPEC, "scale", lambda book: ()),
    "the mask flipped": (SPEC, "seen", lambda book: Within(book.i, book.j, 0)),
    "a bias forgotten": (SPEC, "bias", without_value_bias),
    "softmax over queries": (SPEC, "attention", over_queries),
    "rotation sign": (replace(SPEC, key_features=4, rotary=Rotary()), "content", turned_back),
    "no sink": (replace(SPEC, sink=True), "sink", lambda book: ZERO),
    "an extra source that gives nothing": (
        replace(SPEC, extra_source=True),
        "extra_mask",
        lambda book: [Definition("extra_mask", (*book.h, book.i), ZERO)],
    ),
    "slopes up": (
        replace(SPEC, position_bias=PositionBias.ALIBI),
        "position_bias",
        lambda book: Read("alibi_slopes", book.h) * offset(book.j, book.i),
    ),
    "a sum for a mean": (
        replace(SPEC, heads=1, bias=Bias(), key_features=2, qk_norm=QueryKeyNorm()),
        "mean",
        lambda book, head, body: total((*book.own(head), *book.b), body),
    ),
    "no cap": (
        replace(SPEC, soft_cap=0.7),
        "saturation",
        lambda book: Read("uncapped", (*book.h, book.i, book.j)) / number(0.7),
    ),
    "no padding": (
        replace(SPEC, key_padding=True),
        "seen",
        lambda book: Within(book.j, book.i, 0),
    ),
}
LAYOUT = {
    "heads swapped": (SPEC, "arranged", heads_swapped),
    "other pairs": (
        replace(SPEC, key_features=4, rotary=Rotary()),
        "_paired",
        lambda book: range(book.spec.d_key),
    ),
}


@pytest.mark.parametrize("what", first(4, STATEMENT))
def test_a_wrong_statement_is_refuted_beside_a_right_circuit(monkeypatch, what):
    spec, name, wrong = STATEMENT[what]
    monkeypatch.setattr(Textbook, name, wrong)
    circuit = lower(spec)
    (outcome,) = compare(reference(spec), circuit_equations(circuit))
    assert outcome.verdict is Known.REFUTED
    assert not independent.identity_testing(Subject(spec, None, circuit, circuit)).holds
    assert not independent.elementwise_sympy(Subject(spec, None, circuit, circuit)).holds


@pytest.mark.parametrize("what", LAYOUT)
def test_a_wrong_layout_is_refuted_beside_a_right_circuit(monkeypatch, what):
    spec, name, wrong = LAYOUT[what]
    monkeypatch.setattr(Textbook, name, wrong)
    circuit = lower(spec)
    assert independent.misplaced(spec, None, circuit) is not None
    assert not independent.identity_testing(Subject(spec, None, circuit, circuit)).holds


@pytest.mark.slow
def test_an_error_that_the_circuit_has_too_is_seen_by_pytorch(monkeypatch):
    weights = random_weights(SPEC, 1)
    wrong = lower(replace(SPEC, scale=1.0), weights)
    monkeypatch.setattr(Textbook, "scale", lambda book: ())
    (outcome,) = compare(reference(SPEC), circuit_equations(wrong))
    assert outcome.verdict is Known.PROVED
    subject = Subject(SPEC, weights, wrong, wrong)
    assert independent.identity_testing(subject).holds
    assert not independent.compiled_output(subject).holds
    assert not independent.lowered_gradients(subject).holds
