"""Gemma 3, texts only: normed heads, and most layers slide and turn faster than the others."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import gemma2, llama
from cortico.frontends.families.options import (
    GAINS,
    all_or_none,
    bidirectional,
    layer_kind,
    normed,
    rotary_decoder,
    window_of,
)
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import STATES, heads
from cortico.frontends.rope import ROPE_KEYS, of_kind

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
        "use_bidirectional_attention": False,
        **ROPE_KEYS,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
    },
    harmless=llama.HARMLESS - {"rms_norm_eps"}
    | words("hidden_activation final_logit_softcapping _sliding_window_pattern"),
    # transformers does not read it, other programs do
    fixed=llama.FIXED | {"attn_logit_softcapping": None},
)


def describe(config: Config, layer: int) -> Attention:
    """Every sixth layer sees all, where `layer_types` does not say it of each."""
    slides = (layer + 1) % config.size("sliding_window_pattern") != 0
    kind = layer_kind(config, layer, slides)
    window = window_of(config, layer, slides)
    both = config.values["use_bidirectional_attention"] is not None
    both = both and config.flag("use_bidirectional_attention")
    if both and window is not None:
        window = window // 2 + 1
    slow = kind == "full_attention"
    config = of_kind(config, kind, "rope_theta" if slow else "rope_local_base_freq", scaled=slow)
    bias = all_or_none(config.flag("attention_bias"))
    scale = config.number("query_pre_attn_scalar") ** -0.5
    spec, weights = normed(rotary_decoder(config, bias, window, scale=scale), config)
    if both and config.flag("is_causal"):  # else the other key counts, whose windows are wider
        spec = replace(spec, **bidirectional(window))
    return spec, weights


MODEL = replace(
    llama.like(
        "Gemma3",
        gemma2.stack,
        gemma2.read_out,
        **gemma2.READ,
        final_logit_softcapping=None,
    ),
    tensors=gemma2.TENSORS,
    heads={
        **heads("Gemma3Text", Model=STATES),
        **heads("Gemma3", ForCausalLM=llama.language(gemma2.read_out)),
    },
    harmless=words("is_decoder _sliding_window_pattern"),
)


FAMILY = replace(
    llama.FAMILY,
    name="Gemma 3",
    model_types=("gemma3_text",),
    keys=KEYS,
    describe=describe,
    ignored=(),
    others=GAINS,
    added=1.0,
    model=MODEL,
)
