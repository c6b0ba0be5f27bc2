"""ALBERT: the attention of BERT, whose weights several layers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import bert, electra
from cortico.frontends.families.options import encoder
from cortico.frontends.families.stacks import activation, layer_norm, logits
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.model import Attentions, Head, feed_forward, heads, linear, norm
from cortico.spec import Dense, Readout, Stack

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


def stack(config: Config, attentions: Attentions) -> Stack:
    """ELECTRA's, whose map from the tables to the layers is there even where both are as wide."""
    dense = Dense(config.size(electra.NARROW), config.size("hidden_size"), bias=True)
    return replace(electra.stack(config, attentions), embedding_dense=dense)


def masked(config: Config) -> Readout:
    """Logits of tokens."""
    narrow = config.size(electra.NARROW)
    dense = Dense(config.size("hidden_size"), narrow, activation(config, "hidden_act"), bias=True)
    read = logits(config, electra.NARROW, bias=True)
    return replace(read, dense=dense, norm=layer_norm(config, bert.EPS, electra.NARROW))


LAYER = "encoder.albert_layer_groups.{group}.albert_layers.0."
#: Ignored: what logits of tokens do not hear, pooler and head of the order of sentences, and a second name of a bias.
MASKED = Head(
    masked,
    tensors={
        "readout_dense": linear("predictions.dense"),
        "readout_norm": norm("predictions.LayerNorm"),
        "readout": linear("predictions.decoder", biases=("predictions.bias",)),
    },
    ignored=("pooler.", "sop_classifier.", "predictions.bias"),
)
MODEL = replace(
    bert.MODEL,
    stack=stack,
    tensors={
        **bert.TENSORS,
        "embedding_dense": linear("encoder.embedding_hidden_mapping_in"),
        "layer.attention_norm": norm(f"{LAYER}attention.LayerNorm"),
        "layer.feed_forward": feed_forward(f"{LAYER}ffn", f"{LAYER}ffn_output"),
        "layer.feed_forward_norm": norm(f"{LAYER}full_layer_layer_norm"),
        "pooler": linear("pooler"),
    },
    heads=heads("Albert", Model=bert.POOLED, ForMaskedLM=MASKED, ForPreTraining=MASKED),
    read={
        **bert.MODEL.read,
        electra.NARROW: 128,
        "intermediate_size": 16384,
        "hidden_act": "gelu_new",
    },
    fixed={},
)


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
    model=MODEL,
)
