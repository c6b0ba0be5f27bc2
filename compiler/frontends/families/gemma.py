"""Gemma: Llama with a head size of its own. From Gemma 2 on it is another family."""

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
        "hidden_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "head_dim": 256,
        "attention_bias": False,
        "max_position_embeddings": 8192,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=llama.HARMLESS | words("hidden_activation"),
    fixed=llama.FIXED | {"use_bidirectional_attention": None},
)


def describe(config: Config, layer: int) -> Attention:
    """All four maps have a bias, or none has."""
    return rotary_decoder(config, all_or_none(config.flag("attention_bias")))


FAMILY = replace(
    llama.FAMILY,
    name="Gemma",
    model_types=("gemma",),
    keys=KEYS,
    describe=describe,
)
