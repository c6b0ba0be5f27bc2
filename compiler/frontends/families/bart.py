"""BART: an encoder, and a decoder that attends to itself and to the encoder's states."""

from __future__ import annotations

from typing import Any

from cortico.frontends.config import Config
from cortico.frontends.families.options import EVERY_BIAS
from cortico.frontends.family import Attention, Describe, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.spec import AttentionSpec, Bias, Mask

#: Of each part: how a query sees the source tokens, where its tensors are, and whose layers they are.
PARTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "encoder": ({}, "encoder.layers.{layer}.self_attn.", "encoder"),
    "decoder": ({"mask": Mask.CAUSAL}, "decoder.layers.{layer}.self_attn.", "decoder"),
    "cross": ({"cross": True}, "decoder.layers.{layer}.encoder_attn.", "decoder"),
}

#: Keys of embeddings, feed-forward blocks, norms, dropout and training, in the words of BART.
HARMLESS = words(
    "encoder_ffn_dim decoder_ffn_dim encoder_layerdrop decoder_layerdrop activation_function dropout "
    "attention_dropout activation_dropout init_std scale_embedding is_decoder add_cross_attention"
)
#: What only the first library read that these models were made for.
OF_FAIRSEQ = words(
    "add_bias_logits add_final_layer_norm classif_dropout normalize_before normalize_embedding save_step "
    "static_position_embeddings extra_pos_embeddings force_bos_token_to_be_generated"
)
#: With `is_causal: false` the decoder is causal in some of transformers' kernels, and not in others.
FIXED = {"is_causal": True}
SAME = {
    "num_attention_heads": "encoder_attention_heads",
    "hidden_size": "d_model",
    "num_hidden_layers": "encoder_layers",
}

KEYS = Keys(
    read={
        "d_model": 1024,
        "encoder_layers": 12,
        "encoder_attention_heads": 16,
        "decoder_layers": 12,
        "decoder_attention_heads": 16,
    },
    harmless=HARMLESS | OF_FAIRSEQ | words("max_position_embeddings"),
    fixed=FIXED,
    same=SAME,
)


def describe(stack: str, bias: Bias, **seen: Any) -> Describe:
    """Attention with `out_proj` in a stack of layers, the encoder or the decoder."""

    def described(config: Config, layer: int) -> Attention:
        heads = f"{stack}_attention_heads"
        config.divided("d_model", by=heads)
        size = config.size("d_model")
        return AttentionSpec(model=size, heads=config.size(heads), bias=bias, **seen), {}

    return described


def family(
    name: str, kind: str, part: str, keys: Keys, bias: Bias = EVERY_BIAS, padded: bool = True
) -> Family:
    """One part of a model that is made like BART. `padded`: the encoder runs on batches of texts."""
    seen, place, stack = PARTS[part]
    padding = {"key_padding": padded and part != "decoder"}
    return Family(
        name=name,
        model_types=(kind,),
        part=part,
        keys=keys,
        describe=describe(stack, bias, **seen, **padding),
        maps=Separate("q_proj", "k_proj", "v_proj", "out_proj"),
        place=place,
        prefixes=("", "model."),
        layers=f"{stack}_layers",
    )


FAMILIES = tuple(family("BART", "bart", part, KEYS) for part in PARTS)
