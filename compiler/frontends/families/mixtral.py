"""Mixtral: the attention of Mistral before a mixture of experts; no window unless it is said."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import rotary_decoder
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import EXPERTS
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Bias

KEYS = Keys(
    read={
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": None,
        "sliding_window": None,
        "max_position_embeddings": 131072,
        "is_causal": True,
        **ROPE_KEYS,
        "rope_theta": 1000000.0,
    },
    harmless=llama.HARMLESS
    | words(
        "num_experts_per_tok num_local_experts output_router_logits "
        "router_aux_loss_coef router_jitter_noise"
    ),
    fixed=llama.FIXED | {"layer_types": None},
    same={"num_experts": "num_local_experts"},
)


def describe(config: Config, layer: int) -> Attention:
    """One window for all layers, or none."""
    return rotary_decoder(config, Bias(), config.optional_size("sliding_window"))


MODEL = EXPERTS.format("Mixtral")

FAMILY = replace(
    llama.FAMILY,
    name="Mixtral",
    model_types=("mixtral",),
    keys=KEYS,
    describe=describe,
    model=MODEL,
)
