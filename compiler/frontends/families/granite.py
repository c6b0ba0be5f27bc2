"""Granite: Llama whose scores have a factor of their own."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import all_or_none, rotary_decoder
from cortico.frontends.families.stacks import gated, logits, pre_norm, rms, stacked
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import Attentions
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Readout, Stack

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


def stack(config: Config, attentions: Attentions) -> Stack:
    """Llama's, with factors of tokens and of what is added."""
    own, hidden = rms(config), gated(config, config.flag("mlp_bias"))
    layer = pre_norm(own, hidden, scale=config.number("residual_multiplier"))
    scale = config.number("embedding_multiplier")
    return stacked(config, layer, attentions, norm=own, scale=scale)


def read_out(config: Config) -> Readout:
    """Logits over a number."""
    return logits(config, scale=1 / config.number("logits_scaling"))


MODEL = llama.like(
    "Granite",
    stack,
    read_out,
    mlp_bias=False,
    embedding_multiplier=1.0,
    residual_multiplier=1.0,
    logits_scaling=1.0,
)


FAMILY = replace(
    llama.FAMILY,
    name="Granite",
    model_types=("granite",),
    keys=KEYS,
    describe=describe,
    model=MODEL,
)
