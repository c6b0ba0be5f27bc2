"""Gemma 2: Gemma with capped scores of a scale of their own; every second layer has a window."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import gemma, llama
from cortico.frontends.families.options import all_or_none, rotary_decoder, window_of
from cortico.frontends.families.stacks import gated, logits, norm_after, rms, stacked
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import Attentions
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Readout, Stack

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


def stack(config: Config, attentions: Attentions) -> Stack:
    """Norms on both sides of each block, and tokens that are made longer."""
    own, act = rms(config), gemma.act_of(config, "hidden_activation", "hidden_act")
    layer = norm_after(own, gated(config, act=act), before=True)
    return stacked(config, layer, attentions, norm=own, scale=gemma.scale_of_tokens(config))


def read_out(config: Config) -> Readout:
    """Logits, which may be capped."""
    key = "final_logit_softcapping"
    return logits(config, soft_cap=None if config.values[key] is None else config.number(key))


READ = {**gemma.READ, "hidden_activation": "gelu_pytorch_tanh", "intermediate_size": 9216}
TENSORS = gemma.tensors(
    post_attention_norm="post_attention_layernorm",
    pre_feed_forward_norm="pre_feedforward_layernorm",
    post_feed_forward_norm="post_feedforward_layernorm",
)
MODEL = replace(
    llama.like("Gemma2", stack, read_out, **READ, final_logit_softcapping=30.0), tensors=TENSORS
)


FAMILY = replace(
    llama.FAMILY,
    name="Gemma 2",
    model_types=("gemma2",),
    keys=KEYS,
    describe=describe,
    ignored=(),
    model=MODEL,
)
