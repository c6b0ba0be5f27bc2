"""Gemma 2: Gemma with capped scores of a scale of their own; every second layer has a window."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import all_or_none, rotary_decoder, window_of
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.rope import ROPE_KEYS

KEYS = Keys(
    read={
        "hidden_size": 2304,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "attention_bias": False,
        "query_pre_attn_scalar": 256,
        "attn_logit_softcapping": 50.0,
        "sliding_window": 4096,
        "layer_types": None,
        "max_position_embeddings": 8192,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=llama.HARMLESS | words("hidden_activation final_logit_softcapping"),
    fixed=llama.FIXED | {"use_bidirectional_attention": None},
)


def describe(config: Config, layer: int) -> Attention:
    """A window in layers 0, 2, …, where `layer_types` does not say it of each."""
    window = window_of(config, layer, slides=layer % 2 == 0)
    bias = all_or_none(config.flag("attention_bias"))
    scale = config.number("query_pre_attn_scalar") ** -0.5
    spec, frequencies = rotary_decoder(config, bias, window, scale=scale)
    capped = config.values["attn_logit_softcapping"] is not None
    cap = config.number("attn_logit_softcapping") if capped else None
    return replace(spec, soft_cap=cap), frequencies


FAMILY = replace(
    llama.FAMILY,
    name="Gemma 2",
    model_types=("gemma2",),
    keys=KEYS,
    describe=describe,
    ignored=(),
)
