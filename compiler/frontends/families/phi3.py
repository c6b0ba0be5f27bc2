"""Phi-3: Llama without biases, its queries, keys and values one matrix; a part of a head may turn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import rotary_decoder
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Fused
from cortico.frontends.model import feed_forward
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Bias

KEYS = Keys(
    read={
        "hidden_size": 3072,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,
        "sliding_window": None,
        "partial_rotary_factor": 1.0,
        "max_position_embeddings": 4096,
        "is_causal": True,
        **ROPE_KEYS,
        "original_max_position_embeddings": 4096,
    },
    harmless=llama.HARMLESS | words("resid_pdrop embd_pdrop"),
    fixed={"attention_bias": False, "layer_types": None},
)


def describe(config: Config, layer: int) -> Attention:
    """One window for all layers, or none."""
    window = config.optional_size("sliding_window")
    tables = {key: _renamed(config, key) for key in ("rope_parameters", "rope_scaling")}
    kinds = ("default", "longrope")
    return rotary_decoder(config.changed(**tables), Bias(), window, partial=True, kinds=kinds)


def _renamed(config: Config, key: str) -> dict[str, Any] | None:
    """The table with the type of old files called longrope, as it is today."""
    table = config.table(key)
    if table is None:
        return None
    old = next((name for name in ("rope_type", "type") if name in table.values), "rope_type")
    renames = table.values.get(old) in ("su", "yarn")
    return {**table.values, **({old: "longrope"} if renames else {})}


UP = f"{llama.MLP}gate_up_proj"
MODEL = replace(
    llama.like("Phi3", intermediate_size=8192, eps=1e-5),
    tensors={
        **llama.TENSORS,
        "layer.feed_forward": feed_forward(UP, f"{llama.MLP}down_proj", gate=UP),
    },
)


FAMILY = replace(
    llama.FAMILY,
    name="Phi-3",
    model_types=("phi3",),
    keys=KEYS,
    describe=describe,
    maps=Fused("qkv_proj", "o_proj"),
    model=MODEL,
)
