"""Gemma: Llama with a head size of its own. From Gemma 2 on it is another family."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import all_or_none, rotary_decoder
from cortico.frontends.families.stacks import gated, pre_norm, rms, stacked
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import Attentions, Table, norm
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Stack

KEYS = Keys(
    read={
        "hidden_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "head_dim": 256,
        "attention_bias": False,
        "max_position_embeddings": 8192,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=llama.HARMLESS | words("hidden_activation"),
    fixed=llama.FIXED | {"use_bidirectional_attention": None},
)


def describe(config: Config, layer: int) -> Attention:
    """All four maps have a bias, or none has."""
    return rotary_decoder(config, all_or_none(config.flag("attention_bias")))


def act_of(config: Config, key: str, other: str) -> str:
    """`key`, which says the activation; SpecError where a key of another library says another one."""
    if config.values[other] not in (None, config.values[key]):
        raise config.wrong(other, f"that of {key}, {config.values[key]!r}")
    return key


def scale_of_tokens(config: Config) -> float:
    """√(features of the model), rounded as the library rounds it: to the type of the weights."""
    root = np.float32(math.sqrt(config.size("hidden_size")))
    kind = config.values["dtype"] or config.values["torch_dtype"] or "float32"
    if kind == "bfloat16":  # the upper half of a float32, rounded to even
        bits = int(root.view(np.uint32))
        return float(np.uint32((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).view(np.float32))
    return float(np.float16(root) if kind == "float16" else root)


def stack(config: Config, attentions: Attentions) -> Stack:
    """Llama's, of tokens that are made longer."""
    own, act = rms(config), act_of(config, "hidden_act", "hidden_activation")
    layer, scale = pre_norm(own, gated(config, act=act)), scale_of_tokens(config)
    return stacked(config, layer, attentions, norm=own, scale=scale)


#: What is read of all Gemmas beside what is read of Llama.
READ: Mapping[str, Any] = {
    "hidden_act": None,
    "hidden_activation": None,
    "dtype": None,
    "torch_dtype": None,
    "tie_word_embeddings": True,
}


def tensors(**norms: str) -> Table:
    """Llama's; of the norms, which add 1 to their gains, those with other names are given."""
    names = {
        "layer.pre_attention_norm": "layers.{layer}.input_layernorm",
        "layer.pre_feed_forward_norm": "layers.{layer}.post_attention_layernorm",
        "norm": "norm",
    } | {f"layer.{block}": f"layers.{{layer}}.{name}" for block, name in norms.items()}
    return {**llama.TENSORS, **{block: norm(name, added=1.0) for block, name in names.items()}}


MODEL = replace(
    llama.like(
        "Gemma", stack, intermediate_size=24576, **{**READ, "hidden_act": "gelu_pytorch_tanh"}
    ),
    tensors=tensors(),
)


FAMILY = replace(
    llama.FAMILY,
    name="Gemma",
    model_types=("gemma",),
    keys=KEYS,
    describe=describe,
    model=MODEL,
)
