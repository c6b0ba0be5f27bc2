"""The attention layers that the benchmarks run, all of GPT-2 small's shape, and their textbook formula.

12 heads × 64 features, model width 768, biases everywhere, float32. A layer is x (batch, tokens, 768)
to y of the same shape, with the projections to queries, keys, values and output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cortico import AttentionSpec, random_weights
from cortico.spec import Bias, Kernel, Mask, Microcircuit

Array = np.ndarray
Weights = dict[str, Array]

THREADS = 2  #: for everybody
WINDOW = 256  #: tokens
_LINEAR: dict[str, Any] = {"kernel": Kernel.LINEAR, "microcircuit": Microcircuit.MEMORY}

#: What each kind changes of GPT-2 small's layer without a mask.
KINDS: dict[str, dict[str, Any]] = {
    "softmax": {},
    "causal": {"mask": Mask.CAUSAL},
    "window": {"mask": Mask.WINDOW, "window": WINDOW},
    "grouped": {"kv_heads": 4},
    "linear": _LINEAR,
    "linear causal": {**_LINEAR, "mask": Mask.CAUSAL},
}


def layer(kind: str) -> tuple[AttentionSpec, Weights]:
    """Spec and float32 weights of a kind, the number of tokens left symbolic."""
    every = Bias(query=True, key=True, value=True, output=True)
    spec = AttentionSpec(model=768, heads=12, bias=every, name=kind, **KINDS[kind])
    return spec, random_weights(spec, seed=0, dtype=np.float32)


def tokens_to_attend(batch: int, tokens: int) -> Array:
    """Random input (batch, tokens, 768), float32."""
    return np.random.default_rng(1).standard_normal((batch, tokens, 768), dtype=np.float32)


def visible(spec: AttentionSpec, queries: Array, tokens: int) -> Array:
    """Which source tokens (columns) each of `queries` (rows) may attend to, boolean."""
    back = queries[:, None] - np.arange(tokens)
    inside = np.ones(back.shape, bool) if spec.mask is Mask.NONE else back >= 0
    return inside & (back < spec.window) if spec.window else inside


def textbook(spec: AttentionSpec, weights: Weights, x: Array, queries: Array) -> Array:
    """Rows `queries` of the layer's output for x (tokens, model), in float64 and by the formula.

    Vaswani et al. 2017, arXiv 1706.03762, eq. 1; without the exponential and its sum for linear
    attention.
    """
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    q = np.einsum("im,ham->hia", x[queries], w["W_Q"], optimize=True) + w["b_Q"][:, None]
    k = np.einsum("jm,gam->gja", x, w["W_K"], optimize=True) + w["b_K"][:, None]
    v = np.einsum("jm,gcm->gjc", x, w["W_V"], optimize=True) + w["b_V"][:, None]
    k, v = (np.repeat(each, spec.members, axis=0) for each in (k, v))
    scores = np.einsum("hia,hja->hij", q, k, optimize=True)
    inside = visible(spec, queries, len(x))
    if spec.kernel is Kernel.SOFTMAX:
        scores = np.where(inside, scores / np.sqrt(spec.d_key), -np.inf)
        mask = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mask /= mask.sum(axis=-1, keepdims=True)
    else:
        mask = np.where(inside, scores, 0)
    return np.einsum("hij,hjc,hmc->im", mask, v, w["W_O"], optimize=True) + w["b_O"]
