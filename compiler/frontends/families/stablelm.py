"""StableLM: Llama with a part of each head turning; biases of queries, keys and values if it is said."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import layer_normed, rotary_decoder
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Bias

KEYS = Keys(
    read={
        "hidden_size": 2560,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "use_qkv_bias": False,
        "qk_layernorm": False,
        "layer_norm_eps": 1e-5,
        "partial_rotary_factor": 0.25,
        "max_position_embeddings": 4096,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=llama.HARMLESS - {"rms_norm_eps"} | words("hidden_dropout use_parallel_residual"),
)


def describe(config: Config, layer: int) -> Attention:
    """Causal self-attention; the map out has no bias. Each head may have a norm of its own."""
    biased = config.flag("use_qkv_bias")
    plain = rotary_decoder(config, Bias(query=biased, key=biased, value=biased), partial=True)
    return layer_normed(plain, config, "qk_layernorm", own_gains=True)


FAMILY = replace(
    llama.FAMILY,
    name="StableLM",
    model_types=("stablelm",),
    keys=KEYS,
    describe=describe,
    others={
        "gain_Q": "q_layernorm.norms.{head}.weight",
        "gain_K": "k_layernorm.norms.{head}.weight",
    },
)
