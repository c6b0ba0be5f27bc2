"""OPT: four linear maps with biases, causal, in a decoder that stands alone."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families.options import all_or_none, causal
from cortico.frontends.families.stacks import logits, plain, post_norm, pre_norm, stacked
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
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
from cortico.spec import AttentionSpec, Norm, Stack

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


#: Rows of the table of positions before the first.
ROWS_BEFORE = 2


def stack(config: Config, attentions: Attentions) -> Stack:
    """Norms come before, and at the end; in one of the models they come after, as in BERT."""
    size, first = config.size("hidden_size"), config.flag("do_layer_norm_before")
    if config.values["word_embed_proj_dim"] not in (None, size):
        raise config.wrong("word_embed_proj_dim", f"{size}, the width that positions have")
    affine = config.flag("layer_norm_elementwise_affine")
    own = Norm(size, gain=affine, shift=affine)
    hidden = plain(
        config,
        config.size("ffn_dim"),
        "activation_function",
        "hidden_size",
        config.flag("enable_bias"),
    )
    layer = pre_norm(own, hidden) if first else post_norm(own, hidden)
    last = own if first and not config.flag("_remove_final_layer_norm") else None
    positions = config.size("max_position_embeddings")
    return stacked(config, layer, attentions, positions=positions, norm=last)


LAYER = "layers.{layer}."
ATTENTION_NORM, LAST_NORM = norm(f"{LAYER}self_attn_layer_norm"), norm(f"{LAYER}final_layer_norm")
MODEL = Model(
    stack=stack,
    tensors={
        "embedding": embedding("embed_tokens", positions="embed_positions", skipped=ROWS_BEFORE),
        "layer.pre_attention_norm": ATTENTION_NORM,
        "layer.attention_norm": ATTENTION_NORM,
        "layer.feed_forward": feed_forward(f"{LAYER}fc1", f"{LAYER}fc2"),
        "layer.pre_feed_forward_norm": LAST_NORM,
        "layer.feed_forward_norm": LAST_NORM,
        "norm": norm("final_layer_norm"),
    },
    heads=heads(
        "OPT", Model=STATES, ForCausalLM=Head(logits, tensors={"readout": linear("lm_head")})
    ),
    read={
        "max_position_embeddings": 2048,
        "ffn_dim": 3072,
        "activation_function": "relu",
        "do_layer_norm_before": True,
        "_remove_final_layer_norm": False,
        "layer_norm_elementwise_affine": True,
        "word_embed_proj_dim": None,
        "tie_word_embeddings": True,
    },
    harmless=words("is_decoder"),
    fixed={"add_cross_attention": False},
)


FAMILY = Family(
    name="OPT",
    model_types=("opt",),
    keys=KEYS,
    describe=describe,
    maps=Separate("q_proj", "k_proj", "v_proj", "out_proj"),
    place="layers.{layer}.self_attn.",
    prefixes=("decoder.", "model.decoder."),
    model=MODEL,
)
