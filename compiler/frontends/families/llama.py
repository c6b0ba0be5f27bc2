"""Llama: grouped queries and rotary embedding, causal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families.options import all_or_none, rotary_decoder
from cortico.frontends.families.stacks import gated, logits, pre_norm, rms, stacked
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
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Readout, Stack

#: Keys of the feed-forward block, the norms and dropout, under Llama's names.
HARMLESS = words(
    "intermediate_size hidden_act rms_norm_eps attention_dropout is_decoder add_cross_attention"
)
#: The library reads none of these in such models, other programs do.
FIXED = {"partial_rotary_factor": 1.0, "rope_interleaved": False}

KEYS = Keys(
    read={
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,
        "attention_bias": False,
        "max_position_embeddings": 2048,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=HARMLESS | words("mlp_bias pretraining_tp is_llama_config"),
    fixed=FIXED | {"sliding_window": None, "layer_types": None},
)


def describe(config: Config, layer: int) -> Attention:
    """All four maps have a bias, or none has."""
    return rotary_decoder(config, all_or_none(config.flag("attention_bias")))


def stack(config: Config, attentions: Attentions, biased: bool = False) -> Stack:
    """Tokens, layers with RMS norms before their blocks, and one at the end."""
    own = rms(config)
    layer = pre_norm(own, gated(config, biased))
    return stacked(config, layer, attentions, norm=own)


def own_stack(config: Config, attentions: Attentions) -> Stack:
    """The same, where a key says whether the feed-forward blocks have biases."""
    return stack(config, attentions, config.flag("mlp_bias"))


LAYER = "layers.{layer}."
MLP = f"{LAYER}mlp."
TENSORS = {
    "embedding": embedding("embed_tokens"),
    "layer.pre_attention_norm": norm(f"{LAYER}input_layernorm"),
    "layer.pre_feed_forward_norm": norm(f"{LAYER}post_attention_layernorm"),
    "layer.feed_forward": feed_forward(f"{MLP}up_proj", f"{MLP}down_proj", f"{MLP}gate_proj"),
    "norm": norm("norm"),
}


def language(read: Callable[[Config], Readout] = logits) -> Head:
    """The head of a causal language model."""
    return Head(read, tensors={"readout": linear("lm_head")})


READ = {
    "intermediate_size": 11008,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
MODEL = Model(
    stack=own_stack,
    tensors=TENSORS,
    heads=heads("Llama", Model=STATES, ForCausalLM=language()),
    read={**READ, "rms_norm_eps": 1e-6, "mlp_bias": False},
    harmless=words("is_decoder"),
    fixed={"add_cross_attention": False},
    ignored=("layers.*.self_attn.rotary_emb.inv_freq", "rotary_emb.inv_freq"),
)


def like(
    names: str,
    stack: Callable[..., Stack] = stack,
    read_out: Callable[[Config], Readout] = logits,
    eps: float | None = 1e-6,
    fixed: Mapping[str, object] | None = None,
    **read: object,
) -> Model:
    """A model of the same blocks with other classes, and defaults of keys where they are not Llama's.

    eps: the default of `rms_norm_eps`; None where it has no RMS norm.
    """
    own = {} if eps is None else {"rms_norm_eps": eps}
    return replace(
        MODEL,
        stack=stack,
        heads=heads(names, Model=STATES, ForCausalLM=language(read_out)),
        read={**READ, **own, **read},
        fixed={**MODEL.fixed, **(fixed or {})},
    )


FAMILY = Family(
    name="Llama",
    model_types=("llama",),
    keys=KEYS,
    describe=describe,
    maps=Separate("q_proj", "k_proj", "v_proj", "o_proj"),
    place="layers.{layer}.self_attn.",
    prefixes=("", "model."),
    ignored=("rotary_emb.inv_freq",),  # in files of old: frequencies, which follow from config.json
    model=MODEL,
)
