"""MPNet: an encoder with biases, and a position bias by distance for all layers."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.distances import Distances
from cortico.frontends.families import bert, roberta
from cortico.frontends.families.options import encoder
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.model import Attentions, heads, norm
from cortico.spec import Stack

#: The library has 32 buckets up to 128 tokens, whatever config.json says.
BUCKETS, FARTHEST = 32, 128

KEYS = Keys(
    read={"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    harmless=words(
        "intermediate_size hidden_act hidden_dropout_prob attention_probs_dropout_prob "
        "layer_norm_eps max_position_embeddings type_vocab_size add_cross_attention is_decoder"
    ),
    fixed={"is_causal": False, "relative_attention_num_buckets": BUCKETS},
)


def describe(config: Config, layer: int) -> Attention:
    """Self-attention with `o`. The bias by distance is not of this spec yet: it needs a number of tokens."""
    return encoder(config)


def distances(config: Config) -> Distances:
    """The one table of the encoder."""
    return Distances("encoder.relative_attention_bias.weight", BUCKETS, FARTHEST, both=True)


#: Rows of the table of positions up to that of the padding, whatever config.json says.
ROWS_BEFORE = 2


def stack(config: Config, attentions: Attentions) -> Stack:
    """BERT's without types."""
    rows = config.size(bert.POSITIONS)
    if rows <= ROWS_BEFORE:
        raise config.wrong(bert.POSITIONS, f"more than {ROWS_BEFORE}")
    kept = config.changed(**{bert.POSITIONS: rows - ROWS_BEFORE, "type_vocab_size": 1})
    whole = bert.stack(kept, attentions)
    assert whole.embedding is not None
    return replace(whole, embedding=replace(whole.embedding, types=None))


MODEL = replace(
    bert.MODEL,
    stack=stack,
    tensors={
        **bert.TENSORS,
        "embedding": roberta.skipping(bert.TENSORS["embedding"], ROWS_BEFORE),
        "layer.attention_norm": norm("encoder.layer.{layer}.attention.LayerNorm"),
    },
    heads=heads("MPNet", Model=bert.POOLED, ForMaskedLM=roberta.MASKED),
    read={key: value for key, value in bert.MODEL.read.items() if key != "type_vocab_size"},
    harmless=words("type_vocab_size is_decoder"),
)


FAMILY = Family(
    name="MPNet",
    model_types=("mpnet",),
    keys=KEYS,
    describe=describe,
    maps=Separate("q", "k", "v", "o"),
    place="encoder.layer.{layer}.attention.attn.",
    prefixes=("", "mpnet."),
    distances=distances,
    model=MODEL,
)
