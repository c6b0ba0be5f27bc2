"""Whisper: attention as in BART without a bias of the keys; sound has no padding."""

from __future__ import annotations

from cortico.frontends.families import bart
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import SOUND
from cortico.spec import Bias

KEYS = Keys(
    read={
        "d_model": 384,
        "encoder_layers": 4,
        "encoder_attention_heads": 6,
        "decoder_layers": 4,
        "decoder_attention_heads": 6,
    },
    harmless=bart.HARMLESS
    | words(
        "num_mel_bins max_source_positions max_target_positions use_weighted_layer_sum "
        "classifier_proj_size apply_spec_augment mask_time_prob mask_time_length "
        "mask_time_min_masks mask_feature_prob mask_feature_length mask_feature_min_masks "
        "median_filter_width forced_decoder_ids"
    ),
    fixed=bart.FIXED,
    same=bart.SAME | {"num_key_value_heads": "encoder_attention_heads"},
)

FAMILIES = tuple(
    bart.family(
        "Whisper",
        "whisper",
        part,
        KEYS,
        Bias(query=True, value=True, output=True),
        padded=False,
        model=SOUND.format("Whisper"),
    )
    for part in bart.PARTS
)
