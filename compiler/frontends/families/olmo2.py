"""OLMo 2: Llama whose queries and keys are normed over the width of all heads."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama, olmo
from cortico.frontends.families.options import GAINS, all_or_none, normed, rotary_decoder
from cortico.frontends.families.stacks import gated, norm_after, rms, stacked
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys
from cortico.frontends.model import Attentions, norm
from cortico.spec import NormOver, Stack

KEYS = Keys(
    read={**olmo.KEYS.read, "rms_norm_eps": 1e-5},
    harmless=olmo.KEYS.harmless,
    fixed=olmo.KEYS.fixed,
)


def describe(config: Config, layer: int) -> Attention:
    """All four maps have a bias, or none has."""
    bias = all_or_none(config.flag("attention_bias"))
    return normed(rotary_decoder(config, bias), config, NormOver.WIDTH)


def stack(config: Config, attentions: Attentions) -> Stack:
    """What each block gives is normed before it is added."""
    own = rms(config)
    return stacked(config, norm_after(own, gated(config)), attentions, norm=own)


MODEL = replace(
    llama.like("Olmo2", stack, eps=1e-5),
    tensors={
        **llama.TENSORS,
        "layer.post_attention_norm": norm("layers.{layer}.post_attention_layernorm"),
        "layer.post_feed_forward_norm": norm("layers.{layer}.post_feedforward_layernorm"),
    },
)


FAMILY = replace(
    llama.FAMILY,
    name="OLMo 2",
    model_types=("olmo2",),
    keys=KEYS,
    describe=describe,
    ignored=(),
    others=GAINS,
    model=MODEL,
)
