"""ModernBERT: one fused map and rotary embedding, all tokens seen; most layers in a window to both sides."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families.options import all_or_none, layer_kind, rotary_decoder
from cortico.frontends.families.stacks import (
    activation,
    gated,
    in_runs,
    layer_norm,
    logits,
    pre_norm,
    stacked,
)
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
from cortico.frontends.rope import ROPE_KEYS, of_kind
from cortico.spec import Dense, Layer, Norm, Readout, Stack

KEYS = Keys(
    read={
        "hidden_size": 768,
        "num_hidden_layers": 22,
        "num_attention_heads": 12,
        "attention_bias": False,
        "local_attention": 128,
        "layer_types": None,
        "global_attn_every_n_layers": 3,
        "max_position_embeddings": 8192,
        **{key: value for key, value in ROPE_KEYS.items() if key != "rope_theta"},
        "global_rope_theta": 160000.0,
        "local_rope_theta": 10000.0,
    },
    harmless=words(
        "intermediate_size hidden_activation initializer_cutoff_factor norm_eps layer_norm_eps norm_bias cls_token_id "
        "attention_dropout embedding_dropout mlp_bias mlp_dropout decoder_bias classifier_pooling "
        "classifier_bias classifier_activation deterministic_flash_attn sparse_prediction "
        "sparse_pred_ignore_index repad_logits_with_grad reference_compile"
    ),
    fixed={"is_causal": False},
)

_BASES = {"full_attention": "global_rope_theta", "sliding_attention": "local_rope_theta"}


def describe(config: Config, layer: int) -> Attention:
    """Every third layer sees all, where `layer_types` does not say it of each.

    `local_attention` tokens are half before the query's own and half behind it.
    """
    kind = layer_kind(config, layer, layer % config.size("global_attn_every_n_layers") != 0)
    window = None if kind == "full_attention" else config.size("local_attention") // 2
    config = of_kind(config, kind, _BASES[kind], scaled=True)
    one_size = {"num_key_value_heads": None, "head_dim": None, "is_causal": False}
    config.divided("hidden_size", by="num_attention_heads")
    named = config.changed(**one_size)
    return rotary_decoder(named, all_or_none(config.flag("attention_bias")), window)


def norm_of(config: Config) -> Norm:
    """That of every place."""
    return layer_norm(config, "norm_eps", shift=config.flag("norm_bias"))


def stack(config: Config, attentions: Attentions) -> Stack:
    """Norms before and at the end. The first attention has none: its tokens are normed already."""
    own, hidden = norm_of(config), gated(config, config.flag("mlp_bias"), "hidden_activation")
    whole = stacked(config, pre_norm(own, hidden), attentions, embedding_norm=own, norm=own)
    first, *others = whole.levels
    return replace(whole, layers=in_runs([_first(first), *others]))


def _first(layer: Layer) -> Layer:
    attention, feed_forward = layer.steps
    (branch,) = attention.branches
    return Layer((replace(attention, branches=(replace(branch, before=None),)), feed_forward))


def masked(config: Config) -> Readout:
    """Logits after a hidden layer and a norm."""
    size, act = config.size("hidden_size"), activation(config, "classifier_activation")
    dense = Dense(size, size, act, bias=config.flag("classifier_bias"))
    return replace(
        logits(config, bias=config.flag("decoder_bias")), dense=dense, norm=norm_of(config)
    )


MLP = "layers.{layer}.mlp."
MODEL = Model(
    stack=stack,
    tensors={
        "embedding": embedding("embeddings.tok_embeddings"),
        "embedding_norm": norm("embeddings.norm"),
        "layer.pre_attention_norm": norm("layers.{layer}.attn_norm"),
        "layer.pre_feed_forward_norm": norm("layers.{layer}.mlp_norm"),
        "layer.feed_forward": feed_forward(f"{MLP}Wi", f"{MLP}Wo", gate=f"{MLP}Wi"),
        "norm": norm("final_norm"),
    },
    heads=heads(
        "ModernBert",
        Model=STATES,
        ForMaskedLM=Head(
            masked,
            tensors={
                "readout_dense": linear("head.dense"),
                "readout_norm": norm("head.norm"),
                "readout": linear("decoder"),
            },
        ),
    ),
    read={
        "intermediate_size": 1152,
        "hidden_activation": "gelu",
        "norm_eps": 1e-5,
        "norm_bias": False,
        "mlp_bias": False,
        "decoder_bias": True,
        "classifier_bias": False,
        "classifier_activation": "gelu",
        "tie_word_embeddings": True,
    },
    harmless=words("layer_norm_eps"),  # another name, which the library does not read
)


FAMILY = Family(
    name="ModernBERT",
    model_types=("modernbert",),
    keys=KEYS,
    describe=describe,
    maps=Fused("Wqkv", "Wo"),
    place="layers.{layer}.attn.",
    prefixes=("", "model."),
    model=MODEL,
)
