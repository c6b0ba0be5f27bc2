"""The independent oracle: multihead attention straight from its formulas, in float64, for one sequence.

    q_hi = W_Q[h] x_i + b_Q[h]     k_gj = W_K[g] s_j + b_K[g]     v_gj = W_V[g] s_j + b_V[g]
    q, k are normed, if specified: q / sqrt(mean q² + eps) · gain + shift, means over a of head h, or over h
    and a; a layer norm has q - mean q in place of q
    s_hij = scale · q_hi·k_gj, or with a soft cap c: c tanh(s_hij / c)
    score_hij = s_hij + bias_hij                                  g = h // (heads per group)
    p = exp(score) / (sigma + Σ_j exp(score)) or p = score, over the source tokens j that query i may see, else 0
    y_i = Σ_h W_O[h] Σ_j p_hij v_gj + b_O (+ x_i)

An extra source token has key extra_K[g] and value extra_V[g], comes last, has no bias_hij, and all queries see it.

It imports the words of the spec and nothing else of cortico, and resolves defaults by itself.
`test_oracle.py` holds it against PyTorch.
"""

import numpy as np

from cortico.spec import (
    AttentionSpec,
    Kernel,
    Mask,
    NormKind,
    NormOver,
    PositionBias,
    RotaryStyle,
)


def textbook_attention(
    spec: AttentionSpec, weights, x, context=None, keep=None, values=None, score_bias=0.0
):
    """y (n, out) of query tokens x (n, m). Source tokens are `context` (n_source, m'), or x.

    Values are of `values` (n_source, m''), if given. score_bias (n, n_source) is added to the scores of all heads.

    keep (n_source,) bool says which source tokens exist. A query without a live source token gets
    zeros from every head, for both kernels, and so W_O adds only b_O.
    """
    w = {name: np.asarray(array, dtype=np.float64) for name, array in weights.items()}
    x = np.asarray(x, dtype=np.float64)
    source = np.asarray(context, dtype=np.float64) if spec.cross else x
    heads, d_key = w["W_Q"].shape[:2]

    q = np.einsum("ham,im->hia", w["W_Q"], x) + w.get("b_Q", np.zeros((1, 1)))[:, None, :]
    k = np.einsum("gam,jm->gja", w["W_K"], source) + w.get("b_K", np.zeros((1, 1)))[:, None, :]
    v = source if values is None else np.asarray(values, dtype=np.float64)
    v = np.einsum("gcm,jm->gjc", w["W_V"], v) + w.get("b_V", np.zeros((1, 1)))[:, None, :]
    if spec.qk_norm:
        q, k = (
            norm(spec, q, w["gain_Q"], w.get("shift_Q")),
            norm(spec, k, w["gain_K"], w.get("shift_K")),
        )
    if spec.rotary:
        q, k = rotate(spec, w, q), rotate(spec, w, k)
    if spec.extra_source:
        k, v = (np.append(t, w[e][:, None], axis=1) for t, e in ((k, "extra_K"), (v, "extra_V")))
    k, v = (np.repeat(t, heads // len(t), axis=0) for t in (k, v))  # head h reads group h // R

    usual = 1 / np.sqrt(d_key) if spec.kernel is Kernel.SOFTMAX else 1.0
    scale = usual if spec.scale is None else spec.scale
    score = scale * np.einsum("hia,hja->hij", q, k)
    if spec.soft_cap:
        e = np.exp(-2 * np.abs(score) / spec.soft_cap)
        score = spec.soft_cap * np.sign(score) * (1 - e) / (1 + e)
    i, j = np.arange(len(x))[:, None], np.arange(len(source))[None, :]
    if spec.position_bias is PositionBias.ALIBI:
        score = score + w["alibi_slopes"][:, None, None] * (j - i)
    if spec.position_bias is PositionBias.TABLE:
        score[:, :, : len(source)] += w["position_bias"]
    score[:, :, : len(source)] += score_bias

    seen = visible(spec, i, j, keep)
    if spec.extra_source:
        seen = np.column_stack([seen, np.ones(len(x), dtype=bool)])
    p = mask_of_scores(spec, w, score, seen)
    return np.einsum("hoc,hij,hjc->io", w["W_O"], p, v) + w.get("b_O", 0.0)


def visible(spec, i, j, keep):
    """Which source token j query i may see, bool (n, n_source)."""
    seen = np.ones(np.broadcast_shapes(i.shape, j.shape), dtype=bool)
    if spec.mask in (Mask.CAUSAL, Mask.WINDOW):
        seen &= j <= i
    if spec.mask is Mask.WINDOW:
        seen &= i - j < spec.window
    if spec.mask is Mask.BIDIRECTIONAL_WINDOW:
        seen &= (i - spec.window < j) & (j < i + spec.window)
    return seen if keep is None else seen & np.asarray(keep, dtype=bool)[None, :]


def mask_of_scores(spec, w, score, seen):
    """p (h, i, j): exp(score) over its sum, the sink's exp(logit) and sigma in that sum; or the scores."""
    if spec.kernel is Kernel.LINEAR:
        return np.where(seen, score, 0.0)
    none = np.full((1, 1, 1), -np.inf)
    sink = w["sink"][:, None, None] if spec.sink else none
    sigma = np.log(np.full((1, 1, 1), spec.semi_saturation)) if spec.semi_saturation else none
    logit = np.where(seen, score, -np.inf)
    top = np.maximum(np.maximum(logit.max(axis=2, keepdims=True), sink), sigma)
    top = np.where(np.isfinite(top), top, 0.0)  # no live source token, and no sink
    e = np.exp(logit - top)
    total = e.sum(axis=2, keepdims=True) + np.exp(sink - top) + np.exp(sigma - top)
    return np.divide(e, total, out=np.zeros_like(e), where=total > 0)


def norm(spec, t, gain, shift):
    """t (heads, tokens, features) over its root mean square: of each head, or of a token's whole width."""
    if spec.qk_norm.kind is NormKind.LAYER:
        t = t - t.mean(axis=2 if spec.qk_norm.over is NormOver.HEAD else (0, 2), keepdims=True)
    squares = [[np.dot(t[h, n], t[h, n]) for n in range(t.shape[1])] for h in range(len(t))]
    mean = np.array(squares) / t.shape[2]
    if spec.qk_norm.over is NormOver.WIDTH:
        mean = np.tile(mean.mean(axis=0), (len(t), 1))
    y = t / np.sqrt(mean + spec.qk_norm.eps)[:, :, None] * gain.reshape(-1, 1, t.shape[2])
    return y if shift is None else y + shift.reshape(-1, 1, t.shape[2])


def rotate(spec, w, t):
    """Turn feature pairs p of t (heads, tokens, features) by the angle token · frequency_p."""
    r = spec.rotary.rotated or t.shape[2]
    usual = spec.rotary.base ** (-2 * np.arange(r // 2) / r)
    angle = np.arange(t.shape[1])[:, None] * w.get("rotary_frequencies", usual)
    half = spec.rotary.style is RotaryStyle.HALF_SPLIT
    first = slice(0, r // 2) if half else slice(0, r, 2)
    second = slice(r // 2, r) if half else slice(1, r, 2)
    turned = (t[..., first] + 1j * t[..., second]) * np.exp(1j * angle)
    out = t.copy()
    out[..., first], out[..., second] = turned.real, turned.imag
    return out
