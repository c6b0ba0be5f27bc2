"""Qwen2: Llama with biases of queries, keys and values, and a window in late layers if it is turned on."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import rotary_decoder, window_of
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Bias

KEYS = Keys(
    read={
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "head_dim": None,
        "use_sliding_window": False,
        "sliding_window": 4096,
        "max_window_layers": 28,
        "layer_types": None,
        "max_position_embeddings": 32768,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=llama.HARMLESS,
    fixed=llama.FIXED | {"use_mrope": False},
)


def late_window(config: Config, layer: int) -> int | None:
    """Layers from `max_window_layers` on slide, where `layer_types` does not say it of each."""
    if not config.flag("use_sliding_window"):
        config = config.changed(sliding_window=None)
    return window_of(config, layer, slides=layer >= config.count("max_window_layers"))


def describe(config: Config, layer: int) -> Attention:
    """Three of the maps have a bias."""
    bias = Bias(query=True, key=True, value=True)
    return rotary_decoder(config, bias, late_window(config, layer))


FAMILY = replace(
    llama.FAMILY,
    name="Qwen2",
    model_types=("qwen2",),
    keys=KEYS,
    describe=describe,
    model=llama.like("Qwen2", intermediate_size=22016),
)
