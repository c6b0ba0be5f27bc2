"""Rotary embedding as `config.json` describes it, old style and new."""

from __future__ import annotations

import math

import numpy as np

from cortico.frontends.config import Config
from cortico.ir.errors import SpecError
from cortico.spec import Rotary, RotaryStyle

_TYPES = ("default", "linear", "llama3")


def read_rope(config: Config, features: int) -> tuple[Rotary, np.ndarray | None]:
    """The rotary embedding of heads with `features`, and its frequencies where they are not usual.

    transformers 5 writes `rope_parameters`; before it was `rope_theta` and `rope_scaling`.
    Frequencies are in radians per token, shape (rotated/2). SpecError for other rope types.
    """
    options = config.table("rope_parameters") or config.table("rope_scaling")
    options = options or Config(config.source, {})
    base = options.number("rope_theta", config.number("rope_theta", 10000.0))
    rotary = Rotary(base, RotaryStyle.HALF_SPLIT, _rotated(config, options, features))
    return rotary, _frequencies(options, base, rotary.rotated or features)


def _rotated(config: Config, options: Config, features: int) -> int | None:
    """How many features of a head turn; None for all. transformers rounds down."""
    part = options.number("partial_rotary_factor", config.number("partial_rotary_factor", 1.0))
    rotated = int(features * min(part, 1.0))
    if part > 1 or rotated < 2 or rotated % 2:
        raise SpecError(
            f"{config.source}: partial_rotary_factor = {part} turns {rotated} of {features} "
            "features of a head, expected an even number of them"
        )
    return None if rotated == features else rotated


def _frequencies(options: Config, base: float, rotated: int) -> np.ndarray | None:
    kind = options.text("rope_type", options.text("type", "default"))
    if kind not in _TYPES or any(isinstance(v, dict) for v in options.values.values()):
        raise SpecError(
            f"{options.source}: rope type {kind!r} is not supported, expected one of "
            f"{', '.join(_TYPES)}, the same for all layers"
        )
    if kind == "default":
        return None
    usual = np.power(base, -np.arange(0, rotated, 2, dtype=np.float64) / rotated)
    kept = np.zeros_like(usual) if kind == "linear" else _kept_by_llama3(options, usual)
    frequencies: np.ndarray = (1 - kept) * usual / options.number("factor") + kept * usual
    return frequencies


def _kept_by_llama3(options: Config, usual: np.ndarray) -> np.ndarray:
    """How much of each frequency stays: short wavelengths all, long ones nothing, a ramp between."""
    length = options.number("original_max_position_embeddings")  # tokens
    low, high = options.number("low_freq_factor"), options.number("high_freq_factor")
    if high <= low:
        raise options.wrong("high_freq_factor", f"more than low_freq_factor = {low}")
    turns = length * usual / (2 * math.pi)  # of each pair within the original context
    return np.clip((turns - low) / (high - low), 0.0, 1.0)
