"""StableLM: Llama with a part of each head turning; biases of queries, keys and values if it is said."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import rotary_decoder
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
        "partial_rotary_factor": 0.25,
        "max_position_embeddings": 4096,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=llama.HARMLESS - {"rms_norm_eps"}
    | words("layer_norm_eps hidden_dropout use_parallel_residual"),
    fixed={"qk_layernorm": False},
)


def describe(config: Config, layer: int) -> Attention:
    """Causal self-attention; the map out has no bias."""
    biased = config.flag("use_qkv_bias")
    return rotary_decoder(config, Bias(query=biased, key=biased, value=biased), partial=True)


FAMILY = replace(
    llama.FAMILY,
    name="StableLM",
    model_types=("stablelm",),
    keys=KEYS,
    describe=describe,
)
