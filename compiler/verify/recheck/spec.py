"""The spec in a certificate, each value checked. What is left out is as `compiler/spec/attention.py` has it."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from cortico.verify.recheck.forms import Maybe, Table, fit, printable
from cortico.verify.recheck.text import require

_NUCLEI = ("core", "matrix")
_WINDOWED = ("window", "bidirectional_window")
FORM = Table(
    {
        "model": int,
        "heads": int,
        "kv_heads?": Maybe(int),
        "key_features?": Maybe(int),
        "value_features?": Maybe(int),
        "output?": Maybe(int),
        "cross?": bool,
        "context?": Maybe(int),
        "values?": Maybe(int),
        "kernel?": ("linear", "softmax"),
        "normalisation?": ("division", "feedback"),
        "feedback?": Table({"rate?": float, "start?": float}),
        "mask?": ("none", "causal", *_WINDOWED),
        "window?": Maybe(int),
        "key_padding?": bool,
        "scale?": Maybe(float),
        "soft_cap?": Maybe(float),
        "bias?": Table(dict.fromkeys(("query?", "key?", "value?", "output?"), bool)),
        "rotary?": Maybe(
            Table(
                {
                    "base?": float,
                    "style?": ("half_split", "interleaved"),
                    "rotated?": Maybe(int),
                }
            )
        ),
        "qk_norm?": Maybe(
            Table(
                {
                    "over?": ("head", "width"),
                    "eps?": float,
                    "kind?": ("rms", "layer"),
                    "own_gains?": bool,
                    "bias?": bool,
                }
            )
        ),
        "position_bias?": ("none", "alibi", "table", "input"),
        "sink?": bool,
        "semi_saturation?": float,
        "extra_source?": bool,
        "thalamus?": Table(dict.fromkeys(("query?", "key?", "value?"), _NUCLEI)),
        "microcircuit?": ("mask", "memory"),
        "name?": str,
    }
)

#: Sizes that must be positive; tokens may be symbols.
_SIZES = (
    "model",
    "heads",
    "kv_heads",
    "key_features",
    "value_features",
    "output",
    "context",
    "values",
)


def read_spec(given: Any) -> defaultdict[str, Any]:
    """The fields of a spec, None where one is not given. ValueError for what is no spec."""
    fit(given, dict, "the spec")
    tokens = {name: given[name] for name in ("tokens", "context_tokens") if name in given}
    fit({name: value for name, value in given.items() if name not in tokens}, FORM, "the spec")
    s: defaultdict[str, Any] = defaultdict(lambda: None, given)
    for name in (*_SIZES, "window"):
        require_size(s[name], name)
    for name, extent in tokens.items():
        require_tokens(extent, name)
    _check_together(s)
    return s


def require_size(size: Any, name: str) -> None:
    """ValueError unless a size is none or a positive number."""
    fine = size is None or (type(size) is int and 1 <= size < 2**59)
    require(fine, f"{name} must be a positive whole number, found {printable(size)}")


def require_tokens(extent: Any, name: str) -> None:
    """ValueError unless a number of tokens is one, or a symbol."""
    if type(extent) is not str:
        require_size(extent, name)
        return
    symbol = re.fullmatch(r"[A-Za-z_]\w*", extent, re.ASCII)
    require(symbol, f"{name} is no symbol: {printable(extent)}")


def _check_together(s: defaultdict[str, Any]) -> None:
    """What does not go together, as `compiler/spec/attention.py` lists it."""
    heads, model, cross = s["heads"], s["model"], bool(s["cross"])
    require(s["key_features"] or model % heads == 0, "model does not divide into heads")
    require(heads % (s["kv_heads"] or heads) == 0, "heads do not divide into kv_heads")
    require((s["mask"] in _WINDOWED) == (s["window"] is not None), "window does not fit mask")
    plain = s["mask"] in (None, "none") and s["position_bias"] != "alibi" and not s["rotary"]
    require(plain or not cross, "mask, alibi and rotary are not for cross attention")
    others = s["context"] or s["context_tokens"] or s["values"]
    require(cross or not others, "context and values are for cross attention")
    feedback = s["normalisation"] == "feedback"
    require(not feedback or s["kernel"] != "linear", "feedback is for softmax")
    require(not feedback or not s["semi_saturation"], "semi_saturation is for division")
    require(not s["sink"] or s["kernel"] != "linear", "sink is for softmax")
    sigma = s["semi_saturation"] or 0.0
    require(not sigma or 1e-30 <= sigma <= 1e30, "semi_saturation must be 0, or 1e-30 to 1e30")
    require(not sigma or s["kernel"] != "linear", "semi_saturation is for softmax")
    unturned = not (
        s["qk_norm"] is not None or s["rotary"] is not None or s["soft_cap"] is not None
    )
    fine = not s["extra_source"] or (unturned and s["position_bias"] != "alibi")
    require(fine, "an extra source token is plain, and has no position")
    symbols = [s["tokens"] or "n", (s["context_tokens"] or "n_context") if cross else None]
    require(not isinstance(symbols[0], str) or symbols[0] != symbols[1], "one symbol for two sizes")
    table = s["position_bias"] == "table" and any(isinstance(each, str) for each in symbols)
    require(not table, "a table of positions needs numbers of tokens")
    if s["microcircuit"] == "memory":
        fine = s["kernel"] == "linear" and s["mask"] not in _WINDOWED
        fine = fine and s["soft_cap"] is None
        require(fine and s["position_bias"] in (None, "none"), "no memory computes this")
    require(s["soft_cap"] is None or s["soft_cap"] > 0, "soft_cap must be positive")
    if s["qk_norm"] is not None:
        require(s["qk_norm"].get("eps", 1.0) > 0, "qk_norm.eps must be positive")
    if s["rotary"] is not None:
        d = s["key_features"] or model // heads
        rotated = s["rotary"].get("rotated")
        rotated = d if rotated is None else rotated
        fine = d % 2 == 0 and rotated % 2 == 0 and 0 < rotated <= d
        require(fine, "rotary turns pairs of features, at most all")
        require(s["rotary"].get("base", 1.0) > 0, "rotary.base must be positive")
