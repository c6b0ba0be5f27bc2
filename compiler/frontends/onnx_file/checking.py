"""The last word: what was read computes what the graph computes, or it is refused."""

from __future__ import annotations

import numpy as np

from cortico.frontends.onnx_file.inputs import UNSEEN, Role
from cortico.frontends.onnx_file.masking import folded, seen
from cortico.frontends.onnx_file.probe import Probe
from cortico.frontends.onnx_file.rotation import Turning, turned
from cortico.ir.errors import SpecError
from cortico.spec import AttentionSpec
from cortico.spec.weights import rotary_frequencies

#: Largest difference, relative to the largest output; tables in float32 are that far off.
_TOLERANCE = 1e-5
#: How far all positions are moved: what turns with them must not mind.
_SHIFT = 3


def check(probe: Probe, spec: AttentionSpec, weights: dict[str, np.ndarray], output: str) -> None:
    """SpecError unless spec and weights give the graph's output for random tokens, some of them padding."""
    rng = np.random.default_rng(0)
    given = {s.name: rng.standard_normal(s.shape) for s in (probe.sources, probe.queries)}
    keep = np.ones(probe.sources.shape[:2], bool)
    bias = np.zeros((*probe.queries.shape[:2], probe.sources.tokens))
    for name, role in probe.roles.items():
        keep = keep & probe.some_exist(name) if role.pads else keep
        bias = probe.some_bias(name) if role.of_pairs else bias
    x, context = given[probe.queries.name], given[probe.sources.name]
    expected, seeing = _textbook(spec, weights, x, context, keep, bias)
    (found,) = probe.graph.evaluate({**probe.inputs(keep, bias=bias), **given}, [output])
    _compare(probe, found.reshape(expected.shape), expected, seeing)
    if Role.POSITIONS in probe.roles.values() and _moves(probe):
        inputs = probe.inputs(keep, _SHIFT, bias)
        (moved,) = probe.graph.evaluate({**inputs, **given}, [output])
        _compare(probe, moved.reshape(expected.shape), expected, seeing)


def check_turning(
    probe: Probe, maps: dict[str, np.ndarray], turning: Turning | None, few: int
) -> None:
    """SpecError unless queries and keys turn evenly at all positions of a probe.

    `maps` are those at position 0, (heads, features, width + 1), measured with `few` tokens.
    """
    rng = np.random.default_rng(0)
    for part, word, name, stream in (
        ("Q", "queries", probe.site.query, probe.queries),
        ("K", "keys", probe.site.key, probe.sources),
    ):
        tokens = rng.standard_normal(stream.shape)
        (found,) = probe.graph.evaluate({**probe.inputs(), stream.name: tokens}, [name])
        expected = np.einsum("ham,bnm->bhna", maps[part][..., :-1], tokens)
        expected = expected + maps[part][:, None, :, -1]
        if turning:
            rates = turning.rates(maps[part].shape[1])
            expected = turned(expected, rates, turning.rotary.style)
        error = np.abs(probe.split(found, part) - expected).max() / np.abs(expected).max()
        if not error < _TOLERANCE:
            raise SpecError(
                f"{probe.graph.source}: with {stream.tokens} tokens {word} are not what they are with "
                f"{few}: they differ by {error:.1e} (relative)"
            )


def _moves(probe: Probe) -> bool:
    """Whether the graph takes positions that do not begin at zero; tables may end."""
    try:
        probe.graph.evaluate({**probe.silence(), **probe.inputs(shift=_SHIFT)}, [probe.site.query])
    except SpecError:
        return False
    return True


def _compare(probe: Probe, found: np.ndarray, expected: np.ndarray, seeing: np.ndarray) -> None:
    """SpecError unless outputs (examples, tokens, out) are the same where a token sees any other."""
    error = np.abs(found - expected)[seeing].max() / np.abs(expected[seeing]).max()
    if not error < _TOLERANCE:
        raise SpecError(
            f"{probe.graph.source}: attention {probe.site.result!r} is none that a spec can say: with "
            f"{probe.queries.tokens} tokens what was read of it differs by {error:.1e} (relative)"
        )


def _textbook(
    spec: AttentionSpec,
    weights: dict[str, np.ndarray],
    x: np.ndarray,
    context: np.ndarray,
    keep: np.ndarray,
    bias: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The output (examples, tokens, out) of the spec, by its formula; and which tokens see any (examples, tokens)."""
    query = _turned(spec, weights, _mapped(weights, "Q", x))
    key, value = (_mapped(weights, name, context) for name in "KV")
    key = _turned(spec, weights, key)
    key, value = (np.repeat(array, spec.members, axis=1) for array in (key, value))
    scale = spec.d_key**-0.5 if spec.scale is None else spec.scale
    scores = scale * query @ key.swapaxes(-1, -2)
    if spec.soft_cap is not None:
        scores = spec.soft_cap * np.tanh(scores / spec.soft_cap)
    queries, keys = scores.shape[-2:]
    if "alibi_slopes" in weights:
        distance = np.arange(keys) - np.arange(queries)[:, None]
        scores = scores + weights["alibi_slopes"][:, None, None] * distance
    scores = scores + weights.get("position_bias", 0) + bias[:, None]
    live = seen(spec.mask, spec.window, queries, keys) & keep[:, None, None, :]
    live = live & (bias[:, None] > UNSEEN)
    summed = folded(scores, weights.get("sink"), live) @ value
    out = np.einsum("hoc,bhnc->bno", weights["W_O"], summed)
    return np.asarray(out + weights.get("b_O", 0)), live.any(-1)[:, 0]


def _mapped(weights: dict[str, np.ndarray], name: str, tokens: np.ndarray) -> np.ndarray:
    mapped = np.einsum("ham,bnm->bhna", weights[f"W_{name}"], tokens)
    bias = weights.get(f"b_{name}")
    return np.asarray(mapped if bias is None else mapped + bias[:, None, :])


def _turned(spec: AttentionSpec, weights: dict[str, np.ndarray], rates: np.ndarray) -> np.ndarray:
    if spec.rotary is None:
        return rates
    frequencies = weights.get("rotary_frequencies")
    angles = rotary_frequencies(spec) if frequencies is None else frequencies
    return turned(rates, angles, spec.rotary.style)
