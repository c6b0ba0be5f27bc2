"""Qwen3: Qwen2 whose queries and keys are normed head by head; all four maps have a bias, or none has."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama, qwen2
from cortico.frontends.families.options import GAINS, all_or_none, normed, rotary_decoder
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys

KEYS = Keys(
    read={**qwen2.KEYS.read, "head_dim": 128, "attention_bias": False, "rms_norm_eps": 1e-6},
    harmless=llama.HARMLESS - {"rms_norm_eps"},
    fixed=llama.FIXED,
)


def describe(config: Config, layer: int) -> Attention:
    """Windows as in Qwen2."""
    bias = all_or_none(config.flag("attention_bias"))
    return normed(rotary_decoder(config, bias, qwen2.late_window(config, layer)), config)


FAMILY = replace(
    llama.FAMILY,
    name="Qwen3",
    model_types=("qwen3",),
    keys=KEYS,
    describe=describe,
    ignored=(),
    others=GAINS,
    model=llama.like("Qwen3", intermediate_size=22016),
)
