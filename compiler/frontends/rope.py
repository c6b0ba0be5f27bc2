"""Rotary embedding as `config.json` describes it, old style and new, merged as transformers does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortico.frontends.config import Config
from cortico.ir.errors import SpecError, shown
from cortico.spec import AttentionSpec, Rotary, RotaryStyle

#: The keys of config.json that say how queries and keys turn; families add max_position_embeddings.
ROPE_KEYS: Mapping[str, Any] = {
    "rope_theta": 10000.0,
    "rope_parameters": None,
    "rope_scaling": None,
    "original_max_position_embeddings": None,
}

#: Types of rope that are read. By the last two, tokens turn otherwise where there are more of them.
EVERY_ROPE = ("default", "linear", "llama3", "yarn", "dynamic", "longrope")
_STRETCH = "how much longer features that turn become"
BY_LENGTH = ("dynamic", "longrope")

#: Names in the table of the rope, and to which types they mean something.
_TABLE = {
    "rope_type": EVERY_ROPE,
    "rope_theta": EVERY_ROPE,
    "original_max_position_embeddings": ("default", "linear", "llama3", "yarn", "longrope"),
    "factor": ("linear", "llama3", "yarn", "dynamic", "longrope"),
    "low_freq_factor": ("llama3",),
    "high_freq_factor": ("llama3",),
    "beta_fast": ("yarn",),
    "beta_slow": ("yarn",),
    "attention_factor": ("yarn", "longrope"),
    "short_factor": ("longrope",),
    "long_factor": ("longrope",),
    "mscale": ("yarn",),
    "mscale_all_dim": ("yarn",),
    "truncate": ("yarn",),
}


@dataclass(frozen=True)
class Rope:
    """A rotary embedding.

    weights: `rotary_frequencies`, in radians per token, shape (rotated/2), where they are not usual; and
        what `stretched` takes, where only some features turn and become longer.
    factor: what the length of queries, and that of keys, is multiplied with.
    tokens: the one number of them that it is for; None for any.
    """

    rotary: Rotary
    weights: dict[str, np.ndarray]
    factor: float = 1.0
    tokens: int | None = None


def read_rope(
    config: Config,
    features: int,
    style: RotaryStyle = RotaryStyle.HALF_SPLIT,
    partial: bool = False,
    kinds: tuple[str, ...] = EVERY_ROPE,
) -> Rope:
    """The rotary embedding of heads with `features`.

    `partial`: a part of the features turns, as `partial_rotary_factor` says. SpecError for types of
    rope that are not among `kinds`.
    """
    table = _table(config, partial, kinds)
    rotated = _rotated(config, table, features) if partial else features
    if rotated % 2:
        raise SpecError(
            f"{config.source}: {rotated} features of a head turn, expected an even number of them"
        )
    base = table.number("rope_theta")
    rotary = Rotary(base, style, None if rotated == features else rotated)
    kind = table.text("rope_type")
    if kind == "default":
        return Rope(rotary, {})
    if kind in BY_LENGTH and config.tokens is None:
        raise SpecError(
            f"{table.source}: rope type {kind!r} turns queries and keys by how many tokens there are: "
            "give tokens=N, --tokens N"
        )
    frequencies, factor = _MADE[kind](config, table, rotated, base)
    if not (np.isfinite(frequencies).all() and (frequencies > 0).all()):
        raise SpecError(f"{table.source}: rope type {kind!r} gives frequencies that no float holds")
    weights, tokens = {"rotary_frequencies": frequencies}, config.tokens
    if factor != 1 and rotated != features:
        weights[_STRETCH], factor = np.array(factor), 1.0
    return Rope(rotary, weights, factor, tokens if kind in BY_LENGTH else None)


def stretched(spec: AttentionSpec, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights, of which queries and keys are longer in the features that turn, if a rope says so.

    What comes last before they turn is multiplied, in float64: a norm, else the maps.
    """
    factor = weights.pop(_STRETCH, None)
    if factor is None:
        return weights
    factors = np.where(np.arange(spec.d_key) < spec.rotated_features, factor, 1.0)
    words = ("W", "b") if spec.qk_norm is None else ("gain", "shift")
    sides = {
        f"{word}_{m}": factors[:, None] if word == "W" else factors for word in words for m in "QK"
    }
    return weights | {name: weights[name] * by for name, by in sides.items() if name in weights}


