"""MPNet: an encoder with biases, and a position bias by distance for all layers."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.distances import Distances
from cortico.frontends.families.options import encoder
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate

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


FAMILY = Family(
    name="MPNet",
    model_types=("mpnet",),
    keys=KEYS,
    describe=describe,
    maps=Separate("q", "k", "v", "o"),
    place="encoder.layer.{layer}.attention.attn.",
    prefixes=("", "mpnet."),
    distances=distances,
)
