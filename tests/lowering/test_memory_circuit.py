"""The memory circuit: its size, its errors, and that it is the attention of the mask circuit."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.ir import SpecError
from cortico.lowering import lower
from cortico.spec import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    Microcircuit,
    NormKind,
    NormOver,
    PositionBias,
    QueryKeyNorm,
    Rotary,
)
from cortico.spec.weights import random_weights
from tests.cases import CASES
from tests.covering import every_case
from tests.oracle import textbook_attention

LINEAR = AttentionSpec(model=8, heads=2, kernel=Kernel.LINEAR)
MEMORY = replace(LINEAR, microcircuit=Microcircuit.MEMORY)
MEMORY_CASES = [c for c in CASES if c.spec.microcircuit is Microcircuit.MEMORY]


@pytest.mark.parametrize("case", every_case(MEMORY_CASES))
def test_equals_the_mask_circuit(case):
    run = get_backend("reference").run
    mask = lower(replace(case.spec, microcircuit=Microcircuit.MASK), case.weights)
    expected = run(mask, case.inputs)["y"]
    found = run(lower(case.spec, case.weights), case.inputs)["y"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("over", NormOver)
def test_keys_with_a_layer_norm(over):
    norm = QueryKeyNorm(over, 0.25, NormKind.LAYER, own_gains=True, bias=True)
    spec = replace(MEMORY, mask=Mask.CAUSAL, qk_norm=norm, rotary=Rotary(), bias=Bias(key=True))
    weights, x = random_weights(spec), np.random.default_rng(0).standard_normal((5, 8))
    found = get_backend("reference").run(lower(spec, weights), {"x": x})["y"]
    np.testing.assert_allclose(found, textbook_attention(spec, weights, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mask", [Mask.NONE, Mask.CAUSAL])
@pytest.mark.parametrize("tokens", [1, 7, 4096, "n"])
def test_size_does_not_depend_on_tokens(mask, tokens):
    """H·d_v·d_k cells each of association, memory and deep."""
    circuit = lower(replace(MEMORY, mask=mask, tokens=tokens))
    counts = circuit.counts()
    pairs = 2 * 4 * 4
    for name in ("association", "memory", "deep"):
        assert counts.neurons_of[name] == pairs
    assert counts.neurons == 3 * pairs + 3 * 8  # and two relays in, one out
    assert counts.synapses_of["store"] == counts.synapses_of["recall"] == pairs
    for name in ("key", "value", "query", "output"):
        assert counts.synapses_of[name] == pairs * 8


def test_grouped_heads_share_a_memory():
    circuit = lower(replace(MEMORY, heads=4, kv_heads=2, key_features=3, value_features=5))
    counts = circuit.counts()
    assert counts.neurons_of["memory"] == counts.neurons_of["association"] == 2 * 3 * 5
    assert counts.neurons_of["deep"] == 4 * 3 * 5


def test_a_causal_memory_runs_on_the_clock_of_the_queries():
    causal = lower(replace(MEMORY, mask=Mask.CAUSAL))
    assert causal.population("memory").axes == ("h", "i", "c", "a")
    store = next(p for p in causal.projections if p.name == "store")
    assert [str(bound) for bound in store.domain] == ["j - i <= 0"]
    assert lower(MEMORY).population("memory").axes == ("h", "c", "a")


def test_the_past_does_not_see_the_future():
    spec = replace(MEMORY, mask=Mask.CAUSAL, rotary=Rotary(), bias=Bias(key=True))
    circuit = lower(spec, random_weights(spec))
    x = np.random.default_rng(0).standard_normal((6, 8))
    changed = np.concatenate([x[:4], x[4:] + 1])
    run = get_backend("numpy").run
    first, second = (run(circuit, {"x": each})["y"] for each in (x, changed))
    np.testing.assert_allclose(first[:4], second[:4], rtol=1e-12)
    assert np.abs(first[4:] - second[4:]).min() > 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernel": Kernel.SOFTMAX}, "needs kernel = linear, found softmax"),
        ({"mask": Mask.WINDOW, "window": 3}, "never forgets"),
        ({"soft_cap": 30.0}, "needs soft_cap to be absent, found 30.0"),
        ({"position_bias": PositionBias.ALIBI}, "needs position_bias = none, found alibi"),
    ],
)
def test_what_a_memory_cannot_do(fields, message):
    with pytest.raises(SpecError, match=message):
        replace(MEMORY, **fields)
