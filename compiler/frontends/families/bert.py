"""BERT, RoBERTa, XLM-RoBERTa and CamemBERT: four linear maps with biases, for an encoder or a decoder."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families.options import EVERY_BIAS, causal_if_decoder
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.spec import AttentionSpec

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


FAMILY = Family(
    name="BERT",
    model_types=("bert", "roberta", "xlm-roberta", "camembert"),
    keys=KEYS,
    describe=describe,
    maps=MAPS,
    place=PLACE,
    prefixes=("", "bert.", "roberta."),
    ignored=IGNORED,
)
