"""Whisper: attention as in BART without a bias of the keys; sound has no padding.

Whole models are the decoder alone, which is given the encoder's states: the encoder begins with convolutions.
"""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families import bart
from cortico.frontends.families.stacks import logits, plain, pre_norm, stacked
from cortico.frontends.keys import Keys, words
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
from cortico.spec import Bias, Norm, Readout, Stack

#: Keys of how sound is heard, and of training.
OF_SOUND = words(
    "num_mel_bins max_source_positions use_weighted_layer_sum classifier_proj_size apply_spec_augment "
    "mask_time_prob mask_time_length mask_time_min_masks mask_feature_prob mask_feature_length "
    "mask_feature_min_masks median_filter_width forced_decoder_ids"
)
KEYS = Keys(
    read={
        "d_model": 384,
        "encoder_layers": 4,
        "encoder_attention_heads": 6,
        "decoder_layers": 4,
        "decoder_attention_heads": 6,
    },
    harmless=bart.HARMLESS | OF_SOUND | {"max_target_positions"},
    fixed=bart.FIXED,
    same=bart.SAME | {"num_key_value_heads": "encoder_attention_heads"},
)


def stack(config: Config, *attentions: Attentions) -> Stack:
    """The decoder: norms before and at the end, learned positions. It does not scale tokens, whatever is said."""
    own = Norm(config.size("d_model"), shift=True)
    hidden = plain(config, config.size("decoder_ffn_dim"), "activation_function", "d_model")
    positions = config.size("max_target_positions")
    return stacked(config, pre_norm(own, hidden), *attentions, positions=positions, norm=own)


def read_out(config: Config) -> Readout:
    """Logits of the decoder's tokens."""
    return logits(config, "d_model")


DECODER = "decoder."
LAYER = f"{DECODER}layers.{{layer}}."
_GENERATION = Head(read_out, tensors={"readout": linear("proj_out")})
MODEL = Model(
    stack=stack,
    parts=("decoder", "cross"),
    tensors={
        "embedding": embedding(f"{DECODER}embed_tokens", positions=f"{DECODER}embed_positions"),
        "layer.pre_attention_norm": norm(f"{LAYER}self_attn_layer_norm"),
        "layer.pre_cross_attention_norm": norm(f"{LAYER}encoder_attn_layer_norm"),
        "layer.pre_feed_forward_norm": norm(f"{LAYER}final_layer_norm"),
        "layer.feed_forward": feed_forward(f"{LAYER}fc1", f"{LAYER}fc2"),
        "norm": norm(f"{DECODER}layer_norm"),
    },
    heads=heads(
        "Whisper", Model=STATES, ForConditionalGeneration=_GENERATION, ForCausalLM=_GENERATION
    ),
    read={
        "max_target_positions": 448,
        "decoder_ffn_dim": 1536,
        "activation_function": "gelu",
        "tie_word_embeddings": True,
    },
    harmless=OF_SOUND | words("encoder_ffn_dim scale_embedding is_decoder"),
    fixed={"add_cross_attention": False},
    ignored=("encoder.*",),
)

FAMILIES = tuple(
    bart.family(
        "Whisper",
        "whisper",
        part,
        KEYS,
        Bias(query=True, value=True, output=True),
        padded=False,
        model=MODEL,
    )
    for part in bart.PARTS
)
