"""GPT-NeoX (Pythia): one fused map, head by head, and a part of each head turns."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import all_or_none, rotary_decoder
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Fused
from cortico.frontends.rope import ROPE_KEYS

KEYS = Keys(
    read={
        "hidden_size": 6144,
        "num_hidden_layers": 44,
        "num_attention_heads": 64,
        "attention_bias": True,
        "rotary_pct": 0.25,
        "rotary_emb_base": 10000.0,
        "max_position_embeddings": 2048,
        "is_causal": True,
        **{key: value for key, value in ROPE_KEYS.items() if key != "rope_theta"},
    },
    harmless=llama.HARMLESS - {"rms_norm_eps"}
    | words("layer_norm_eps hidden_dropout use_parallel_residual"),
    # the library reads these in other models, and in this one the names with "rotary"
    fixed={"rope_theta": None, "partial_rotary_factor": None},
)

_NAMES = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}


def describe(config: Config, layer: int) -> Attention:
    """All maps have a bias, or none has."""
    renamed = {name: config.values[own] for name, own in _NAMES.items()}
    one_size = {"num_key_value_heads": None, "head_dim": None}
    named = config.changed(**renamed, **one_size)
    return rotary_decoder(named, all_or_none(config.flag("attention_bias")), partial=True)


FAMILY = Family(
    name="GPT-NeoX",
    model_types=("gpt_neox",),
    keys=KEYS,
    describe=describe,
    maps=Fused("query_key_value", "dense", by_group=True),
    place="layers.{layer}.attention.",
    prefixes=("", "gpt_neox."),
    ignored=("bias", "masked_bias", "rotary_emb.inv_freq"),  # buffers, in old files
)
