"""BART: an encoder, and a decoder that attends to itself and to the encoder's states."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from cortico.frontends.config import Config
from cortico.frontends.families.options import EVERY_BIAS
from cortico.frontends.families.stacks import logits, plain, post_norm, pre_norm, stacked
from cortico.frontends.family import Attention, Describe, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.model import (
    STATES,
    Attentions,
    Head,
    Model,
    Names,
    Stored,
    feed_forward,
    heads,
    linear,
    norm,
)
from cortico.spec import AttentionSpec, Bias, Mask, Norm, Readout, Stack

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


def stack_of(side: str, normed: bool = True, before: bool = False) -> Callable[..., Stack]:
    """The encoder, or the decoder: sums are normed, and in BART tokens, too (`normed`).

    `before`: what blocks hear is normed in place of sums, and what the last layer gives.
    """

    def stack(config: Config, *attentions: Attentions) -> Stack:
        own = Norm(config.size("d_model"), shift=True)
        hidden = config.size(f"{side}_ffn_dim")
        arrange = pre_norm if before else post_norm
        scale = math.sqrt(own.model) if config.flag("scale_embedding") else 1.0
        return stacked(
            config,
            arrange(own, plain(config, hidden, "activation_function", "d_model")),
            *attentions,
            scale=scale,
            positions=config.size("max_position_embeddings"),
            embedding_norm=own if normed else None,
            norm=own if before else None,
        )

    return stack


def read_out(config: Config) -> Readout:
    """Logits with a bias that is no part of training."""
    return logits(config, "d_model", bias=True)


def tensors(side: str, positions: Stored, shared: bool = True) -> dict[str, Names]:
    """Where the encoder or the decoder has the tensors of its blocks; the table of tokens may be of both."""
    tokens = (f"{side}.embed_tokens.weight", *(["shared.weight"] if shared else []))
    layer = f"{side}.layers.{{layer}}."
    norms = {
        "attention": norm(f"{layer}self_attn_layer_norm"),
        "cross_attention": norm(f"{layer}encoder_attn_layer_norm"),
        "feed_forward": norm(f"{layer}final_layer_norm"),
    }
    return {
        f"{side}.embedding": {
            "W_token": Stored(tokens),
            "W_position": positions,
        },
        f"{side}.embedding_norm": norm(f"{side}.layernorm_embedding"),
        f"{side}.layer.feed_forward": feed_forward(f"{layer}fc1", f"{layer}fc2"),
        f"{side}.norm": norm(f"{side}.layer_norm"),
        **{f"{side}.layer.{block}_norm": own for block, own in norms.items()},
        **{f"{side}.layer.pre_{block}_norm": own for block, own in norms.items()},
    }


SIDES = ("encoder", "decoder")
#: Rows of a table of positions before the first.
ROWS_BEFORE = 2
READ = {
    "max_position_embeddings": 1024,
    "encoder_ffn_dim": 4096,
    "decoder_ffn_dim": 4096,
    "activation_function": "gelu",
    "scale_embedding": False,
    "tie_word_embeddings": True,
}
GENERATION = Head(
    read_out,
    tensors={
        "readout": {**linear("lm_head"), "b": Stored(("final_logits_bias",), row=True)},
    },
)
MODEL = Model(
    stack=stack_of("decoder"),
    encoder=stack_of("encoder"),
    parts=("decoder", "cross"),
    tensors={
        block: names
        for side in SIDES
        for block, names in tensors(
            side, Stored((f"{side}.embed_positions.weight",), skipped=ROWS_BEFORE)
        ).items()
    },
    heads=heads("Bart", Model=STATES, ForConditionalGeneration=GENERATION),
    read=READ,
    # what fairseq says of norms and positions, the library does not read
    harmless=OF_FAIRSEQ | words("is_decoder"),
    fixed={"add_cross_attention": False},
)


def family(
    name: str,
    kind: str,
    part: str,
    keys: Keys,
    bias: Bias = EVERY_BIAS,
    padded: bool = True,
    model: Model | str | None = None,
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
        model=model,
    )


FAMILIES = tuple(family("BART", "bart", part, KEYS, model=MODEL) for part in PARTS)