def of_kind(config: Config, kind: str, base: str, scaled: bool) -> Config:
    """The same for one of the kinds of layers, each of which has a table in `rope_parameters`.

    `base` is the key that says `rope_theta` where the table does not, `scaled` whether `rope_scaling`
    counts for this kind. SpecError for a table that is of no kind.
    """
    tables = config.table("rope_parameters")
    found = dict(tables.values if tables else {})
    strange = found.keys() - {"full_attention", "sliding_attention"}
    if strange:
        raise config.wrong(
            "rope_parameters", f"a table for each kind of layer, not {shown(min(strange))}"
        )
    own, scaling = tables.table(kind) if tables else None, config.table("rope_scaling")
    values = dict(own.values if own else {}) | dict(scaling.values if scaling and scaled else {})
    if values.get("truncate") not in (None, True):  # the library looks for it beside the tables
        raise Config(f"{config.source}: {kind}", values).wrong("truncate", "true")
    alone = {"rope_scaling": None, "original_max_position_embeddings": None}
    named = {"rope_parameters": values, "rope_theta": config.values[base]}
    return config.changed(**alone, **named)


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


def _table(config: Config, partial: bool, kinds: tuple[str, ...]) -> Config:
    """What counts: `rope_scaling`, or else `rope_parameters`; beside it, the keys of config.json."""
    tables = (config.table(key) for key in ("rope_scaling", "rope_parameters"))
    found = next((table for table in tables if table is not None and table.values), None)
    beside = ("rope_theta", "partial_rotary_factor") if partial else ("rope_theta",)
    values = {key: config.values[key] for key in beside} | dict(found.values if found else {})
    old = values.pop("type", None)
    values.setdefault("rope_type", "default" if old is None else old)
    table = Config(found.source if found else config.source, values)
    _refuse_others(table, partial, kinds)
    return table


def _refuse_others(table: Config, partial: bool, kinds: tuple[str, ...]) -> None:
    """SpecError for other types of rope, and for names that mean nothing to this type."""
    kind, values = table.values["rope_type"], table.values
    if kind not in kinds or any(isinstance(v, dict) for v in values.values()):
        raise SpecError(
            f"{table.source}: rope type {kind!r} is not supported, expected one of "
            f"{', '.join(kinds)}, the same for all layers"
        )
    for name, value in values.items():
        whole = name == "partial_rotary_factor" and (partial or value == 1)
        if value is not None and kind not in _TABLE.get(name, ()) and not whole:
            raise SpecError(
                f"{table.source}: {name} = {shown(value)} is not supported with rope type {kind!r}"
            )


