"""DINOv2: the attention of ViT."""

from __future__ import annotations

from cortico.frontends.families import vit
from cortico.frontends.family import Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import PATCHES

KEYS = Keys(
    read=vit.READ,
    harmless=vit.HARMLESS
    | words(
        "mlp_ratio layerscale_value drop_path_rate use_swiglu_ffn apply_layernorm "
        "reshape_hidden_states use_mask_token _out_features _out_indices out_features out_indices "
        "stage_names"
    ),
    fixed={"is_causal": False},
)

FAMILY = Family(
    name="DINOv2",
    model_types=("dinov2",),
    keys=KEYS,
    describe=vit.describe,
    maps=vit.MAPS,
    place=vit.PLACE,
    prefixes=("", "dinov2."),
    renamed=(vit.PLACE, vit.LIVE_MAPS),
    model=PATCHES.format("DINOv2"),
)
