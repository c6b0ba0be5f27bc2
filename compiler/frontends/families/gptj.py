"""GPT-J: no biases but in the feed-forward block; the first features of a head turn in pairs."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import gpt2
from cortico.frontends.families.options import causal
from cortico.frontends.families.stacks import logits, parallel, stacked
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.model import (
    STATES,
    Attentions,
    Head,
    embedding,
    feed_forward,
    heads,
    linear,
    norm,
)
from cortico.ir.errors import SpecError
from cortico.spec import AttentionSpec, Readout, Rotary, RotaryStyle, Stack

KEYS = Keys(
    read={"n_embd": 4096, "n_layer": 28, "n_head": 16, "rotary_dim": 64, "is_causal": True},
    harmless=gpt2.HARMLESS,
    fixed={"rotary": True, "scale_attn_weights": True},
    same=gpt2.SAME,
)


def describe(config: Config, layer: int) -> Attention:
    """The base of the rotary embedding is always 10000."""
    features, rotated = config.divided("n_embd", by="n_head"), config.size("rotary_dim")
    if rotated > features or rotated % 2:
        raise SpecError(
            f"{config.source}: rotary_dim = {rotated} must be even and at most {features}, the "
            "features of a head"
        )
    spec = AttentionSpec(
        model=config.size("n_embd"),
        heads=config.size("n_head"),
        rotary=Rotary(style=RotaryStyle.INTERLEAVED, rotated=rotated),
        **causal(config),
    )
    return spec, {}


def stack(config: Config, attentions: Attentions) -> Stack:
    """Attention and feed-forward block hear the same normed tokens."""
    own = gpt2.norm_of(config)
    layer = parallel(own, gpt2.feed_forward_of(config))
    return stacked(config, layer, attentions, norm=own)


def read_out(config: Config) -> Readout:
    """Logits with a bias."""
    return logits(config, "n_embd", bias=True)


MODEL = replace(
    gpt2.MODEL,
    stack=stack,
    tensors={
        "embedding": embedding("wte"),
        "layer.pre_parallel_norm": norm("h.{layer}.ln_1"),
        "layer.feed_forward": feed_forward("h.{layer}.mlp.fc_in", "h.{layer}.mlp.fc_out"),
        "norm": norm("ln_f"),
    },
    heads=heads(
        "GPTJ", Model=STATES, ForCausalLM=Head(read_out, tensors={"readout": linear("lm_head")})
    ),
    read={
        **{key: value for key, value in gpt2.READ.items() if key != "n_positions"},
        "tie_word_embeddings": False,
    },
    harmless=words("is_decoder n_positions"),  # nothing is learned of positions
)


FAMILY = Family(
    name="GPT-J",
    model_types=("gptj",),
    keys=KEYS,
    describe=describe,
    maps=Separate("q_proj", "k_proj", "v_proj", "out_proj"),
    place="h.{layer}.attn.",
    prefixes=("", "transformer."),
    ignored=gpt2.IGNORED,
    layers="n_layer",
    model=MODEL,
)
