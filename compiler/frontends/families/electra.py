"""ELECTRA: BERT, whose tables may be narrower than its layers."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import bert
from cortico.frontends.families.stacks import activation, layer_norm, logits
from cortico.frontends.family import Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import STATES, Attentions, Head, heads, linear, norm
from cortico.spec import Dense, Readout, Stack

KEYS = Keys(
    read={**bert.KEYS.read, "hidden_size": 256, "num_attention_heads": 4},
    harmless=bert.HARMLESS
    | words("embedding_size summary_type summary_use_proj summary_activation summary_last_dropout"),
)

NARROW = "embedding_size"


def stack(config: Config, attentions: Attentions) -> Stack:
    """BERT's, with a map from the tables to the layers where these are wider."""
    whole, narrow, size = (
        bert.stack(config, attentions),
        config.size(NARROW),
        config.size("hidden_size"),
    )
    assert whole.embedding is not None
    return replace(
        whole,
        embedding=replace(whole.embedding, model=narrow),
        embedding_norm=layer_norm(config, bert.EPS, NARROW),
        embedding_dense=None if narrow == size else Dense(narrow, size, bias=True),
    )


def generator(config: Config) -> Readout:
    """Logits of tokens. The activation is gelu, whatever hidden_act says."""
    dense = Dense(config.size("hidden_size"), config.size(NARROW), "gelu", bias=True)
    read = logits(config, NARROW, bias=True)
    return replace(read, dense=dense, norm=layer_norm(config, bert.EPS, NARROW))


def discriminator(config: Config) -> Readout:
    """One logit for each token: whether it was replaced."""
    size = config.size("hidden_size")
    hidden = Dense(size, size, activation(config, "hidden_act"), bias=True)
    return Readout(Dense(size, 1, bias=True), hidden)


GENERATOR = Head(
    generator,
    tensors={
        "readout_dense": linear("generator_predictions.dense"),
        "readout_norm": norm("generator_predictions.LayerNorm", old=True),
        "readout": linear("generator_lm_head"),
    },
)
DISCRIMINATOR = Head(
    discriminator,
    tensors={
        "readout_dense": linear("discriminator_predictions.dense"),
        "readout": linear("discriminator_predictions.dense_prediction"),
    },
)
MODEL = replace(
    bert.MODEL,
    stack=stack,
    tensors={**bert.TENSORS, "embedding_dense": linear("embeddings_project")},
    heads=heads("Electra", Model=STATES, ForMaskedLM=GENERATOR, ForPreTraining=DISCRIMINATOR),
    read={**bert.MODEL.read, NARROW: 128, "intermediate_size": 1024},
)

FAMILY = Family(
    name="ELECTRA",
    model_types=("electra",),
    keys=KEYS,
    describe=bert.describe,
    maps=bert.MAPS,
    place=bert.PLACE,
    prefixes=("", "electra."),
    ignored=bert.IGNORED,
    model=MODEL,
)
