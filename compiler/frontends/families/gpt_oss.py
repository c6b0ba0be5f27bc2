"""GPT-OSS: grouped queries with biases and a sink for each head; every second layer has a window."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import all_or_none, rotary_decoder, window_of
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import EXPERTS
from cortico.frontends.rope import ROPE_KEYS

KEYS = Keys(
    read={
        "hidden_size": 2880,
        "num_hidden_layers": 36,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "attention_bias": True,
        "sliding_window": 128,
        "layer_types": None,
        "max_position_embeddings": 131072,
        "is_causal": True,
        **ROPE_KEYS,
        "rope_theta": 150000.0,
    },
    harmless=llama.HARMLESS
    | words(
        "num_local_experts num_experts_per_tok experts_per_token swiglu_alpha swiglu_limit "
        "router_aux_loss_coef output_router_logits initial_context_length"
    ),
    fixed=llama.FIXED,
    same={"num_experts": "num_local_experts"},
)

#: The rope of a file that says nothing of it.
_ROPE = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}


def describe(config: Config, layer: int) -> Attention:
    """A window in layers 0, 2, …, where `layer_types` does not say it of each."""
    if config.values["rope_parameters"] is None:
        config = config.changed(rope_parameters=_ROPE)
    window = window_of(config, layer, slides=layer % 2 == 0)
    bias = all_or_none(config.flag("attention_bias"))
    spec, frequencies = rotary_decoder(config, bias, window)
    return replace(spec, sink=True), frequencies


MODEL = EXPERTS.format("GPT-OSS")

FAMILY = replace(
    llama.FAMILY,
    name="GPT-OSS",
    model_types=("gpt_oss",),
    keys=KEYS,
    describe=describe,
    ignored=(),
    others={"sink": "sinks"},
    model=MODEL,
)
