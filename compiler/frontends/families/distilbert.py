"""DistilBERT: four linear maps with biases, an encoder."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families.options import EVERY_BIAS, bidirectional
from cortico.frontends.families.stacks import activation, logits, plain, post_norm, stacked
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.model import (
    STATES,
    Attentions,
    Head,
    Model,
    embedding,
    feed_forward,
    heads,
    linear,
    norm,
)
from cortico.spec import AttentionSpec, Dense, Norm, Readout, Stack

KEYS = Keys(
    read={"dim": 768, "n_layers": 6, "n_heads": 12},
    harmless=words(
        "max_position_embeddings sinusoidal_pos_embds hidden_dim dropout attention_dropout activation "
        "qa_dropout seq_classif_dropout tie_weights_"
    ),
    fixed={"is_causal": False},
    same={"hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"},
)


def describe(config: Config, layer: int) -> Attention:
    """Self-attention up to and with `out_lin`."""
    config.divided("dim", by="n_heads")
    spec = AttentionSpec(
        model=config.size("dim"), heads=config.size("n_heads"), bias=EVERY_BIAS, **bidirectional()
    )
    return spec, {}


#: Whatever config.json says.
EPS = 1e-12


def stack(config: Config, attentions: Attentions) -> Stack:
    """BERT's without types."""
    own = Norm(config.size("dim"), eps=EPS, shift=True)
    layer = post_norm(own, plain(config, config.size("hidden_dim"), "activation", "dim"))
    positions = config.size("max_position_embeddings")
    return stacked(config, layer, attentions, embedding_norm=own, positions=positions)


def masked(config: Config) -> Readout:
    """Logits after a hidden layer and a norm."""
    size = config.size("dim")
    dense = Dense(size, size, activation(config, "activation"), bias=True)
    own = Norm(size, eps=EPS, shift=True)
    return replace(logits(config, "dim", bias=True), dense=dense, norm=own)


LAYER = "transformer.layer.{layer}."
TENSORS = {
    "embedding": embedding(
        "embeddings.word_embeddings", positions="embeddings.position_embeddings"
    ),
    "embedding_norm": norm("embeddings.LayerNorm", old=True),
    "layer.attention_norm": norm(f"{LAYER}sa_layer_norm"),
    "layer.feed_forward": feed_forward(f"{LAYER}ffn.lin1", f"{LAYER}ffn.lin2"),
    "layer.feed_forward_norm": norm(f"{LAYER}output_layer_norm"),
}
MASKED = Head(
    masked,
    tensors={
        "readout_dense": linear("vocab_transform"),
        "readout_norm": norm("vocab_layer_norm"),
        "readout": linear("vocab_projector"),
    },
)
MODEL = Model(
    stack=stack,
    tensors=TENSORS,
    heads=heads("DistilBert", Model=STATES, ForMaskedLM=MASKED),
    read={
        "max_position_embeddings": 512,
        "hidden_dim": 3072,
        "activation": "gelu",
        "tie_word_embeddings": True,
    },
    ignored=("embeddings.position_ids",),
)

FAMILY = Family(
    name="DistilBERT",
    model_types=("distilbert",),
    keys=KEYS,
    describe=describe,
    maps=Separate("q_lin", "k_lin", "v_lin", "out_lin"),
    place="transformer.layer.{layer}.attention.",
    prefixes=("", "distilbert."),
    layers="n_layers",
    model=MODEL,
)
