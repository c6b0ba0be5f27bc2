"""Attention layers as a NumPy user would write them, without cortico.

Each function takes a spec, weights and x (batch, tokens, model), packs the weights once, and gives a
function without arguments that computes the layer, projections included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from attention_kinds import THREADS, Array, Weights, visible
from threadpoolctl import ThreadpoolController

from cortico import AttentionSpec
from cortico.spec import Mask

Run = Callable[[], Array]

TILE = 64  #: queries
CHUNK = 128  #: tokens of causal linear attention that are taken at once


class Projections:
    """One product for [Q|K|V], one for the output; heads in the rows, as in `nn.Linear`."""

    def __init__(self, spec: AttentionSpec, weights: Weights) -> None:
        self.spec = spec
        names = ("W_Q", "W_K", "W_V")
        rows = [weights[name].reshape(-1, spec.model) for name in names]
        self.into = np.ascontiguousarray(np.concatenate(rows).T)
        self.bias = np.concatenate([weights[f"b_{name[-1]}"].ravel() for name in names])
        w_o = weights["W_O"].transpose(0, 2, 1)
        self.out = np.ascontiguousarray(w_o.reshape(-1, spec.d_output))
        self.out_bias = weights["b_O"]

    def heads(self, x: Array) -> list[Array]:
        """Queries (b, h, n, a), keys (b, g, n, a), values (b, g, n, c), as views of one array."""
        qkv = x @ self.into
        qkv += self.bias
        h, g, d = self.spec.heads, self.spec.groups, self.spec.d_key
        split = qkv.reshape(*x.shape[:-1], h + 2 * g, d).swapaxes(-3, -2)
        return np.split(split, [h, h + g], axis=-3)

    def output(self, heads: Array) -> Array:
        """(b, n, h, c) to (b, n, model)."""
        y: Array = heads.reshape(*heads.shape[:-2], -1) @ self.out
        y += self.out_bias
        return y


# ---- softmax -------------------------------------------------------------------------------------


def einsum_softmax(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """The formula, letter by letter."""
    w = weights
    inside = visible(spec, np.arange(x.shape[1]), x.shape[1])

    def run() -> Array:
        q = np.einsum("bim,ham->bhia", x, w["W_Q"]) + w["b_Q"][:, None]
        k = np.einsum("bjm,gam->bgja", x, w["W_K"]) + w["b_K"][:, None]
        v = np.einsum("bjm,gcm->bgjc", x, w["W_V"]) + w["b_V"][:, None]
        k, v = (np.repeat(each, spec.members, axis=1) for each in (k, v))
        scores = np.einsum("bhia,bhja->bhij", q, k) / np.sqrt(np.float32(spec.d_key))
        scores = np.where(inside, scores, -np.inf) if spec.mask is not Mask.NONE else scores
        mask = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mask /= mask.sum(axis=-1, keepdims=True)
        heads = np.einsum("bhij,bhjc->bhic", mask, v)
        return np.einsum("bhic,hmc->bim", heads, w["W_O"]) + w["b_O"]

    return run


def matmul_softmax(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """Batched matrix products over all heads, the softmax in place."""
    projections = Projections(spec, weights)
    outside = ~visible(spec, np.arange(x.shape[1]), x.shape[1])

    def run() -> Array:
        q, k, v = projections.heads(x)
        q = q.reshape(len(x), spec.groups, spec.members, *q.shape[2:])
        scores = q @ k[:, :, None].swapaxes(-1, -2)
        scores *= np.float32(spec.d_key**-0.5)
        if spec.mask is not Mask.NONE:
            scores[..., outside] = -np.inf
        mask = softmax_in_place(scores)
        heads = (mask @ v[:, :, None]).reshape(len(x), spec.heads, *q.shape[3:])
        return projections.output(np.ascontiguousarray(heads.swapaxes(1, 2)))

    return run


def softmax_in_place(scores: Array) -> Array:
    """Exponentials over their sum along the last axis, in the same array."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores


@cache
def controller() -> ThreadpoolController:
    """Sets the number of threads of NumPy's BLAS."""
    return ThreadpoolController()


@cache
def pool() -> ThreadPoolExecutor:
    """The threads that take tiles."""
    return ThreadPoolExecutor(THREADS)


