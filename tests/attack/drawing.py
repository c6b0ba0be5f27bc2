"""Random specs and weights for attacks: every option, and numbers in which something is planted."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np

from cortico.ir import SpecError
from cortico.spec import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    Microcircuit,
    NormOver,
    Nucleus,
    PositionBias,
    QueryKeyNorm,
    Rotary,
    RotaryStyle,
    Thalamus,
)
from cortico.spec.weights import optional_shapes, random_weights

Weights = dict[str, np.ndarray]

_SCALES = [None, None, None, 0.3, 0.0, 1.0, -0.5, 2.0, 30.0, 1000.0]

#: Heads, and heads of keys and values.
_HEADS = [(1, None), (2, None), (2, None), (3, None), (4, 2), (2, 1), (6, 2)]


def random_spec(
    random: Random, tokens: tuple[str | int, ...] = ("n", "n", "n", 4)
) -> AttentionSpec:
    """A small spec with any options that fit together, most of its sizes different."""
    while True:
        try:
            return _spec(random, tokens)
        except SpecError:
            continue


def _spec(random: Random, tokens: tuple[str | int, ...]) -> AttentionSpec:
    mask, cross = random.choice(list(Mask)), random.random() < 0.2
    rotary = random.random() < 0.2
    heads, kv_heads = random.choice(_HEADS)
    sizes = random.sample([2, 3, 4, 5], 4) if random.random() < 0.8 else [2, 2, 2, 2]
    memory = random.random() < 0.2
    return AttentionSpec(
        model=sizes[0],
        heads=heads,
        kv_heads=kv_heads,
        key_features=random.choice([2, 4, 6]) if rotary else random.choice([1, *sizes[1:2] * 3]),
        value_features=random.choice([1, *sizes[2:3] * 4]),
        output=random.choice([None, 1, *sizes[3:4] * 2]),
        cross=cross,
        context=random.choice([None, 3]) if cross else None,
        values=random.choice([None, None, 2, 7]) if cross else None,
        context_tokens=random.choice([None, None, 5]) if cross else None,
        tokens=random.choice(tokens),
        kernel=Kernel.LINEAR if memory else random.choice(list(Kernel)),
        mask=mask,
        window=random.choice([1, 2, 3, 5]) if mask.has_window else None,
        key_padding=random.random() < 0.3,
        scale=random.choice(_SCALES),
        soft_cap=None if memory else random.choice([None, None, None, None, 0.3, 2.0, 30.0]),
        bias=Bias(*(random.random() < 0.45 for _ in range(4))),
        qk_norm=_norm(random) if random.random() < 0.25 else None,
        rotary=_rotary(random) if rotary else None,
        position_bias=random.choice([PositionBias.NONE, PositionBias.NONE, *PositionBias]),
        sink=random.random() < 0.2,
        semi_saturation=random.choice([0.0, 0.0, 0.0, 0.7, 1e-30, 1e30]),
        extra_source=random.random() < 0.2,
        thalamus=Thalamus(*(random.choice(list(Nucleus)) for _ in range(3))),
        microcircuit=Microcircuit.MEMORY if memory else Microcircuit.MASK,
    )


def _rotary(random: Random) -> Rotary:
    base, style = random.choice([10000.0, 2.0]), random.choice(list(RotaryStyle))
    return Rotary(base, style, random.choice([None, None, 2]))


def _norm(random: Random) -> QueryKeyNorm:
    return QueryKeyNorm(random.choice(list(NormOver)), random.choice([1e-6, 0.01, 2.0]))


# ---- weights -------------------------------------------------------------------------------------


def planted_weights(
    random: Random, spec: AttentionSpec, last: Callable[[Random, Weights], None] | None = None
) -> Weights:
    """Weights with zeros, ties, copies, outliers, tiny and round numbers, of one type or of several.

    `last` plants something more.
    """
    rng = np.random.default_rng(random.randrange(2**32))
    weights = random_weights(spec, random.randrange(2**32))
    if spec.rotary and random.random() < 0.5:
        for name, shape in optional_shapes(spec).items():
            weights[name] = rng.random(shape)  # type: ignore[arg-type]
    for name, array in weights.items():
        weights[name] = _styled(random, rng, name, array)
    for plant in (_zero_slices, _tie, _copy_heads, dead_features, outlier):
        if random.random() < 0.35:
            plant(random, weights)
    if last is not None:
        last(random, weights)
    kind = random.choice(["float64"] * 5 + ["float32", "float32", "float16", "mixed"])
    return {name: _of_type(random, array, kind) for name, array in weights.items()}


def _styled(random: Random, rng: np.random.Generator, name: str, array: np.ndarray) -> np.ndarray:
    style = random.randrange(10)
    if name == "rotary_frequencies":
        return array
    if style == 0:
        return rng.integers(-3, 4, array.shape).astype(float)
    if style == 1:
        return rng.choice([-1.0, 1.0], array.shape) * 2.0 ** rng.integers(-3, 4, array.shape)
    if style == 2:
        return array * 1e-8
    if style in (3, 4) and name.startswith("b_"):
        return -np.abs(array)
    if style in (3, 5):
        return np.abs(array)
    if style == 6 and array.ndim == 1:
        return np.zeros_like(array)
    return array


def _zero_slices(random: Random, weights: Weights) -> None:
    for _ in range(random.randrange(1, 4)):
        array = weights[random.choice(list(weights))]
        side = random.randrange(array.ndim)
        np.moveaxis(array, side, 0)[random.randrange(array.shape[side])] = 0


def _tie(random: Random, weights: Weights) -> None:
    """One tensor the same as another of its shape: W_K = W_Q, W_V = W_K, b_K = b_Q …"""
    pairs = [
        (a, b) for a in weights for b in weights if a != b and weights[a].shape == weights[b].shape
    ]
    for one, other in random.sample(pairs, min(len(pairs), random.randrange(1, 3))):
        weights[one] = weights[other].copy()


def _copy_heads(random: Random, weights: Weights) -> None:
    """A head is the one before it: in all tensors, or in those of keys and values only."""
    names = [n for n in weights if n not in ("b_O", "rotary_frequencies")]
    if random.random() < 0.6:
        names = [n for n in names if n in ("W_K", "b_K", "W_V", "b_V")]
    for name in names:
        array = weights[name]
        every = random.random() < 0.5
        if len(array) % 2 == 0:
            last = len(array) if every else 2
            array[1:last:2] = array[0:last:2]


def dead_features(random: Random, weights: Weights) -> None:
    """A key or value feature without effect, in all heads or in one."""
    names = random.choice(
        [("W_Q", "b_Q"), ("W_K", "b_K"), ("W_Q", "W_K"), ("W_V", "b_V"), ("W_O",)]
    )
    places: dict[int, int] = {}
    heads = slice(None) if random.random() < 0.7 else slice(0, 1)
    for name in names:
        if name in weights:
            side = 2 if name == "W_O" else 1
            size = weights[name].shape[side]
            at = places.setdefault(size, random.randrange(size))
            np.moveaxis(weights[name], side, 0)[at, heads] = 0


def outlier(random: Random, weights: Weights) -> None:
    """One number beside which all others vanish, perhaps where it has no effect."""
    name = random.choice([n for n in weights if n != "rotary_frequencies"])
    array = weights[name]
    at = tuple(random.randrange(side) for side in array.shape)
    array[at] = random.choice([4e14, -4e14, 1e8, 6e4, 1e-20])
    if name == "W_V" and random.random() < 0.6:
        group = len(weights["W_O"]) // len(array)
        weights["W_O"][at[0] * group : (at[0] + 1) * group, :, at[1]] = 0
    if name == "W_O" and random.random() < 0.6:
        head = at[0] * len(weights["W_V"]) // len(array)
        weights["W_V"][head, at[2]] = 0
        if "b_V" in weights:
            weights["b_V"][head, at[2]] = 0


def _of_type(random: Random, array: np.ndarray, kind: str) -> np.ndarray:
    chosen = random.choice(["float16", "float32", "float64"]) if kind == "mixed" else kind
    largest = float(np.finfo(chosen).max)
    return np.clip(array, -largest, largest).astype(chosen)
