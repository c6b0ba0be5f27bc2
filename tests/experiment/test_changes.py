"""What is said to change, against attention written down from its formulas."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cortico import lower, random_weights
from cortico.backends.reference import ReferenceBackend
from cortico.experiment import effects, lesion
from cortico.experiment.changes import change
from cortico.ir import Output, TensorRef
from cortico.spec import AttentionSpec, Kernel, Mask
from tests.oracle import textbook_attention

SPEC = AttentionSpec(12, heads=3, mask=Mask.CAUSAL)
WEIGHTS = random_weights(SPEC, 3)
X = np.random.default_rng(1).standard_normal((5, 12))


def found(target, factor=0.0, spec=SPEC, backend="reference", x=X):
    circuit = lower(spec, WEIGHTS)
    return effects(circuit, lesion(circuit, target, factor), {"x": x}, backend=backend)


def relative(before, after):
    return np.linalg.norm(after - before) / np.linalg.norm(before)


def shares(weights, head):
    """Attention of one head, softmax of causal scores, in NumPy."""
    q, k = (X @ weights[name][head].T for name in ("W_Q", "W_K"))
    score = np.where(np.tril(np.ones((5, 5))), q @ k.T / np.sqrt(4), -np.inf)
    e = np.exp(score - score.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_an_output_without_one_head():
    ablated = {**WEIGHTS, "W_O": WEIGHTS["W_O"] * np.array([1, 0, 1])[:, None, None]}
    before, after = (textbook_attention(SPEC, w, X) for w in (WEIGHTS, ablated))
    seen = found("layer:L2/3@area=1")
    np.testing.assert_allclose(seen.given["y"], after, rtol=1e-12, atol=1e-14)
    assert seen.outputs == pytest.approx({"y": relative(before, after)}, rel=1e-12)
    assert [area.attention for area in seen.areas] == [0.0, pytest.approx(1.0), 0.0]
    assert [area.populations["deep"] for area in seen.areas] == [0.0, pytest.approx(1.0), 0.0]
    assert seen.shared["relay"] == seen.outputs["y"]
    assert seen.shared["core_source"] == 0.0


def test_where_attention_goes_with_half_the_query():
    halved = {**WEIGHTS, "W_Q": WEIGHTS["W_Q"] / 2}
    seen = found("nucleus:matrix", 0.5)
    for head in range(3):
        expected = relative(shares(WEIGHTS, head), shares(halved, head))
        assert seen.areas[head].attention == pytest.approx(expected, rel=1e-12)
        assert seen.areas[head].populations["superficial"] == pytest.approx(0.5)


def test_attention_leaves_out_padding():
    """The mask cells that hear which tokens exist are those that hold attention."""
    spec = replace(SPEC, key_padding=True)
    circuit, keep = lower(spec, WEIGHTS), np.array([1, 0, 1, 1, 1])
    cut = lesion(circuit, "population:matrix_query", 0.5)
    seen = effects(circuit, cut, {"x": X, "keep": keep})

    def kept(weights):
        p = shares(weights, 2) * keep
        return p / p.sum(axis=1, keepdims=True)

    halved = {**WEIGHTS, "W_Q": WEIGHTS["W_Q"] / 2}
    expected = relative(kept(WEIGHTS), kept(halved))
    assert seen.areas[2].attention == pytest.approx(expected, rel=1e-12)


def test_scaling_all_mask_cells_moves_no_attention():
    seen = found("population:mask", 4.0)
    assert seen.outputs["y"] < 1e-14
    assert all(area.attention < 1e-14 for area in seen.areas)
    assert all(area.populations["mask"] == pytest.approx(3.0) for area in seen.areas)


def test_backends_agree_on_a_batch():
    x = np.random.default_rng(2).standard_normal((3, 4, 12))
    one, other = (found("layer:L5@area=0,2", 0.3, backend=b, x=x) for b in ("reference", "numpy"))
    assert one.given["y"].shape == (3, 4, 12)
    assert one.outputs == pytest.approx(other.outputs, rel=1e-9)
    for mine, theirs in zip(one.areas, other.areas, strict=True):
        assert mine.populations == pytest.approx(theirs.populations, abs=1e-9)


def test_linear_circuits_have_no_mask_cells():
    seen = found("layer:L2/3@area=1", spec=replace(SPEC, kernel=Kernel.LINEAR))
    assert {area.attention for area in seen.areas} == {None}
    assert json.loads(json.dumps(seen.record()))["areas"][1]["attention"] is None


def test_large_scores_in_single_precision():
    """exp(100) is no number in float32; the mask cells fire it all the same."""
    x = (15 * X).astype(np.float32)
    seen = found("layer:L2/3@area=1", x=x, backend="numpy")
    assert seen.areas[1].populations["mask"] == 1.0
    assert seen.areas[0].populations["mask"] == 0.0


def test_what_is_no_number_is_a_text_in_json():
    with np.errstate(all="ignore"):
        seen = found("layer:L2/3@area=1", x=1000 * X)
    assert np.isnan(seen.areas[0].populations["mask"])
    assert seen.record()["areas"][0]["populations"]["mask"] == "nan"
    assert seen.areas[0].populations["superficial"] == 0.0


def test_change():
    one, zero = np.ones(4), np.zeros(4)
    assert change(one, one) == 0
    assert change(one, zero) == 1
    assert change(zero, zero) == 0
    assert change(zero, one) is None
    assert change(one, 3 * one) == pytest.approx(2, rel=1e-15)


def test_outputs_may_be_called_like_probes():
    circuit = lower(SPEC, WEIGHTS)
    deep = circuit.population("deep")
    more = Output("rate_0", TensorRef("deep", deep.axes))
    circuit = replace(circuit, outputs=(*circuit.outputs, more))
    seen = effects(circuit, lesion(circuit, "population:deep"), {"x": X})
    assert seen.outputs == {"y": pytest.approx(1.0), "rate_0": pytest.approx(1.0)}
    assert set(seen.given) == set(ReferenceBackend().run(circuit, {"x": X}))
