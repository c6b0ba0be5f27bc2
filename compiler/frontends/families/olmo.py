"""OLMo 1: Llama. From OLMo 2 on queries and keys are normed: that is another family."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import all_or_none, rotary_decoder
from cortico.frontends.families.stacks import gated, pre_norm, stacked
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys
from cortico.frontends.model import Attentions
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Norm, Stack

KEYS = Keys(
    read={
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,
        "attention_bias": False,
        "max_position_embeddings": 2048,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=llama.HARMLESS - {"rms_norm_eps"},
    fixed=llama.FIXED | {"clip_qkv": None},
)


def describe(config: Config, layer: int) -> Attention:
    """All four maps have a bias, or none has."""
    return rotary_decoder(config, all_or_none(config.flag("attention_bias")))


def stack(config: Config, attentions: Attentions) -> Stack:
    """Llama's, with layer norms that have no weights and always the same eps."""
    own = Norm(config.size("hidden_size"), eps=1e-5, gain=False)
    return stacked(config, pre_norm(own, gated(config)), attentions, norm=own)


FAMILY = replace(
    llama.FAMILY,
    name="OLMo",
    model_types=("olmo",),
    keys=KEYS,
    describe=describe,
    model=llama.like("Olmo", stack, eps=None),
)
