"""Mistral and Ministral: Llama without biases, with a sliding window in all layers or in some."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import rotary_decoder, window_of
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Bias

KEYS = Keys(
    read={
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": None,
        "sliding_window": 4096,
        "layer_types": None,
        "max_position_embeddings": 131072,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=llama.HARMLESS,
    fixed=llama.FIXED,
)


def describe(config: Config, layer: int) -> Attention:
    """`layer_types` counts in both: transformers' AutoModel takes Mistral with it for Ministral."""
    return rotary_decoder(config, Bias(), window_of(config, layer, slides=True))


FAMILY = replace(
    llama.FAMILY,
    name="Mistral",
    model_types=("mistral", "ministral"),
    keys=KEYS,
    describe=describe,
    model=llama.like("Mistral Ministral", intermediate_size=14336),
)
