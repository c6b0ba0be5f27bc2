"""StarCoder2: grouped queries with biases, and one window for all layers if it is said."""

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
        "num_hidden_layers": 30,
        "num_attention_heads": 24,
        "num_key_value_heads": 2,
        "head_dim": None,
        "use_bias": True,
        "sliding_window": None,
        "max_position_embeddings": 4096,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=llama.HARMLESS - {"rms_norm_eps"}
    | words(
        "norm_epsilon layer_norm_epsilon norm_type residual_dropout embedding_dropout mlp_type "
        "activation_function attention_softmax_in_fp32 scale_attention_softmax_in_fp32"
    ),
    fixed=llama.FIXED | {"layer_types": None, "scale_attn_weights": True},
)


def describe(config: Config, layer: int) -> Attention:
    """All four maps have a bias, or none has."""
    window = config.optional_size("sliding_window")
    return rotary_decoder(config, all_or_none(config.flag("use_bias")), window)


FAMILY = replace(
    llama.FAMILY,
    name="StarCoder2",
    model_types=("starcoder2",),
    keys=KEYS,
    describe=describe,
)
