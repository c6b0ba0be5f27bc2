"""The oracle against PyTorch in float64: scaled_dot_product_attention and nn.MultiheadAttention."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from cortico.spec import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    NormKind,
    NormOver,
    PositionBias,
    QueryKeyNorm,
    Rotary,
    RotaryStyle,
)
from tests.oracle import textbook_attention

N, S, D = 7, 5, 12
LAYER = NormKind.LAYER
KEEP = np.array([True, False, True, True, False, True, True])
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def weights_of(spec, seed=0):
    rng = np.random.default_rng(seed)
    h, g, a, c = spec.heads, spec.groups, spec.d_key, spec.d_value
    source = spec.d_context if spec.cross else spec.model
    shapes = {
        "W_Q": (h, a, spec.model),
        "W_K": (g, a, source),
        "W_V": (g, c, spec.values or source),
        "W_O": (h, spec.d_output, c),
    }
    bias = {"b_Q": (h, a), "b_K": (g, a), "b_V": (g, c), "b_O": (spec.d_output,)}
    flags = (spec.bias.query, spec.bias.key, spec.bias.value, spec.bias.output)
    shapes |= {name: bias[name] for name, on in zip(bias, flags, strict=True) if on}
    if spec.sink:
        shapes["sink"] = (h,)
    if spec.extra_source:
        shapes |= {"extra_K": (g, a), "extra_V": (g, c)}
    if spec.qk_norm:
        own = spec.qk_norm.over is NormOver.WIDTH or spec.qk_norm.own_gains
        for name in ("gain", *["shift"] * spec.qk_norm.bias):
            shapes |= {f"{name}_{m}": (n, a) if own else (a,) for m, n in (("Q", h), ("K", g))}
    if spec.position_bias is PositionBias.ALIBI:
        shapes["alibi_slopes"] = (h,)
    if spec.position_bias is PositionBias.TABLE:
        shapes["position_bias"] = (h, spec.tokens, spec.source_tokens)
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def torch_attention(spec, weights, x, context, seen, extra=0.0, values=None):
    """By PyTorch: `seen` bool (n, source), `extra` is added to the scores; every row sees something."""
    w = {name: torch.tensor(array) for name, array in weights.items()}
    x, context = torch.tensor(x), torch.tensor(context)

    def heads(tokens, m):
        flat = torch.nn.functional.linear(tokens, w[f"W_{m}"].flatten(0, 1))
        split = flat.unflatten(1, w[f"W_{m}"].shape[:2]).transpose(0, 1)
        return split + w[f"b_{m}"][:, None] if f"b_{m}" in w else split

    added = torch.zeros(spec.heads, len(x), len(context), dtype=torch.float64) + torch.as_tensor(
        extra
    )
    added = added.masked_fill(~torch.tensor(seen), -torch.inf)
    of_values = context if values is None else torch.tensor(values)
    q, k, v = heads(x, "Q"), heads(context, "K"), heads(of_values, "V")
    if spec.qk_norm:
        q, k = (normed(spec, t, w, m) for t, m in ((q, "Q"), (k, "K")))
    if spec.soft_cap:  # what is added to scores of zero
        scores = torch.einsum("hia,hja->hij", q, k.repeat_interleave(len(q) // len(k), 0))
        scores = scores * (q.shape[2] ** -0.5 if spec.scale is None else spec.scale)
        added = added + torch.nn.functional.tanhshrink(scores / spec.soft_cap) * -spec.soft_cap
        added = added + scores
        q = torch.zeros_like(q)
    if spec.extra_source:
        k, v = torch.hstack([k, w["extra_K"][:, None]]), torch.hstack([v, w["extra_V"][:, None]])
        added = torch.nn.functional.pad(added, (0, 1))
    if spec.sink:  # a source token with zero key and value, whose score is the logit
        k, v = (torch.cat([t, torch.zeros_like(t[:, :1])], dim=1) for t in (k, v))
        added = torch.cat([added, w["sink"][:, None, None].expand(-1, len(x), 1)], dim=2)
    if spec.semi_saturation:  # as a sink of which the exponential is known
        k, v = (torch.cat([t, torch.zeros_like(t[:, :1])], dim=1) for t in (k, v))
        added = torch.nn.functional.pad(added, (0, 1), value=math.log(spec.semi_saturation))
    out = scaled_dot_product_attention(
        q[None], k[None], v[None], attn_mask=added[None], scale=spec.scale, enable_gqa=True
    )[0]
    y = torch.einsum("hoc,hic->io", w["W_O"], out) + w.get("b_O", 0.0)
    return y.numpy()


def normed(spec, t, w, m):
    """torch.nn's norm of (heads, tokens, features), over each head by itself, or over a token's whole row."""
    kind = torch.nn.LayerNorm if spec.qk_norm.kind is NormKind.LAYER else torch.nn.RMSNorm
    wide = spec.qk_norm.over is NormOver.WIDTH
    rows = [t.transpose(0, 1).flatten(1)] if wide else list(t)
    found = []
    for number, row in enumerate(rows):
        norm = kind(row.shape[-1], eps=spec.qk_norm.eps, dtype=torch.float64)
        for name, there in (("gain", "weight"), ("shift", "bias")):
            given = w.get(f"{name}_{m}")
            if given is not None:
                own = given.flatten() if wide or given.ndim == 1 else given[number]
                getattr(norm, there).data = own
        found.append(norm(row).detach())
    return found[0].unflatten(1, (len(t), -1)).transpose(0, 1) if wide else torch.stack(found)


ROW, COL = np.arange(N)[:, None], np.arange(N)[None, :]
ALL = np.ones((N, N), dtype=bool)
EVERY = Bias(query=True, key=True, value=True, output=True)
CASES = {
    "plain": (AttentionSpec(D, 3), ALL, None),
    "one head": (AttentionSpec(D), ALL, None),
    "bias": (AttentionSpec(D, 3, bias=EVERY), ALL, None),
    "scale": (AttentionSpec(D, 3, scale=0.3), ALL, None),
    "sizes": (AttentionSpec(D, 3, key_features=5, value_features=2, output=9), ALL, None),
    "causal": (AttentionSpec(D, 3, mask=Mask.CAUSAL), COL <= ROW, None),
    "window": (
        AttentionSpec(D, 3, mask=Mask.WINDOW, window=3),
        (COL <= ROW) & (ROW - COL < 3),
        None,
    ),
    "window to both sides": (
        AttentionSpec(D, 3, mask=Mask.BIDIRECTIONAL_WINDOW, window=3),
        np.tri(N, k=2, dtype=bool) & np.tri(N, k=2, dtype=bool).T,
        None,
    ),
    "padding": (AttentionSpec(D, 3, key_padding=True), ALL & KEEP, KEEP),
    "grouped": (AttentionSpec(D, 6, kv_heads=2, bias=EVERY), ALL, None),
    "normed heads": (AttentionSpec(D, 6, kv_heads=2, qk_norm=QueryKeyNorm(eps=0.5)), ALL, None),
    "normed width": (
        AttentionSpec(D, 6, kv_heads=2, qk_norm=QueryKeyNorm(NormOver.WIDTH, 0.25), bias=EVERY),
        ALL,
        None,
    ),
    "layer norm": (
        AttentionSpec(D, 6, kv_heads=2, qk_norm=QueryKeyNorm(eps=0.5, kind=LAYER, bias=True)),
        ALL,
        None,
    ),
    "layer norm of each head": (
        AttentionSpec(D, 6, kv_heads=2, qk_norm=QueryKeyNorm(kind=LAYER, own_gains=True)),
        ALL,
        None,
    ),
    "layer norm over the width": (
        AttentionSpec(
            D, 6, kv_heads=2, qk_norm=QueryKeyNorm(NormOver.WIDTH, 0.25, LAYER, bias=True)
        ),
        ALL,
        None,
    ),
    "norm with gains of each head": (
        AttentionSpec(D, 6, kv_heads=2, qk_norm=QueryKeyNorm(eps=0.5, own_gains=True)),
        ALL,
        None,
    ),
    "capped": (AttentionSpec(D, 6, kv_heads=2, soft_cap=0.7), ALL, None),
    "capped with a sink": (
        AttentionSpec(D, 3, soft_cap=1.3, scale=0.9, sink=True, mask=Mask.CAUSAL),
        COL <= ROW,
        None,
    ),
    "multiquery": (AttentionSpec(D, 6, kv_heads=1), ALL, None),
    "sink": (AttentionSpec(D, 3, sink=True, mask=Mask.CAUSAL), COL <= ROW, None),
    "semi-saturation": (
        AttentionSpec(D, 6, kv_heads=2, semi_saturation=0.7, mask=Mask.CAUSAL),
        COL <= ROW,
        None,
    ),
    "semi-saturation, sink, extra source, padding": (
        AttentionSpec(D, 3, semi_saturation=3.0, sink=True, extra_source=True, key_padding=True),
        ALL & KEEP,
        KEEP,
    ),
    "extra source": (
        AttentionSpec(D, 6, kv_heads=2, extra_source=True, mask=Mask.CAUSAL, bias=EVERY),
        COL <= ROW,
        None,
    ),
    "extra source, sink, padding": (
        AttentionSpec(D, 3, extra_source=True, sink=True, key_padding=True),
        ALL & KEEP,
        KEEP,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_softmax_is_torchs(name):
    spec, seen, keep = CASES[name]
    weights, x = weights_of(spec), np.random.default_rng(1).standard_normal((N, D))
    expected = torch_attention(spec, weights, x, x, seen)
    np.testing.assert_allclose(textbook_attention(spec, weights, x, keep=keep), expected, **EXACT)


def test_cross():
    spec = AttentionSpec(D, 3, cross=True, context=8, bias=EVERY)
    rng = np.random.default_rng(2)
    weights, x, context = weights_of(spec), rng.standard_normal((N, D)), rng.standard_normal((S, 8))
    expected = torch_attention(spec, weights, x, context, np.ones((N, S), dtype=bool))
    np.testing.assert_allclose(textbook_attention(spec, weights, x, context), expected, **EXACT)


def test_values_of_their_own():
    spec = AttentionSpec(D, 3, cross=True, context=8, values=5, bias=EVERY)
    rng = np.random.default_rng(2)
    weights, x, context = weights_of(spec), rng.standard_normal((N, D)), rng.standard_normal((S, 8))
    values = rng.standard_normal((S, 5))
    seen = np.ones((N, S), dtype=bool)
    expected = torch_attention(spec, weights, x, context, seen, values=values)
    found = textbook_attention(spec, weights, x, context, values=values)
    np.testing.assert_allclose(found, expected, **EXACT)


@pytest.mark.parametrize("kind", [PositionBias.ALIBI, PositionBias.TABLE])
def test_position_bias(kind):
    spec = AttentionSpec(D, 3, tokens=N, position_bias=kind)
    weights, x = weights_of(spec), np.random.default_rng(3).standard_normal((N, D))
    slopes = weights.get("alibi_slopes", np.zeros(3))
    extra = weights.get("position_bias", np.einsum("h,ij->hij", slopes, COL - ROW))
    expected = torch_attention(spec, weights, x, x, ALL, extra)
    np.testing.assert_allclose(textbook_attention(spec, weights, x), expected, **EXACT)


def test_a_bias_of_scores_that_is_given():
    spec = AttentionSpec(D, 3, position_bias=PositionBias.INPUT, extra_source=True)
    weights, rng = weights_of(spec), np.random.default_rng(3)
    x, bias = rng.standard_normal((N, D)), rng.standard_normal((N, N))
    expected = torch_attention(spec, weights, x, x, ALL, bias)
    np.testing.assert_allclose(
        textbook_attention(spec, weights, x, score_bias=bias), expected, **EXACT
    )


def test_linear_kernel_by_loops():
    spec = AttentionSpec(D, 2, kernel=Kernel.LINEAR, mask=Mask.CAUSAL, scale=0.5)
    w, x = weights_of(spec), np.random.default_rng(4).standard_normal((N, D))
    y = np.zeros((N, D))
    for h in range(2):
        for i in range(N):
            for j in range(i + 1):
                score = 0.5 * (w["W_K"][h] @ x[j]) @ (w["W_Q"][h] @ x[i])
                y[i] += w["W_O"][h] @ (score * (w["W_V"][h] @ x[j]))
    np.testing.assert_allclose(textbook_attention(spec, w, x), y, **EXACT)


def test_linear_kernel_has_no_scale_and_skips_missing_tokens():
    spec = AttentionSpec(D, 2, kernel=Kernel.LINEAR, key_padding=True)
    w, x = weights_of(spec), np.random.default_rng(5).standard_normal((N, D))
    q, k, v = (np.einsum("ham,im->hia", w[m], x) for m in ("W_Q", "W_K", "W_V"))
    memory = np.einsum("hjc,hja->hca", v[:, KEEP], k[:, KEEP])
    y = np.einsum("hoc,hca,hia->io", w["W_O"], memory, q)
    np.testing.assert_allclose(textbook_attention(spec, w, x, keep=KEEP), y, **EXACT)


@pytest.mark.parametrize("kernel", Kernel)
@pytest.mark.parametrize("sink", [False, True])
def test_a_query_that_sees_nothing_gets_zeros(kernel, sink):
    spec = AttentionSpec(D, 3, kernel=kernel, sink=sink and kernel is Kernel.SOFTMAX, bias=EVERY)
    weights, x = weights_of(spec), np.random.default_rng(6).standard_normal((N, D))
    y = textbook_attention(spec, weights, x, keep=np.zeros(N, dtype=bool))
    np.testing.assert_array_equal(y, np.tile(weights["b_O"], (N, 1)))


def test_large_scores_do_not_overflow():
    spec = AttentionSpec(D, 3, scale=1e4, mask=Mask.CAUSAL)
    weights, x = weights_of(spec), np.random.default_rng(7).standard_normal((N, D))
    expected = torch_attention(spec, weights, x, x, COL <= ROW)
    np.testing.assert_allclose(textbook_attention(spec, weights, x), expected, **EXACT)


@pytest.mark.parametrize("style", RotaryStyle)
@pytest.mark.parametrize("rotated", [None, 2])
@pytest.mark.parametrize("given", [False, True])
def test_rotary_by_rotation_matrices(style, rotated, given):
    """Scores of rotated q and k, each feature pair turned by its 2×2 matrix, one at a time."""
    spec = AttentionSpec(D, 3, key_features=4, rotary=Rotary(100.0, style, rotated))
    w, x = weights_of(spec), np.random.default_rng(8).standard_normal((N, D))
    r = rotated or 4
    frequencies = (
        np.arange(1.0, r // 2 + 1) / 3 if given else [100.0 ** (-2 * p / r) for p in range(r // 2)]
    )
    turns = np.tile(np.eye(4), (N, 1, 1))
    for t in range(N):
        for p in range(r // 2):
            pair = [p, p + r // 2] if style is RotaryStyle.HALF_SPLIT else [2 * p, 2 * p + 1]
            cos, sin = np.cos(t * frequencies[p]), np.sin(t * frequencies[p])
            turns[t][np.ix_(pair, pair)] = [[cos, -sin], [sin, cos]]
    q, k, v = (np.einsum("ham,im->hia", w[m], x) for m in ("W_Q", "W_K", "W_V"))
    q, k = (torch.tensor(np.einsum("iab,hib->hia", turns, t)) for t in (q, k))
    heads = scaled_dot_product_attention(q[None], k[None], torch.tensor(v)[None])[0].numpy()
    y = np.einsum("hoc,hic->io", w["W_O"], heads)
    if given:
        w["rotary_frequencies"] = frequencies
    np.testing.assert_allclose(textbook_attention(spec, w, x), y, **EXACT)


def test_multihead_attention_module():
    """The layout of heads too: rows [Q; K; V], then heads, then features."""
    torch.manual_seed(0)
    module = torch.nn.MultiheadAttention(D, 3, dtype=torch.float64)
    for p in module.parameters():
        torch.nn.init.normal_(p)
    x = torch.randn(N, D, dtype=torch.float64)
    expected = module(x, x, x, key_padding_mask=~torch.tensor(KEEP))[0].detach().numpy()
    state = {name: t.detach().numpy() for name, t in module.state_dict().items()}
    w_q, w_k, w_v = state["in_proj_weight"].reshape(3, 3, 4, D)
    b_q, b_k, b_v = state["in_proj_bias"].reshape(3, 3, 4)
    weights = {"W_Q": w_q, "W_K": w_k, "W_V": w_v, "b_Q": b_q, "b_K": b_k, "b_V": b_v}
    weights["W_O"] = np.stack([state["out_proj.weight"][:, 4 * h : 4 * h + 4] for h in range(3)])
    weights["b_O"] = state["out_proj.bias"]
    spec = AttentionSpec(D, 3, bias=EVERY, key_padding=True)
    y = textbook_attention(spec, weights, x.numpy(), keep=KEEP)
    np.testing.assert_allclose(y, expected, **EXACT)
