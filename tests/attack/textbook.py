"""Attention from its formula, on the tensors that lowered circuits read, in any type of number.

    q, k over the root of their mean square, times a gain, where they are normed; then they turn
    s_hij = scale q_hi · k_hj, or c tanh(s_hij / c) with a cap c
    p_hij = softmax_j(s_hij + bias_hij)   or the scores themselves, where i may see j
    y_i = Σ_h W_O,h Σ_j p_hij v_hj + b_O (+ x_i)

Tensors may have batch axes in front. Heads are pairs (g, r) where keys are shared, key features pairs
(p, s) where they turn. Written without a look at lowering or at the equations of the prover.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.spec import AttentionSpec, Kernel, Mask, NormOver, PositionBias


def textbook(spec: AttentionSpec, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """y (…, i, o). `x` is (…, i, m), `context` (…, j, l), `keep` (…, j); weights as circuits have them."""
    t = _plain(spec, tensors)
    x = t["x"]
    source = t["context"] if spec.cross else x
    q = np.einsum("...gram,...im->...gria", t["W_Q"], x)
    k = np.einsum("...gam,...jm->...gja", t["W_K"], source)
    v = np.einsum("...gcm,...jm->...gjc", t["W_V"], t.get("values", source))
    q = q + t["b_Q"][..., :, :, None, :] if "b_Q" in t else q
    k = k + t["b_K"][..., :, None, :] if "b_K" in t else k
    v = v + t["b_V"][..., :, None, :] if "b_V" in t else v
    if spec.qk_norm:
        q, k = _normed(spec, q, t["gain_Q"], (-4, -3)), _normed(spec, k, t["gain_K"], (-3,))
    if spec.rotary:
        q, k = _turned(q, t["frequencies"]), _turned(k, t["frequencies"])
    if spec.extra_source:
        k, v = _with_one_more(k, t["extra_K"]), _with_one_more(v, t["extra_V"])
    score = _scale(spec, q) * np.einsum("...gria,...gja->...grij", q, k)
    if spec.soft_cap is not None:
        score = spec.soft_cap * np.tanh(score / spec.soft_cap)
    i, j = np.arange(x.shape[-2])[:, None], np.arange(source.shape[-2])
    if spec.position_bias is PositionBias.ALIBI:
        score = score + t["alibi_slopes"][..., None, None] * (j - i)
    if spec.position_bias is PositionBias.TABLE:
        score = score + _padded(t["position_bias"], score.shape[-1])
    if spec.position_bias is PositionBias.INPUT:
        score = score + _padded(t["score_bias"][..., None, None, :, :], score.shape[-1])
    p = _mask(spec, score, _seen(spec, i, j, t), t)
    y = np.einsum("...groc,...grij,...gjc->...io", t["W_O"], p, v)
    return y + t["b_O"][..., None, :] if "b_O" in t else y


def _plain(spec: AttentionSpec, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors with one side of key features, and heads as pairs."""
    t = dict(tensors)
    if spec.rotary:
        for name in ("W_Q", "W_K"):
            shape = t[name].shape
            t[name] = t[name].reshape(*shape[:-3], shape[-3] * shape[-2], shape[-1])
        for name in {"b_Q", "b_K", "gain_Q", "gain_K"} & t.keys():
            shape = t[name].shape
            t[name] = t[name].reshape(*shape[:-2], shape[-2] * shape[-1])
    if spec.members == 1:
        behind = {"W_Q": 2, "W_O": 2, "b_Q": 1, "alibi_slopes": 0, "position_bias": 2, "sink": 0}
        if spec.qk_norm and spec.qk_norm.over is NormOver.WIDTH:
            behind["gain_Q"] = 1
        for name in behind.keys() & t.keys():
            t[name] = np.expand_dims(t[name], -1 - behind[name])
    return t


def _normed(
    spec: AttentionSpec, a: np.ndarray, gain: np.ndarray, heads: tuple[int, ...]
) -> np.ndarray:
    """RMS norm over the features of each head, or of all; `heads` are the axes of these."""
    assert spec.qk_norm is not None
    whole = spec.qk_norm.over is NormOver.WIDTH
    mean = (a * a).mean(axis=(*heads, -1) if whole else -1, keepdims=True)
    gain = np.expand_dims(gain, -2 if whole else tuple(range(-2 - len(heads), -1)))
    return a / np.sqrt(mean + spec.qk_norm.eps) * gain


def _turned(a: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    """Each pair of features turned by token · frequency."""
    pairs = a.reshape(*a.shape[:-1], -1, 2)
    angle = np.arange(a.shape[-2])[:, None] * frequencies[..., None, :]
    angle = angle.reshape(
        *angle.shape[:-2], *[1] * (pairs.ndim - 3 - (angle.ndim - 2)), *angle.shape[-2:]
    )
    cos, sin = np.cos(angle), np.sin(angle)
    first, second = pairs[..., 0], pairs[..., 1]
    return np.stack([cos * first - sin * second, sin * first + cos * second], -1).reshape(a.shape)


def _scale(spec: AttentionSpec, q: np.ndarray) -> np.longdouble:
    if spec.scale is not None:
        return np.longdouble(spec.scale)
    return np.longdouble(1 if spec.kernel is Kernel.LINEAR else q.shape[-1]) ** np.longdouble(-0.5)


def _seen(
    spec: AttentionSpec, i: np.ndarray, j: np.ndarray, t: Mapping[str, np.ndarray]
) -> np.ndarray:
    """1 where query i may see source token j."""
    seen = np.ones(np.broadcast_shapes(i.shape, j.shape))
    if spec.mask in (Mask.CAUSAL, Mask.WINDOW):
        seen = seen * (j <= i)
    if spec.mask is Mask.WINDOW:
        seen = seen * (i - j < spec.window)
    if spec.mask is Mask.BIDIRECTIONAL_WINDOW:
        seen = seen * (abs(i - j) < spec.window)
    seen = seen * t["keep"][..., None, None, None, :] if spec.key_padding else seen
    if spec.extra_source:
        seen = np.concatenate([seen, np.ones((*seen.shape[:-1], 1))], -1)
    return seen


def _with_one_more(content: np.ndarray, extra: np.ndarray) -> np.ndarray:
    """Keys or values (…, g, j, feature) with those of one more token behind them."""
    batch = np.broadcast_shapes(content.shape[:-2], extra.shape[:-1])
    parts = (content, extra[..., None, :])
    return np.concatenate([np.broadcast_to(p, (*batch, *p.shape[-2:])) for p in parts], -2)


def _padded(bias: np.ndarray, tokens: int) -> np.ndarray:
    """A bias (…, j) with zeros behind it for a token that has none."""
    return np.concatenate([bias, np.zeros((*bias.shape[:-1], tokens - bias.shape[-1]))], -1)


def _mask(
    spec: AttentionSpec, score: np.ndarray, seen: np.ndarray, t: Mapping[str, np.ndarray]
) -> np.ndarray:
    if spec.kernel is Kernel.LINEAR:
        return score * seen
    # the largest exponent goes out, or all may underflow
    most = np.where(seen != 0, score.real, -np.inf).max(axis=-1, keepdims=True)
    most = np.where(np.isfinite(most), most, 0)
    weight = np.exp(np.where(seen != 0, score - most, 0)) * seen
    whole = weight.sum(axis=-1, keepdims=True)
    if spec.sink:
        whole = whole + np.exp(t["sink"][..., None, None] - most)
    if spec.semi_saturation:
        whole = whole + spec.semi_saturation * np.exp(-most)
    some = whole.real != 0  # no token to see: zeros
    return np.where(some, weight / np.where(some, whole, 1), 0)
