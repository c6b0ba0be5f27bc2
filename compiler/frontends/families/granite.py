"""Granite: Llama whose scores have a factor of their own."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import all_or_none, rotary_decoder
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.rope import ROPE_KEYS

KEYS = Keys(
    read={
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,
        "attention_bias": False,
        "attention_multiplier": 1.0,
        "max_position_embeddings": 2048,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=llama.HARMLESS
    | words("mlp_bias embedding_multiplier logits_scaling residual_multiplier"),
    fixed=llama.FIXED,
)


def describe(config: Config, layer: int) -> Attention:
    """`attention_multiplier` takes the place of 1/√(features of a head)."""
    scale = config.number("attention_multiplier")
    return rotary_decoder(config, all_or_none(config.flag("attention_bias")), scale=scale)


FAMILY = replace(
    llama.FAMILY,
    name="Granite",
    model_types=("granite",),
    keys=KEYS,
    describe=describe,
)
