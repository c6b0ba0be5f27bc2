"""BERT: four linear maps with biases, for an encoder or a decoder; each sum is normed."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families.options import EVERY_BIAS, causal_if_decoder
from cortico.frontends.families.stacks import (
    activation,
    layer_norm,
    logits,
    plain,
    post_norm,
    stacked,
)
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.model import (
    Attentions,
    Head,
    Model,
    embedding,
    feed_forward,
    heads,
    linear,
    norm,
)
from cortico.spec import AttentionSpec, Dense, Pool, Pooling, Readout, Sentence, Stack

#: Keys of embeddings, feed-forward block, norms, dropout and pooling, under BERT's names.
HARMLESS = words(
    "intermediate_size hidden_act hidden_dropout_prob attention_probs_dropout_prob layer_norm_eps "
    "max_position_embeddings type_vocab_size add_cross_attention directionality pooler_fc_size "
    "pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type"
)

KEYS = Keys(
    read={
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "is_decoder": False,
        "is_causal": None,
    },
    harmless=HARMLESS,
)

MAPS = Separate("self.query", "self.key", "self.value", "output.dense")
PLACE = "encoder.layer.{layer}.attention."
IGNORED = ("output.LayerNorm.",)


def describe(config: Config, layer: int) -> Attention:
    """Self-attention up to and with `output.dense`: no residual, no normalisation."""
    config.divided("hidden_size", by="num_attention_heads")
    spec = AttentionSpec(
        model=config.size("hidden_size"),
        heads=config.size("num_attention_heads"),
        bias=EVERY_BIAS,
        **causal_if_decoder(config),
    )
    return spec, {}


EPS = "layer_norm_eps"


def stack(config: Config, attentions: Attentions) -> Stack:
    """Tokens, types and positions, normed, and layers whose sums are normed."""
    own, size = layer_norm(config, EPS), config.size("intermediate_size")
    layer = post_norm(own, plain(config, size, "hidden_act", "hidden_size"))
    tables = {"types": config.size("type_vocab_size"), "positions": config.size(POSITIONS)}
    return stacked(config, layer, attentions, embedding_norm=own, **tables)


def pooler(config: Config) -> Sentence:
    """A hidden layer that hears the first token."""
    size = config.size("hidden_size")
    dense = Dense(size, size, "tanh", bias=True, pooled=True)
    return Sentence(Pooling(size, Pool.FIRST), dense)


def masked(config: Config, act: str | None = None) -> Readout:
    """Logits after a hidden layer and a norm."""
    size = config.size("hidden_size")
    dense = Dense(size, size, act or activation(config, "hidden_act"), bias=True)
    return replace(logits(config, bias=True), dense=dense, norm=layer_norm(config, EPS))


POSITIONS = "max_position_embeddings"
LAYER = "encoder.layer.{layer}."
TENSORS = {
    "embedding": embedding(
        "embeddings.word_embeddings",
        "embeddings.token_type_embeddings",
        "embeddings.position_embeddings",
    ),
    "embedding_norm": norm("embeddings.LayerNorm", old=True),
    "layer.attention_norm": norm(f"{LAYER}attention.output.LayerNorm", old=True),
    "layer.feed_forward": feed_forward(f"{LAYER}intermediate.dense", f"{LAYER}output.dense"),
    "layer.feed_forward_norm": norm(f"{LAYER}output.LayerNorm", old=True),
    "pooler": linear("pooler.dense"),
}
BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
#: Ignored: what logits of tokens do not hear, pooler and head of the next sentence, and a second name of a bias.
MASKED = Head(
    masked,
    tensors={
        "readout_dense": linear("cls.predictions.transform.dense"),
        "readout_norm": norm("cls.predictions.transform.LayerNorm", old=True),
        "readout": linear("cls.predictions.decoder", biases=("cls.predictions.bias",)),
    },
    ignored=("pooler.", "cls.seq_relationship.", "cls.predictions.bias"),
)
POOLED = Head(sentence=pooler)

MODEL = Model(
    stack=stack,
    tensors=TENSORS,
    heads=heads(
        "Bert", Model=POOLED, ForMaskedLM=MASKED, LMHeadModel=MASKED, ForPreTraining=MASKED
    ),
    read={
        "type_vocab_size": 2,
        POSITIONS: 512,
        "intermediate_size": 3072,
        "hidden_act": "gelu",
        EPS: 1e-12,
        "tie_word_embeddings": True,
    },
    fixed={"add_cross_attention": False},
    ignored=BUFFERS,
)

FAMILY = Family(
    name="BERT",
    model_types=("bert",),
    keys=KEYS,
    describe=describe,
    maps=MAPS,
    place=PLACE,
    prefixes=("", "bert.", "roberta."),
    ignored=IGNORED,
    model=MODEL,
)
