"""Cohere (Command R): Llama whose features turn in neighbouring pairs, and may be normed before."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import GAINS, all_or_none, layer_normed, rotary_decoder
from cortico.frontends.families.stacks import gated, layer_norm, logits, parallel, stacked
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import Attentions
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Readout, RotaryStyle, Stack

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
        "use_qk_norm": False,
        "layer_norm_eps": 1e-5,
        **ROPE_KEYS,
        "rope_theta": 500000.0,
    },
    harmless=llama.HARMLESS - {"rms_norm_eps"} | words("logit_scale"),
    fixed={"partial_rotary_factor": 1.0},
)


def describe(config: Config, layer: int) -> Attention:
    """All four maps have a bias, or none has. A norm has a gain for each head."""
    bias = all_or_none(config.flag("attention_bias"))
    plain = rotary_decoder(config, bias, style=RotaryStyle.INTERLEAVED)
    return layer_normed(plain, config, "use_qk_norm", own_gains=True)


def stack(config: Config, attentions: Attentions) -> Stack:
    """Both blocks hear the same, by one layer norm without a shift."""
    own = layer_norm(config, "layer_norm_eps", shift=False)
    return stacked(config, parallel(own, gated(config)), attentions, norm=own)


def read_out(config: Config) -> Readout:
    """Logits times a number."""
    return logits(config, scale=config.number("logit_scale"))


MODEL = replace(
    llama.like(
        "Cohere",
        stack,
        read_out,
        eps=None,
        intermediate_size=22528,
        logit_scale=0.0625,
        tie_word_embeddings=True,
    ),
    tensors={
        **llama.TENSORS,
        "layer.pre_parallel_norm": llama.TENSORS["layer.pre_attention_norm"],
    },
)


FAMILY = replace(
    llama.FAMILY,
    name="Cohere",
    model_types=("cohere",),
    keys=KEYS,
    describe=describe,
    others=GAINS,
    in_a_row=False,
    model=MODEL,
)
