"""GPT-2: one fused map, stored (in, out) as `Conv1D` does, its columns [Q | K | V]; norms come before."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families.options import EVERY_BIAS, causal
from cortico.frontends.families.stacks import layer_norm, logits, plain, pre_norm, stacked
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Fused
from cortico.frontends.model import (
    STATES,
    Attentions,
    Head,
    Model,
    Names,
    embedding,
    feed_forward,
    heads,
    linear,
    norm,
)
from cortico.spec import AttentionSpec, FeedForward, Norm, Readout, Stack

#: Keys of embeddings, feed-forward block, norms, dropout and summaries, under GPT-2's names.
HARMLESS = words(
    "n_positions n_ctx n_inner activation_function resid_pdrop embd_pdrop attn_pdrop "
    "layer_norm_epsilon is_decoder add_cross_attention predict_special_tokens "
    "summary_type summary_use_proj summary_activation summary_proj_to_labels "
    "summary_first_dropout summary_last_dropout"
)
SAME = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "max_position_embeddings": "n_positions",
}
#: The causal mask and its number, in old files.
IGNORED = ("bias", "masked_bias")

KEYS = Keys(
    read={
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "is_causal": True,
    },
    harmless=HARMLESS | {"reorder_and_upcast_attn"},
    same=SAME,
)


def describe(config: Config, layer: int) -> Attention:
    """Causal self-attention with `c_proj`."""
    features = config.divided("n_embd", by="n_head")
    spec = AttentionSpec(
        model=config.size("n_embd"),
        heads=config.size("n_head"),
        scale=_scale(config, features, layer),
        bias=EVERY_BIAS,
        **causal(config),
    )
    return spec, {}


def _scale(config: Config, head_features: int, layer: int) -> float | None:
    """The factor of the scores; None for the usual 1/√head_features."""
    usual = config.flag("scale_attn_weights")
    by_layer = config.flag("scale_attn_by_inverse_layer_idx")
    if usual and not by_layer:
        return None
    return (head_features**-0.5 if usual else 1.0) / (layer + 1 if by_layer else 1)


EPS = "layer_norm_epsilon"


def norm_of(config: Config) -> Norm:
    """That of every place."""
    return layer_norm(config, EPS, "n_embd")


def feed_forward_of(config: Config) -> FeedForward:
    """Four times as wide as the model where `n_inner` does not say it."""
    hidden = config.optional_size("n_inner") or 4 * config.size("n_embd")
    return plain(config, hidden, "activation_function", "n_embd")


def stack(config: Config, attentions: Attentions) -> Stack:
    """Tokens and positions, layers with norms before, and a norm at the end."""
    own = norm_of(config)
    layer, positions = pre_norm(own, feed_forward_of(config)), config.size("n_positions")
    return stacked(config, layer, attentions, positions=positions, norm=own)


def read_out(config: Config) -> Readout:
    """Logits of tokens."""
    return logits(config, "n_embd")


def tensors(transposed: bool) -> dict[str, Names]:
    """Where GPT-2 and GPT-BigCode have the tensors of their blocks."""
    return {
        "embedding": embedding("wte", positions="wpe"),
        "layer.pre_attention_norm": norm("h.{layer}.ln_1"),
        "layer.pre_feed_forward_norm": norm("h.{layer}.ln_2"),
        "layer.feed_forward": feed_forward(
            "h.{layer}.mlp.c_fc", "h.{layer}.mlp.c_proj", transposed=transposed
        ),
        "norm": norm("ln_f"),
    }


LANGUAGE = Head(read_out, tensors={"readout": linear("lm_head")})
READ = {
    "n_positions": 1024,
    "n_inner": None,
    "activation_function": "gelu_new",
    EPS: 1e-5,
    "tie_word_embeddings": True,
}
#: The mask and its number, in old files.
BUFFERS = ("h.*.attn.bias", "h.*.attn.masked_bias")

MODEL = Model(
    stack=stack,
    tensors=tensors(transposed=True),
    heads=heads("GPT2", Model=STATES, LMHeadModel=LANGUAGE),
    read=READ,
    harmless=words("is_decoder"),
    fixed={"add_cross_attention": False},
    ignored=BUFFERS,
)

FAMILY = Family(
    name="GPT-2",
    model_types=("gpt2",),
    keys=KEYS,
    describe=describe,
    maps=Fused("c_attn", "c_proj", transposed=True),
    place="h.{layer}.attn.",
    prefixes=("", "transformer."),
    ignored=IGNORED,
    layers="n_layer",
    model=MODEL,
)
