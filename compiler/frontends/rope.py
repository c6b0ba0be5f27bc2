"""Rotary embedding as `config.json` describes it, old style and new, merged as transformers does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cortico.frontends.config import Config
from cortico.ir.errors import SpecError, shown
from cortico.spec import Rotary, RotaryStyle

#: The keys of config.json that say how queries and keys turn; families add max_position_embeddings.
ROPE_KEYS: Mapping[str, Any] = {
    "rope_theta": 10000.0,
    "rope_parameters": None,
    "rope_scaling": None,
    "original_max_position_embeddings": None,
}

#: Names in the table of the rope, and to which types they mean something.
_TABLE = {
    "rope_type": ("default", "linear", "llama3"),
    "rope_theta": ("default", "linear", "llama3"),
    "factor": ("linear", "llama3"),
    "low_freq_factor": ("llama3",),
    "high_freq_factor": ("llama3",),
    "original_max_position_embeddings": ("default", "linear", "llama3"),
}


def read_rope(
    config: Config,
    features: int,
    style: RotaryStyle = RotaryStyle.HALF_SPLIT,
    partial: bool = False,
) -> tuple[Rotary, dict[str, np.ndarray]]:
    """The rotary embedding of heads with `features`, and its frequencies where they are not usual.

    `rotary_frequencies` are in radians per token, shape (rotated/2). `partial`: a part of the
    features turns, as `partial_rotary_factor` says. SpecError for other rope types.
    """
    table = _table(config, partial)
    rotated = _rotated(config, table, features) if partial else features
    base = table.number("rope_theta")
    rotary = Rotary(base, style, None if rotated == features else rotated)
    if table.text("rope_type") == "default":
        return rotary, {}
    return rotary, {"rotary_frequencies": _frequencies(config, table, base, rotated)}


def _rotated(config: Config, table: Config, features: int) -> int:
    """How many features of a head turn. transformers rounds down."""
    part = table.number("partial_rotary_factor")
    rotated = int(features * min(part, 1.0))
    if part > 1 or rotated < 2 or rotated % 2:
        raise SpecError(
            f"{config.source}: partial_rotary_factor = {part} turns {rotated} of {features} "
            "features of a head, expected an even number of them"
        )
    return rotated


def _table(config: Config, partial: bool) -> Config:
    """What counts: `rope_scaling`, or else `rope_parameters`; beside it, the keys of config.json."""
    tables = (config.table(key) for key in ("rope_scaling", "rope_parameters"))
    found = next((table for table in tables if table is not None and table.values), None)
    beside = ("rope_theta", "partial_rotary_factor") if partial else ("rope_theta",)
    values = {key: config.values[key] for key in beside} | dict(found.values if found else {})
    old = values.pop("type", None)
    values.setdefault("rope_type", "default" if old is None else old)
    table = Config(found.source if found else config.source, values)
    _refuse_others(table, partial)
    return table


def _refuse_others(table: Config, partial: bool) -> None:
    """SpecError for other types of rope, and for names that mean nothing to this type."""
    kind, values = table.values["rope_type"], table.values
    if kind not in _TABLE["rope_type"] or any(isinstance(v, dict) for v in values.values()):
        raise SpecError(
            f"{table.source}: rope type {kind!r} is not supported, expected one of "
            f"{', '.join(_TABLE['rope_type'])}, the same for all layers"
        )
    for name, value in values.items():
        whole = name == "partial_rotary_factor" and (partial or value == 1)
        if value is not None and kind not in _TABLE.get(name, ()) and not whole:
            raise SpecError(
                f"{table.source}: {name} = {shown(value)} is not supported with rope type {kind!r}"
            )


def _frequencies(config: Config, table: Config, base: float, rotated: int) -> np.ndarray:
    usual = np.power(base, -np.arange(0, rotated, 2, dtype=np.float64) / rotated)
    linear = table.text("rope_type") == "linear"
    kept = np.zeros_like(usual) if linear else _kept_by_llama3(config, table, usual)
    frequencies: np.ndarray = (1 - kept) * usual / table.number("factor") + kept * usual
    return frequencies


def _kept_by_llama3(config: Config, table: Config, usual: np.ndarray) -> np.ndarray:
    """How much of each frequency stays: short wavelengths all, long ones nothing, a ramp between."""
    length = _original_length(config, table)
    low, high = table.number("low_freq_factor"), table.number("high_freq_factor")
    if high <= low:
        raise table.wrong("high_freq_factor", f"more than low_freq_factor = {low}")
    turns = length * usual / (2 * math.pi)  # of each pair within the original context
    return np.clip((turns - low) / (high - low), 0.0, 1.0)


def _original_length(config: Config, table: Config) -> float:
    """Tokens of the context before it was extended: in config.json, else in the table, else all."""
    key = "original_max_position_embeddings"
    for place in (config, table):
        if place.values.get(key) is not None:
            return place.number(key)
    return config.number("max_position_embeddings")
