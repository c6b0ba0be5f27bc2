"""Bloom: one fused map, head by head, and ALiBi in place of positions."""

from __future__ import annotations

import math

import numpy as np

from cortico.frontends.config import Config
from cortico.frontends.families.options import EVERY_BIAS
from cortico.frontends.families.stacks import layer_norm, logits, pre_norm, stacked
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Fused
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
from cortico.spec import AttentionSpec, FeedForward, Mask, PositionBias, Stack

KEYS = Keys(
    read={"hidden_size": 64, "n_layer": 2, "n_head": 8},
    harmless=words(
        "layer_norm_epsilon apply_residual_connection_post_layernorm hidden_dropout "
        "attention_dropout pretraining_tp n_inner seq_length "
        "attention_softmax_in_fp32 masked_softmax_fusion bias_dropout_fusion skip_bias_add "
        "skip_bias_add_qkv is_decoder add_cross_attention"
    ),
    # with slow_but_exact and pretraining_tp above 1, the library leaves out the bias of `dense`
    fixed={"is_causal": True, "offset_alibi": 100, "slow_but_exact": False},
    same={
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "n_embed": "hidden_size",
    },
)


def describe(config: Config, layer: int) -> Attention:
    """Causal self-attention with `dense`: the bias of a score is the head's slope · (j - i)."""
    config.divided("hidden_size", by="n_head")
    heads = config.size("n_head")
    spec = AttentionSpec(
        model=config.size("hidden_size"),
        heads=heads,
        mask=Mask.CAUSAL,
        bias=EVERY_BIAS,
        position_bias=PositionBias.ALIBI,
    )
    return spec, {"alibi_slopes": alibi_slopes(heads)}


def alibi_slopes(heads: int) -> np.ndarray:
    """The slopes of ALiBi (Press et al., arXiv 2108.12409), shape (heads).

    A geometric sequence from 2^(-8/n) on for n heads, a power of two. Other numbers of heads go on with
    every second slope of twice as many.
    """
    whole = 2 ** math.floor(math.log2(heads))
    first = 2.0 ** (-8 / whole * np.arange(1, whole + 1))
    more = 2.0 ** (-4 / whole * np.arange(1, 2 * (heads - whole), 2))
    return np.concatenate([first, more])


def stack(config: Config, attentions: Attentions) -> Stack:
    """Norms before, at the end, and of the tokens. The library's gelu has √(2/π) to eight digits."""
    own, size = layer_norm(config, "layer_norm_epsilon"), config.size("hidden_size")
    hidden = FeedForward(size, 4 * size, "gelu_tanh", bias_in=True, bias_out=True)
    return stacked(config, pre_norm(own, hidden), attentions, embedding_norm=own, norm=own)


MLP = "h.{layer}.mlp.dense_"
TENSORS = {
    "embedding": embedding("word_embeddings"),
    "embedding_norm": norm("word_embeddings_layernorm"),
    "layer.pre_attention_norm": norm("h.{layer}.input_layernorm"),
    "layer.pre_feed_forward_norm": norm("h.{layer}.post_attention_layernorm"),
    "layer.feed_forward": feed_forward(f"{MLP}h_to_4h", f"{MLP}4h_to_h"),
    "norm": norm("ln_f"),
}
MODEL = Model(
    stack=stack,
    tensors=TENSORS,
    heads=heads(
        "Bloom", Model=STATES, ForCausalLM=Head(logits, tensors={"readout": linear("lm_head")})
    ),
    read={"layer_norm_epsilon": 1e-5, "tie_word_embeddings": True},
    harmless=words("n_inner is_decoder"),
    fixed={"apply_residual_connection_post_layernorm": False, "add_cross_attention": False},
)


FAMILY = Family(
    name="Bloom",
    model_types=("bloom",),
    keys=KEYS,
    describe=describe,
    maps=Fused("query_key_value", "dense", by_group=True),
    place="h.{layer}.self_attention.",
    prefixes=("", "transformer."),
    layers="n_layer",
    model=MODEL,
)