def tiled_softmax(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """Tiles of 64 queries per head on a thread pool, BLAS held to one thread each.

    A tile takes only the keys that its queries may see.
    """
    projections = Projections(spec, weights)
    batch, tokens, _ = x.shape
    plan = list(tiles(spec, tokens))

    def run() -> Array:
        q, k, v = projections.heads(x)
        q *= np.float32(spec.d_key**-0.5)
        heads = np.empty((batch, tokens, spec.heads, spec.d_value), x.dtype)

        def head(b: int, h: int) -> None:
            keys, values = k[b, h // spec.members].T, v[b, h // spec.members]
            for rows, columns, hidden in plan:
                scores = q[b, h, rows] @ keys[:, columns]
                for corner, triangle in hidden:
                    scores[:, corner][triangle] = -np.inf
                scores -= scores.max(axis=-1, keepdims=True)
                np.exp(scores, out=scores)
                out = scores @ values[columns]
                out /= scores.sum(axis=-1, keepdims=True)
                heads[b, rows, h] = out

        with controller().limit(limits=1, user_api="blas"):
            list(pool().map(head, *np.indices((batch, spec.heads)).reshape(2, -1)))
        return projections.output(heads)

    return run


Corner = tuple[slice, Array]


def tiles(spec: AttentionSpec, tokens: int) -> Iterator[tuple[slice, slice, list[Corner]]]:
    """Of each tile the queries, the keys that some of them see, and corners that are hidden."""
    for start in range(0, tokens, TILE):
        stop = min(start + TILE, tokens)
        rows = slice(start, stop)
        if spec.mask is Mask.NONE:
            yield rows, slice(0, tokens), []
            continue
        size = stop - start
        hidden: list[Corner] = [(slice(-size, None), ~np.tri(size, dtype=bool))]
        low = max(0, start - spec.window + 1) if spec.window else 0
        if spec.window and low:
            hidden.append((slice(0, size), np.tri(size, k=start - spec.window - low, dtype=bool)))
        yield rows, slice(low, stop), hidden


# ---- linear --------------------------------------------------------------------------------------


def einsum_linear(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """The formula with all scores, which are masked when causal."""
    w = weights
    inside = visible(spec, np.arange(x.shape[1]), x.shape[1])

    def run() -> Array:
        q = np.einsum("bim,ham->bhia", x, w["W_Q"]) + w["b_Q"][:, None]
        k = np.einsum("bjm,ham->bhja", x, w["W_K"]) + w["b_K"][:, None]
        v = np.einsum("bjm,hcm->bhjc", x, w["W_V"]) + w["b_V"][:, None]
        scores = np.einsum("bhia,bhja->bhij", q, k) * inside
        heads = np.einsum("bhij,bhjc->bhic", scores, v)
        return np.einsum("bhic,hmc->bim", heads, w["W_O"]) + w["b_O"]

    return run


def matmul_linear(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """Σ_j k_j v_jᵀ once, then queries through it: cost linear in tokens."""
    projections = Projections(spec, weights)

    def run() -> Array:
        q, k, v = projections.heads(x)
        heads = q @ (k.swapaxes(-1, -2) @ v)
        return projections.output(np.ascontiguousarray(heads.swapaxes(1, 2)))

    return run


def chunked_linear(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """Causal by chunks: masked scores within a chunk, a running memory across chunks."""
    projections = Projections(spec, weights)
    batch, tokens, _ = x.shape

    def run() -> Array:
        q, k, v = projections.heads(x)
        heads = np.empty((batch, tokens, spec.heads, spec.d_value), x.dtype)
        memory = np.zeros((batch, spec.heads, spec.d_key, spec.d_value), x.dtype)
        for start in range(0, tokens, CHUNK):
            now = slice(start, start + CHUNK)
            qs, ks, vs = q[:, :, now], k[:, :, now].swapaxes(-1, -2), v[:, :, now]
            out = np.tril(qs @ ks) @ vs
            out += qs @ memory
            memory += ks @ vs
            heads[:, now] = out.swapaxes(1, 2)
        return projections.output(heads)

    return run


class LinearStream:
    """Causal linear attention one token at a time: the memory Σ k vᵀ grows no larger."""

    def __init__(self, spec: AttentionSpec, weights: Weights) -> None:
        self.projections = Projections(spec, weights)
        self.memory = np.zeros((spec.heads, spec.d_key, spec.d_value), np.float32)

    def step(self, token: Array) -> Array:
        """Output (model) for the next token (model)."""
        q, k, v = self.projections.heads(token[None])
        self.memory += k.swapaxes(-1, -2) @ v
        return self.projections.output((q @ self.memory).swapaxes(0, 1))[0]
