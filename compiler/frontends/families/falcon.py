"""Falcon: one fused map, group by group, of one, some or as many key/value heads as heads; rotary."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families.options import all_or_none, rotary_decoder
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Fused
from cortico.frontends.rope import ROPE_KEYS

KEYS = Keys(
    read={
        "hidden_size": 4544,
        "num_hidden_layers": 32,
        "num_attention_heads": 71,
        "num_kv_heads": None,
        "new_decoder_architecture": False,
        "multi_query": True,
        "bias": False,
        "max_position_embeddings": 2048,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=words(
        "num_ln_in_parallel_attn layer_norm_epsilon hidden_dropout attention_dropout parallel_attn "
        "ffn_hidden_size activation apply_residual_connection_post_layernorm is_decoder add_cross_attention"
    ),
    # the library rounds slope · position to bfloat16
    fixed={"alibi": False, "partial_rotary_factor": 1.0},
    same={"n_embed": "hidden_size"},
)


def describe(config: Config, layer: int) -> Attention:
    """Causal self-attention with `dense`. All maps have a bias, or none has."""
    config.divided("hidden_size", by="num_attention_heads")
    one_size = {"num_key_value_heads": _groups(config), "head_dim": None}
    named = config.changed(**one_size)
    return rotary_decoder(named, all_or_none(config.flag("bias")))


def _groups(config: Config) -> int | None:
    """Key/value heads; None for as many as heads."""
    if config.flag("new_decoder_architecture"):
        return config.optional_size("num_kv_heads")
    return 1 if config.flag("multi_query") else None


FAMILY = Family(
    name="Falcon",
    model_types=("falcon",),
    keys=KEYS,
    describe=describe,
    maps=Fused("query_key_value", "dense", by_group=True),
    place="h.{layer}.self_attention.",
    prefixes=("", "transformer."),
)
