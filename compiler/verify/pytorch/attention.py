"""Attention in PyTorch, with `scaled_dot_product_attention` for softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    import torch


def attention(
    spec: AttentionSpec, w: Mapping[str, torch.Tensor], keep: np.ndarray | None
) -> torch.Tensor:
    """Attention of `spec` for one sequence, by weights and inputs: x (n, m), context (n', m'), values (n', m'').

    `keep` (n') says which source tokens exist.
    """
    import torch

    x = w["x"]
    source = w["context"] if spec.cross else x
    query = _projected(w, "Q", x)
    key, value = _projected(w, "K", source), _projected(w, "V", w.get("values", source))
    if spec.qk_norm:
        query, key = _normed(spec, w, "Q", query), _normed(spec, w, "K", key)
    if spec.rotary:
        query, key = _turned(spec, w, query), _turned(spec, w, key)
    seen = _seen(spec, len(x), len(source), keep)
    bias = _position_bias(spec, w, len(x), len(source))
    if spec.extra_source:  # as PyTorch's own module has it: a last token that no mask hides
        key, value = (
            torch.cat([t, w[n][:, None]], 1) for t, n in ((key, "extra_K"), (value, "extra_V"))
        )
        seen = torch.nn.functional.pad(seen, (0, 1), value=True)
        bias = torch.nn.functional.pad(bias, (0, 1)) if bias.ndim > 1 else bias
    key, value = (t.repeat_interleave(spec.members, 0) for t in (key, value))
    heads = _heads(spec, w, query, key, value, bias, seen)
    y = torch.einsum("hoc,hic->io", w["W_O"], heads)
    return y + w["b_O"] if "b_O" in w else y


def _projected(w: Mapping[str, torch.Tensor], letter: str, tokens: torch.Tensor) -> torch.Tensor:
    result = tokens @ w[f"W_{letter}"].transpose(1, 2)
    return result + w[f"b_{letter}"][:, None, :] if f"b_{letter}" in w else result


def _normed(
    spec: AttentionSpec, w: Mapping[str, torch.Tensor], letter: str, t: torch.Tensor
) -> torch.Tensor:
    """Norm of (heads, tokens, features): of each head, or of all features of a token in a row."""
    from torch.nn.functional import layer_norm, rms_norm

    norm = spec.qk_norm
    assert norm is not None
    how = layer_norm if norm.kind is NormKind.LAYER else rms_norm
    rows = t.transpose(0, 1)  # tokens, heads, features
    sides = rows.shape[2:] if norm.over is NormOver.HEAD else rows.shape[1:]
    result = how(rows, list(sides), eps=norm.eps) * w[f"gain_{letter}"]
    return (result + w[f"shift_{letter}"] if norm.bias else result).transpose(0, 1)


def _turned(spec: AttentionSpec, w: Mapping[str, torch.Tensor], t: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of (heads, tokens, features), as complex numbers."""
    import torch

    assert spec.rotary is not None
    count = spec.rotated_features
    usual = spec.rotary.base ** (-torch.arange(0, count, 2, dtype=torch.float64) / count)
    turns = torch.arange(t.shape[1], dtype=torch.float64)[:, None] * w.get(
        "rotary_frequencies", usual
    )
    rotated, still = t[..., :count], t[..., count:]
    half = spec.rotary.style is RotaryStyle.HALF_SPLIT
    shape = (2, count // 2) if half else (count // 2, 2)
    pairs = rotated.reshape(*rotated.shape[:-1], *shape)
    pairs = pairs.transpose(-1, -2) if half else pairs
    one, other = pairs[..., 0], pairs[..., 1]
    cos, sin = torch.cos(turns), torch.sin(turns)
    turned = torch.stack([one * cos - other * sin, one * sin + other * cos], -1)
    turned = turned.transpose(-1, -2) if half else turned
    return torch.cat([turned.flatten(-2), still], -1)


def _seen(spec: AttentionSpec, n: int, sources: int, keep: np.ndarray | None) -> torch.Tensor:
    import torch

    away = torch.arange(n)[:, None] - torch.arange(sources)
    seen = torch.ones(n, sources, dtype=torch.bool)
    if spec.mask in (Mask.CAUSAL, Mask.WINDOW):
        seen = seen & (away >= 0)
    if spec.mask is Mask.BIDIRECTIONAL_WINDOW:
        away = away.abs()
    if spec.window is not None:
        seen = seen & (away < spec.window)
    return seen if keep is None else seen & torch.tensor(np.asarray(keep, dtype=bool))


def _position_bias(
    spec: AttentionSpec, w: Mapping[str, torch.Tensor], n: int, sources: int
) -> torch.Tensor:
    import torch

    if spec.position_bias is PositionBias.TABLE:
        return w["position_bias"]
    if spec.position_bias is PositionBias.INPUT:
        return w["score_bias"]
    if spec.position_bias is PositionBias.ALIBI:
        offset = torch.arange(sources)[None, :] - torch.arange(n)[:, None]
        return w["alibi_slopes"][:, None, None] * offset
    return torch.zeros(1, dtype=torch.float64)


def _heads(
    spec: AttentionSpec,
    w: Mapping[str, torch.Tensor],
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor,
    seen: torch.Tensor,
) -> torch.Tensor:
    """What each head gives, (heads, tokens, value features). A query that sees nothing gives zeros."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    if spec.soft_cap is not None:  # the capped scores as a bias, beside scores of zero
        usual = 1.0 if spec.kernel is Kernel.LINEAR else query.shape[-1] ** -0.5
        score = (usual if spec.scale is None else spec.scale) * query @ key.transpose(1, 2)
        bias = bias + spec.soft_cap * torch.tanh(score / spec.soft_cap)
        query = torch.zeros_like(query)
    if spec.kernel is Kernel.LINEAR:
        scale = 1.0 if spec.scale is None else spec.scale
        score = scale * query @ key.transpose(1, 2) + bias
        return torch.where(seen, score, 0.0) @ value
    allowed = torch.where(seen, bias.expand(len(query), *seen.shape), -torch.inf)
    live = seen.any(-1)[:, None]
    allowed = torch.where(live, allowed, 0.0)
    logits = [w["sink"]] if spec.sink else []
    if spec.semi_saturation:
        logits.append(query.new_full((len(query),), spec.semi_saturation).log())
    for each in logits:  # a source token of its own, with key zero and value zero
        logit = each[:, None, None].expand(-1, seen.shape[0], 1)
        allowed = torch.cat([torch.where(live, allowed, -torch.inf), logit], -1)
        key, value = (torch.cat([t, torch.zeros_like(t[:, :1])], 1) for t in (key, value))
        live = torch.ones_like(live)
    heads = scaled_dot_product_attention(query, key, value, attn_mask=allowed, scale=spec.scale)
    return torch.where(live, heads, 0.0)
