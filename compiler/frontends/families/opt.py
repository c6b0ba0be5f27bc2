"""OPT: four linear maps with biases, causal, in a decoder that stands alone."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families.options import all_or_none, causal
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.spec import AttentionSpec

KEYS = Keys(
    read={
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "enable_bias": True,
        "is_causal": True,
    },
    harmless=words(
        "ffn_dim max_position_embeddings do_layer_norm_before _remove_final_layer_norm "
        "word_embed_proj_dim dropout attention_dropout activation_dropout activation_function "
        "layerdrop init_std layer_norm_elementwise_affine is_decoder add_cross_attention"
    ),
)


def describe(config: Config, layer: int) -> Attention:
    """All four maps have a bias, or none has."""
    config.divided("hidden_size", by="num_attention_heads")
    spec = AttentionSpec(
        model=config.size("hidden_size"),
        heads=config.size("num_attention_heads"),
        bias=all_or_none(config.flag("enable_bias")),
        **causal(config),
    )
    return spec, {}


FAMILY = Family(
    name="OPT",
    model_types=("opt",),
    keys=KEYS,
    describe=describe,
    maps=Separate("q_proj", "k_proj", "v_proj", "out_proj"),
    place="layers.{layer}.self_attn.",
    prefixes=("decoder.", "model.decoder."),
)
