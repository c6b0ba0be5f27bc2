"""ViT and DeiT: encoders of patches of an image, which are never padded."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families.options import encoder
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.model import PATCHES
from cortico.spec import Bias

MAPS = Separate("attention.query", "attention.key", "attention.value", "output.dense")
PLACE = "encoder.layer.{layer}.attention."
#: What transformers calls the maps once they are loaded.
LIVE_MAPS = Separate("q_proj", "k_proj", "v_proj", "o_proj")

#: Keys of patches, feed-forward block, norms and dropout, under ViT's names.
HARMLESS = words(
    "hidden_act hidden_dropout_prob attention_probs_dropout_prob layer_norm_eps image_size "
    "patch_size num_channels"
)
READ = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "qkv_bias": True}

KEYS = Keys(
    read=READ,
    harmless=HARMLESS | words("intermediate_size encoder_stride pooler_output_size pooler_act"),
    fixed={"is_causal": False},
)


def describe(config: Config, layer: int) -> Attention:
    """Self-attention up to and with `output.dense`."""
    biased = config.flag("qkv_bias")
    bias = Bias(query=biased, key=biased, value=biased, output=True)
    return encoder(config, bias, padded=False)


FAMILY = Family(
    name="ViT",
    model_types=("vit", "deit"),
    keys=KEYS,
    describe=describe,
    maps=MAPS,
    place=PLACE,
    prefixes=("", "vit.", "deit."),
    renamed=("layers.{layer}.attention.", LIVE_MAPS),
    model=PATCHES.format("ViT"),
)
