"""The textbook of every block, PyTorch and the oracle of the tests agree on numbers; each sees errors of another."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import Gain, UnsupportedError
from cortico.lowering import lower
from cortico.spec import (
    AttentionSpec,
    Dense,
    Embedding,
    FeedForward,
    ModelSpec,
    Norm,
    Pooling,
    Residual,
)
from cortico.spec.model_weights import random_model
from cortico.spec.weights import random_weights
from cortico.verify import independent
from cortico.verify.claims import verify_compilation
from cortico.verify.composition.numbers import own_weights
from cortico.verify.composition.terms import all_terms, terms_of
from cortico.verify.equations import blocks as textbook
from cortico.verify.equations.closed_forms import closed_forms, trained
from cortico.verify.equations.evaluate import at_positions, evaluate
from cortico.verify.equations.gradients import ERROR
from cortico.verify.equations.language import number, total
from cortico.verify.equations.reference import book
from cortico.verify.equations.sorts import sizes_of
from cortico.verify.independent import Subject
from cortico.verify.numbers import Numbers
from cortico.verify.pytorch import torch_model
from cortico.verify.pytorch.blocks import transfer
from tests.model_oracle import forward
from tests.verify.models.block_specs import called, some_blocks
from tests.verify.models.networks import MODELS


def by_the_textbook(numbers):
    """The output and the gradients by the closed forms, on the numbers that PyTorch has."""
    spec, page = numbers.spec, book(numbers.spec)
    inputs = dict(numbers.inputs)
    for name in ("tokens", "types"):
        if name in inputs:
            count = page.extents()["kinds of tokens" if name == "tokens" else "types"]
            inputs[name] = np.eye(count)[inputs[name]]
    given = {**numbers.weights, **inputs, ERROR: numbers.error}
    given |= at_positions(page.of_positions(), given, numbers.sizes.get("tokens", 0))
    system = closed_forms(spec)
    return evaluate(system, sizes_of(system, given), given)


def differences(numbers):
    """How far the textbook is from PyTorch, in the output and in each gradient."""
    found = by_the_textbook(numbers)
    errors = {"y": np.abs(found["y"] - numbers.torch.y).max()}
    for name in trained(numbers.spec):
        errors[name] = np.abs(found[f"d.{name}"] - numbers.torch.gradients[name]).max()
    return errors


@pytest.mark.slow
def test_the_textbook_is_pytorch():
    for spec in some_blocks():
        numbers = Numbers(spec, None, (6, 5))
        assert max(differences(numbers).values()) < 1e-12, (spec, differences(numbers))


def without_bias(book, weight, bias):
    return total(book.m, book.read(weight) * book.read("x"))


MUTANTS = {
    "mean": (textbook.OfNorm, lambda book, body: total(book.m, body), Norm(4)),
    "saturation": (textbook.OfDense, lambda book: number(0.5), Dense(4, 3, soft_cap=2.0)),
    "inward": (textbook.OfFeedForward, without_bias, FeedForward(4, 3, "tanh", bias_in=True)),
    "count": (textbook.OfPooling, lambda book: number(3), Pooling(4)),
    "kept": (textbook.OfPooling, number(1), Pooling(4)),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_pytorch_sees_an_error_of_the_textbook(name, monkeypatch):
    home, wrong, spec = MUTANTS[name]
    numbers = Numbers(spec, None, (6, 5))
    assert differences(numbers)["y"] < 1e-12
    monkeypatch.setattr(home, name, wrong)
    assert differences(numbers)["y"] > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_whole_models_in_pytorch_are_the_oracles(name):
    spec = MODELS[name]
    weights, rng = random_model(spec, 3), np.random.default_rng(0)
    ids, other, keep = rng.integers(0, 6, 5), rng.integers(0, 6, 5), np.array([1, 0, 1, 1, 0], bool)
    inputs = {"tokens": ids, "keep": keep, "types": ids % 2, "decoder_tokens": other}
    x = rng.standard_normal((5, spec.stack.model))
    if spec.stack.embedding is None:
        inputs = {"x": x}
    inputs |= {"decoder_keep": np.ones(5, bool)} if spec.encoder else {}
    decoder = other if spec.encoder else None
    found = torch_model(spec, weights, inputs)
    given = None if "x" in inputs else ids
    rates = x if "x" in inputs else None
    padded = keep if name in ("bert", "seq2seq") else None
    wanted = forward(spec, weights, given, padded, ids % 2, rates, decoder)
    assert found.keys() == wanted.keys()
    for output, array in wanted.items():
        np.testing.assert_allclose(found[output], array, rtol=1e-11, atol=1e-12)


def test_paths_of_terms_are_those_of_the_weights():
    for spec in MODELS.values():
        terms = all_terms(terms_of(spec).values())
        weights = random_model(spec, 0)
        assert set(weights) <= set(terms)
        own = own_weights(spec, terms, weights)
        if spec.readout is not None:
            table = "decoder.embedding" if spec.encoder else "embedding"
            assert own["readout"]["W"] is weights[table]["W_token"]
        assert isinstance(spec, ModelSpec)


# ---- claims of single blocks ---------------------------------------------------------------------

BLOCKS = [
    Norm(6, shift=True),
    FeedForward(6, 4, "gelu", gated=True, bias_in=True, output=3),
    Dense(6, 3, bias=True, scale=0.3, soft_cap=2.0),
    Embedding(7, 4, types=2, positions=9, scale=2.0),
    Residual(6, branches=2, scale=0.5),
    Pooling(6, unit=True),
    Pooling(6, pool="first"),
]


@pytest.mark.slow
@pytest.mark.parametrize("spec", BLOCKS, ids=called)
def test_claims_of_blocks_read_as_those_of_attention(spec):
    weights = random_weights(spec, 1)
    found = verify_compilation(spec, weights, lower(spec, weights), (), ())
    attention = AttentionSpec(6, heads=2)
    other = verify_compilation(attention, None, lower(attention), (), ())
    what = independent.called(spec)
    assert found.holds
    assert [
        c.claim.replace(what, "attention") for c in found.claims if "gradients by" not in c.claim
    ] == [
        c.claim.replace("random weights", "the spec's weights")
        for c in other.claims
        if "gradients by" not in c.claim
    ]


@pytest.mark.parametrize("spec", BLOCKS[:5], ids=called)
def test_independent_checkers_refute_another_circuit(spec):
    """One whose output is doubled: the last projection, or all that drives the last cells."""
    circuit = lower(spec)
    last = circuit.outputs[0].source.name
    doubled = tuple(
        replace(p, weight=replace(p.weight, gain=p.weight.gain * Gain(2.0)))
        if p.post == last
        else p
        for p in circuit.projections
    )
    if not any(p.post == last for p in circuit.projections):
        pytest.skip("nothing projects to the last cells")
    wrong = replace(circuit, projections=doubled)
    weights = random_weights(spec, 1)
    subject = Subject(spec, weights, wrong, wrong)
    assert not independent.identity_testing(subject).holds
    assert not independent.compiled_output(subject).holds
    assert not independent.lowered_gradients(subject).holds


def test_functions_that_pytorch_lacks_are_refused():
    with pytest.raises(UnsupportedError, match="PyTorch has no function nonsense"):
        transfer("nonsense")
