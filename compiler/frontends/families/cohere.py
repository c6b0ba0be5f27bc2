"""Cohere (Command R): Llama whose features turn in neighbouring pairs."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import all_or_none, rotary_decoder
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import RotaryStyle

KEYS = Keys(
    read={
        "hidden_size": 8192,
        "num_hidden_layers": 40,
        "num_attention_heads": 64,
        "num_key_value_heads": None,
        "head_dim": None,
        "attention_bias": False,
        "max_position_embeddings": 8192,
        "is_causal": True,
        **ROPE_KEYS,
        "rope_theta": 500000.0,
    },
    harmless=llama.HARMLESS - {"rms_norm_eps"} | words("layer_norm_eps logit_scale"),
    fixed={"partial_rotary_factor": 1.0, "use_qk_norm": False},
)


def describe(config: Config, layer: int) -> Attention:
    """All four maps have a bias, or none has."""
    bias = all_or_none(config.flag("attention_bias"))
    return rotary_decoder(config, bias, style=RotaryStyle.INTERLEAVED)


FAMILY = replace(
    llama.FAMILY,
    name="Cohere",
    model_types=("cohere",),
    keys=KEYS,
    describe=describe,
)