def _usual(rotated: int, base: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.power(base, -np.arange(0, rotated, 2, dtype=np.float64) / rotated)


def _linear(config: Config, table: Config, rotated: int, base: float) -> tuple[np.ndarray, float]:
    return _usual(rotated, base) / table.number("factor"), 1.0


def _llama3(config: Config, table: Config, rotated: int, base: float) -> tuple[np.ndarray, float]:
    usual = _usual(rotated, base)
    return _scaled(usual, _kept_by_llama3(config, table, usual), table), 1.0


def _yarn(config: Config, table: Config, rotated: int, base: float) -> tuple[np.ndarray, float]:
    kept = _kept_by_yarn(config, table, rotated, base)
    return _scaled(_usual(rotated, base), kept, table), _yarn_factor(table)


def _scaled(usual: np.ndarray, kept: np.ndarray, table: Config) -> np.ndarray:
    """Frequencies of which a part is kept, and the rest divided."""
    return np.asarray((1 - kept) * usual / table.number("factor") + kept * usual)


def _dynamic(config: Config, table: Config, rotated: int, base: float) -> tuple[np.ndarray, float]:
    """The base grows with the tokens beyond `max_position_embeddings` ("dynamic NTK")."""
    assert config.tokens is not None
    if rotated < 4:
        raise SpecError(
            f"{table.source}: rope type 'dynamic' needs 4 features that turn or more, found {rotated}"
        )
    usual, factor = config.number("max_position_embeddings"), table.number("factor")
    longer = max(config.tokens, usual) / usual
    with np.errstate(all="ignore"):
        grown = np.power(factor * longer - (factor - 1), rotated / (rotated - 2))
        return _usual(rotated, float(base * grown)), 1.0


def _longrope(config: Config, table: Config, rotated: int, base: float) -> tuple[np.ndarray, float]:
    """A divisor for each frequency, other ones beyond the original context (Ding et al., arXiv 2402.13753)."""
    assert config.tokens is not None
    usual = _original_length(config, table)
    divisors = table.numbers("long_factor" if config.tokens > usual else "short_factor")
    if len(divisors) != rotated // 2:
        raise SpecError(
            f"{table.source}: {len(divisors)} factors for {rotated // 2} pairs of features that turn"
        )
    given = table.values.get("attention_factor") is not None
    factor = table.number("attention_factor") if given else _longrope_factor(config, table, usual)
    with np.errstate(all="ignore"):
        return _usual(rotated, base) / np.array(divisors), factor


def _longrope_factor(config: Config, table: Config, usual: float) -> float:
    """What queries and keys are multiplied with, that the softmax stays as sharp as it was."""
    said = table.values.get("factor") is not None
    longer = table.number("factor") if said else config.number("max_position_embeddings") / usual
    if longer <= 1:
        return 1.0
    if usual <= 1:
        raise table.wrong("original_max_position_embeddings", "more than 1")
    return math.sqrt(1 + math.log(longer) / math.log(usual))


def _kept_by_llama3(config: Config, table: Config, usual: np.ndarray) -> np.ndarray:
    """How much of each frequency stays: short wavelengths all, long ones nothing, a ramp between."""
    length = _original_length(config, table)
    low, high = table.number("low_freq_factor"), table.number("high_freq_factor")
    if high <= low:
        raise table.wrong("high_freq_factor", f"more than low_freq_factor = {low}")
    turns = length * usual / (2 * math.pi)  # of each pair within the original context
    return np.clip((turns - low) / (high - low), 0.0, 1.0)


def _kept_by_yarn(config: Config, table: Config, rotated: int, base: float) -> np.ndarray:
    """How much of each frequency stays (YaRN, Peng et al., arXiv 2309.00071).

    Pairs that turn more than `beta_fast` times within the original context keep all, those that turn
    less than `beta_slow` times nothing; between them the ramp is linear in the pair's number.
    """
    length = _original_length(config, table)
    if base <= 1:
        raise table.wrong("rope_theta", "more than 1")

    def pair_that_turns(key: str, default: float) -> float:
        turns = default if table.values.get(key) is None else table.number(key)
        ratio = math.log(length) - math.log(2 * math.pi) - math.log(turns)
        return rotated * ratio / (2 * math.log(base))

    first, last = pair_that_turns("beta_fast", 32.0), pair_that_turns("beta_slow", 1.0)
    if table.values.get("truncate") is None or table.flag("truncate"):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, rotated - 1)
    last += 0.001 if first == last else 0.0  # as transformers does, not to divide by zero
    return 1 - np.clip((np.arange(rotated // 2) - first) / (last - first), 0.0, 1.0)


def _yarn_factor(table: Config) -> float:
    """What queries and keys are multiplied with, that the softmax stays as sharp as it was."""
    if table.values.get("attention_factor") is not None:
        return table.number("attention_factor")
    names = ("mscale", "mscale_all_dim")
    both = all(table.values.get(name) for name in names)
    over, under = (table.number(name) if both else None for name in names)
    factor = table.number("factor")

    def longer(times: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * times * math.log(factor) + 1.0

    return longer(over) / longer(under) if over and under else longer(1.0)


def _original_length(config: Config, table: Config) -> float:
    """Tokens of the context before it was extended: in config.json, else in the table, else all."""
    key = "original_max_position_embeddings"
    for place in (config, table):
        if place.values.get(key) is not None:
            return place.number(key)
    return config.number("max_position_embeddings")


#: For each type but the default one, its frequencies and factor.
_MADE = {
    "linear": _linear,
    "llama3": _llama3,
    "yarn": _yarn,
    "dynamic": _dynamic,
    "longrope": _longrope,
}
