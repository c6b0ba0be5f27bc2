"""The last word: what was read computes what the graph computes, or it is refused."""

from __future__ import annotations

import numpy as np

from cortico.frontends.onnx_file.graph import OnnxGraph
from cortico.frontends.onnx_file.masking import seen
from cortico.frontends.onnx_file.probe import Probe
from cortico.frontends.onnx_file.rotation import turn
from cortico.ir.errors import SpecError
from cortico.spec import AttentionSpec
from cortico.spec.weights import rotary_frequencies

#: Largest difference, relative to the largest output; tables in float32 are that far off.
_TOLERANCE = 1e-5


def check(
    graph: OnnxGraph, probe: Probe, spec: AttentionSpec, weights: dict[str, np.ndarray], output: str
) -> None:
    """SpecError unless spec and weights give the graph's output for random tokens.

    Operators of onnxruntime are taken at their word: onnx cannot evaluate them.
    """
    if probe.site.result in graph.maker and graph.maker[probe.site.result].domain:
        return
    rng = np.random.default_rng(0)
    given = {s.name: rng.standard_normal(s.shape) for s in (probe.sources, probe.queries)}
    (found,) = graph.evaluate({**probe.inputs, **given}, [output])
    expected = _textbook(spec, weights, given[probe.queries.name], given[probe.sources.name])
    error = np.abs(found.reshape(expected.shape) - expected).max() / np.abs(expected).max()
    if not error < _TOLERANCE:
        raise SpecError(
            f"{graph.source}: attention {probe.site.result!r} is none that a spec can say: what was read of "
            f"it differs by {error:.1e} (relative)"
        )


def _textbook(
    spec: AttentionSpec, weights: dict[str, np.ndarray], x: np.ndarray, context: np.ndarray
) -> np.ndarray:
    """The output (examples, tokens, out) of the spec, by its formula."""
    query = _turned(spec, weights, _mapped(weights, "Q", x))
    key, value = (_mapped(weights, name, context) for name in "KV")
    key = _turned(spec, weights, key)
    key, value = (np.repeat(array, spec.members, axis=1) for array in (key, value))
    scale = spec.d_key**-0.5 if spec.scale is None else spec.scale
    scores = scale * query @ key.swapaxes(-1, -2)
    queries, keys = scores.shape[-2:]
    if "alibi_slopes" in weights:
        distance = np.arange(keys) - np.arange(queries)[:, None]
        scores = scores + weights["alibi_slopes"][:, None, None] * distance
    scores = scores + weights.get("position_bias", 0)
    scores = np.where(seen(spec.mask, spec.window, queries, keys), scores, -np.inf)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    summed = shares @ value / shares.sum(-1, keepdims=True)
    out = np.einsum("hoc,bhnc->bno", weights["W_O"], summed)
    return np.asarray(out + weights.get("b_O", 0))


def _mapped(weights: dict[str, np.ndarray], name: str, tokens: np.ndarray) -> np.ndarray:
    mapped = np.einsum("ham,bnm->bhna", weights[f"W_{name}"], tokens)
    bias = weights.get(f"b_{name}")
    return np.asarray(mapped if bias is None else mapped + bias[:, None, :])


def _turned(spec: AttentionSpec, weights: dict[str, np.ndarray], rates: np.ndarray) -> np.ndarray:
    if spec.rotary is None:
        return rates
    frequencies = weights.get("rotary_frequencies")
    angles = rotary_frequencies(spec) if frequencies is None else frequencies
    rotated = spec.rotated_features
    turns = [
        turn(t * angles, spec.rotary.style, rotated, spec.d_key) for t in range(rates.shape[2])
    ]
    return np.asarray(np.einsum("nac,bhnc->bhna", np.stack(turns), rates))
