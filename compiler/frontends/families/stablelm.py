"""StableLM: Llama with a part of each head turning; biases of queries, keys and values if it is said."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import layer_normed, rotary_decoder
from cortico.frontends.families.stacks import gated, layer_norm, parallel, pre_norm, stacked
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import Attentions
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Bias, Stack

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


def stack(config: Config, attentions: Attentions) -> Stack:
    """Llama's with layer norms; or both blocks hear the same, by one norm."""
    own, beside = layer_norm(config, "layer_norm_eps"), config.flag("use_parallel_residual")
    layer = parallel(own, gated(config)) if beside else pre_norm(own, gated(config))
    return stacked(config, layer, attentions, norm=own)


MODEL = replace(
    llama.like("StableLm", stack, eps=None, intermediate_size=6912, use_parallel_residual=False),
    tensors={
        **llama.TENSORS,
        "layer.pre_parallel_norm": llama.TENSORS["layer.pre_attention_norm"],
    },
)


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
    model=MODEL,
)
