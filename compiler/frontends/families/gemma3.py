"""Gemma 3, texts only: normed heads, and most layers slide and turn faster than the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import (
    GAINS,
    all_or_none,
    layer_kind,
    normed,
    rotary_decoder,
    window_of,
)
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.rope import ROPE_KEYS
from cortico.ir.errors import shown

KEYS = Keys(
    read={
        "hidden_size": 2304,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "attention_bias": False,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-6,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
        "layer_types": None,
        "max_position_embeddings": 131072,
        "is_causal": True,
        **ROPE_KEYS,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
    },
    harmless=llama.HARMLESS - {"rms_norm_eps"}
    | words("hidden_activation final_logit_softcapping _sliding_window_pattern"),
    fixed=llama.FIXED
    | {
        "use_bidirectional_attention": False,
        "attn_logit_softcapping": None,  # transformers does not read it, other programs do
    },
)


def describe(config: Config, layer: int) -> Attention:
    """Every sixth layer sees all, where `layer_types` does not say it of each."""
    slides = (layer + 1) % config.size("sliding_window_pattern") != 0
    kind = layer_kind(config, layer, slides)
    window = window_of(config, layer, slides)
    config = Config(config.source, {**config.values, **_rope(config, kind)})
    bias = all_or_none(config.flag("attention_bias"))
    scale = config.number("query_pre_attn_scalar") ** -0.5
    return normed(rotary_decoder(config, bias, window, scale=scale), config)


def _rope(config: Config, kind: str) -> dict[str, Any]:
    """The keys of rope as one kind of layer reads them: each has a table, `rope_scaling` is of full ones."""
    tables = config.table("rope_parameters")
    found = dict(tables.values if tables else {})
    strange = found.keys() - {"full_attention", "sliding_attention"}
    if strange:
        raise config.wrong(
            "rope_parameters", f"a table for each kind of layer, not {shown(min(strange))}"
        )
    own = tables.table(kind) if tables else None
    values = dict(own.values if own else {})
    if kind == "sliding_attention":
        base, scaling = config.values["rope_local_base_freq"], None
    else:
        base, scaling = config.values["rope_theta"], config.table("rope_scaling")
    values |= scaling.values if scaling else {}
    return {"rope_parameters": values, "rope_scaling": None, "rope_theta": base}


FAMILY = replace(
    llama.FAMILY,
    name="Gemma 3",
    model_types=("gemma3_text",),
    keys=KEYS,
    describe=describe,
    ignored=(),
    others=GAINS,
    added=1.0,
)
