"""ALBERT: the attention of BERT, whose weights several layers share."""

from __future__ import annotations

from collections.abc import Mapping

from cortico.frontends.config import Config
from cortico.frontends.families import bert
from cortico.frontends.families.options import encoder
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate

KEYS = Keys(
    read={
        "hidden_size": 4096,
        "num_hidden_layers": 12,
        "num_attention_heads": 64,
        "num_hidden_groups": 1,
    },
    harmless=bert.HARMLESS - {"add_cross_attention"}
    | words(
        "embedding_size classifier_dropout_prob down_scale_factor net_structure_type layers_to_keep"
    ),
    # of several attentions within a layer, which is meant?
    fixed={"is_causal": False, "inner_group_num": 1, "gap_size": 0, "num_memory_blocks": 0},
)


def describe(config: Config, layer: int) -> Attention:
    """Self-attention up to and with `dense`: no residual, no normalisation."""
    return encoder(config)


def numbers(config: Config, layer: int) -> Mapping[str, int]:
    """The group of layers that share the weights of this one."""
    return {"group": layer * config.size("num_hidden_groups") // config.size("num_hidden_layers")}


FAMILY = Family(
    name="ALBERT",
    model_types=("albert",),
    keys=KEYS,
    describe=describe,
    maps=Separate("query", "key", "value", "dense"),
    place="encoder.albert_layer_groups.{group}.albert_layers.0.attention.",
    prefixes=("", "albert."),
    ignored=("LayerNorm.",),
    numbers=numbers,
)
