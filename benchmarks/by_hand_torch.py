"""Attention layers as a PyTorch user would write them; see `by_hand_numpy.py` for the arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from attention_kinds import Array, Weights, visible
from by_hand_numpy import Run
from torch import Tensor
from torch.nn.functional import linear, pad, scaled_dot_product_attention

from cortico import AttentionSpec
from cortico.spec import Kernel, Mask, Microcircuit

#: Queries, keys, values (b, heads, n, features) to (b, heads, n, features).
Inner = Callable[[Tensor, Tensor, Tensor], Tensor]

BLOCK = 256  #: queries of the sliding window that are taken at once


def packed(spec: AttentionSpec, weights: Weights) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fused weight and bias of [Q|K|V], then those of the output, as `nn.Linear` has them."""
    names = ("W_Q", "W_K", "W_V")
    rows = np.concatenate([weights[name].reshape(-1, spec.model) for name in names])
    bias = np.concatenate([weights[f"b_{name[-1]}"].ravel() for name in names])
    out = weights["W_O"].transpose(1, 0, 2).reshape(spec.d_output, -1)
    arrays = (rows, bias, np.ascontiguousarray(out), weights["b_O"])
    w, b, w_o, b_o = (torch.from_numpy(array) for array in arrays)
    return w, b, w_o, b_o


def layer_around(inner: Inner, spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """The projections, fused, around `inner`."""
    w, b, w_o, b_o = packed(spec, weights)
    tokens = torch.from_numpy(x)
    sizes = [spec.heads, spec.groups, spec.groups]

    @torch.inference_mode()
    def run() -> Array:
        qkv = linear(tokens, w, b).unflatten(-1, (sum(sizes), spec.d_key)).transpose(1, 2)
        heads = inner(*qkv.split(sizes, dim=1))
        y: Array = linear(heads.transpose(1, 2).flatten(2), w_o, b_o).numpy()
        return y

    return run


# ---- softmax -------------------------------------------------------------------------------------


def sdpa(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """`scaled_dot_product_attention`, which is one fused kernel."""
    mask = None
    if spec.mask is Mask.WINDOW:
        mask = torch.from_numpy(visible(spec, np.arange(x.shape[1]), x.shape[1]))
    inner = partial(
        scaled_dot_product_attention,
        attn_mask=mask,
        is_causal=spec.mask is Mask.CAUSAL,
        enable_gqa=spec.members > 1,
    )
    return layer_around(inner, spec, weights, x)


def sdpa_by_blocks(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """Sliding window: the same kernel on blocks of queries and the keys that these see."""
    assert spec.window is not None
    tokens = x.shape[1]
    blocks = []
    for start in range(0, tokens, BLOCK):
        rows = np.arange(start, min(start + BLOCK, tokens))
        low = max(0, start - spec.window + 1)
        mask = torch.from_numpy(visible(spec, rows, tokens)[:, low : rows[-1] + 1].copy())
        blocks.append((slice(start, start + BLOCK), slice(low, int(rows[-1]) + 1), mask))

    def inner(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        heads = torch.empty_like(q)
        for rows, keys, mask in blocks:
            heads[:, :, rows] = scaled_dot_product_attention(
                q[:, :, rows], k[:, :, keys], v[:, :, keys], attn_mask=mask
            )
        return heads

    return layer_around(inner, spec, weights, x)


def multihead_attention(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """`nn.MultiheadAttention` in evaluation, without returning its weights."""
    module = torch.nn.MultiheadAttention(spec.model, spec.heads, batch_first=True).eval()
    names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    module.load_state_dict(dict(zip(names, packed(spec, weights), strict=True)))
    tokens = torch.from_numpy(x)
    mask = None
    if spec.mask is not Mask.NONE:
        mask = torch.from_numpy(~visible(spec, np.arange(x.shape[1]), x.shape[1]))
    causal = spec.mask is Mask.CAUSAL

    @torch.inference_mode()
    def run() -> Array:
        y, _ = module(tokens, tokens, tokens, need_weights=False, attn_mask=mask, is_causal=causal)
        found: Array = y.numpy()
        return found

    return run


def sdpa_instead(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """Softmax attention of the same shape in place of linear attention: not the same function."""
    changed = {"kernel": Kernel.SOFTMAX, "microcircuit": Microcircuit.MASK}
    return sdpa(replace(spec, **changed), weights, x)


# ---- linear --------------------------------------------------------------------------------------


def linear_full(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """Σ_j k_j v_jᵀ once, then queries through it."""

    def inner(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return q @ (k.mT @ v)

    return layer_around(inner, spec, weights, x)


def linear_cumsum(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """Causal: the memory after every token, which takes n · d² numbers per head."""

    def inner(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        memory = (k[..., :, None] * v[..., None, :]).cumsum(dim=-3)
        return (q[..., None, :] @ memory)[..., 0, :]

    return layer_around(inner, spec, weights, x)


def linear_chunks(spec: AttentionSpec, weights: Weights, x: Array, chunk: int) -> Run:
    """Causal: masked scores within chunks, all chunks at once; the memory before each by cumsum."""
    tokens = x.shape[1]

    def inner(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if tokens % chunk:
            q, k, v = (pad(each, (0, 0, 0, -tokens % chunk)) for each in (q, k, v))
        q, k, v = (each.unflatten(-2, (-1, chunk)) for each in (q, k, v))
        stored = k.mT @ v
        before = stored.cumsum(dim=-3) - stored
        heads = (q @ k.mT).tril() @ v + q @ before
        return heads.flatten(-3, -2)[..., :tokens, :]

    return layer_around(inner, spec, weights, x)


class LinearStream:
    """Causal linear attention one token at a time."""

    def __init__(self, spec: AttentionSpec, weights: Weights) -> None:
        self.weights = packed(spec, weights)
        self.spec = spec
        self.memory = torch.zeros(spec.heads, spec.d_key, spec.d_value)

    @torch.inference_mode()
    def step(self, token: Array) -> Array:
        """Output (model) for the next token (model)."""
        w, b, w_o, b_o = self.weights
        q, k, v = linear(torch.from_numpy(token), w, b).view(3, self.spec.heads, -1)
        self.memory.baddbmm_(k[:, :, None], v[:, None, :])
        heads = (q[:, None, :] @ self.memory).flatten()
        y: Array = linear(heads, w_o, b_o).numpy()
        return y
