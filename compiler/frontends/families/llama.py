"""Llama: grouped queries and rotary embedding, causal."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families.options import all_or_none, rotary_decoder
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.rope import ROPE_KEYS

#: Keys of the feed-forward block, the norms and dropout, under Llama's names.
HARMLESS = words(
    "intermediate_size hidden_act rms_norm_eps attention_dropout is_decoder add_cross_attention"
)
#: The library reads none of these in such models, other programs do.
FIXED = {"partial_rotary_factor": 1.0, "rope_interleaved": False}

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
    harmless=HARMLESS | words("mlp_bias pretraining_tp is_llama_config"),
    fixed=FIXED | {"sliding_window": None, "layer_types": None},
)


def describe(config: Config, layer: int) -> Attention:
    """All four maps have a bias, or none has."""
    return rotary_decoder(config, all_or_none(config.flag("attention_bias")))


FAMILY = Family(
    name="Llama",
    model_types=("llama",),
    keys=KEYS,
    describe=describe,
    maps=Separate("q_proj", "k_proj", "v_proj", "o_proj"),
    place="layers.{layer}.self_attn.",
    prefixes=("", "model."),
    ignored=("rotary_emb.inv_freq",),  # in files of old: frequencies, which follow from config.json
)
