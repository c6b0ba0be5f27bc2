"""DistilBERT: four linear maps with biases, an encoder."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families.options import EVERY_BIAS, bidirectional
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.spec import AttentionSpec

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


FAMILY = Family(
    name="DistilBERT",
    model_types=("distilbert",),
    keys=KEYS,
    describe=describe,
    maps=Separate("q_lin", "k_lin", "v_lin", "out_lin"),
    place="transformer.layer.{layer}.attention.",
    prefixes=("", "distilbert."),
    layers="n_layers",
)
