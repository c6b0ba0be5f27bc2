"""GPT-NeoX (Pythia): one fused map, head by head, and a part of each head turns."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import all_or_none, rotary_decoder
from cortico.frontends.families.stacks import layer_norm, logits, parallel, plain, pre_norm, stacked
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
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Stack

KEYS = Keys(
    read={
        "hidden_size": 6144,
        "num_hidden_layers": 44,
        "num_attention_heads": 64,
        "attention_bias": True,
        "rotary_pct": 0.25,
        "rotary_emb_base": 10000.0,
        "max_position_embeddings": 2048,
        "is_causal": True,
        **{key: value for key, value in ROPE_KEYS.items() if key != "rope_theta"},
    },
    harmless=llama.HARMLESS - {"rms_norm_eps"}
    | words("layer_norm_eps hidden_dropout use_parallel_residual"),
    # the library reads these in other models, and in this one the names with "rotary"
    fixed={"rope_theta": None, "partial_rotary_factor": None},
)

_NAMES = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}


def describe(config: Config, layer: int) -> Attention:
    """All maps have a bias, or none has."""
    renamed = {name: config.values[own] for name, own in _NAMES.items()}
    one_size = {"num_key_value_heads": None, "head_dim": None}
    named = config.changed(**renamed, **one_size)
    return rotary_decoder(named, all_or_none(config.flag("attention_bias")), partial=True)


def stack(config: Config, attentions: Attentions) -> Stack:
    """Each block has a norm; both hear the same tokens, or one hears what the other has added."""
    own = layer_norm(config, "layer_norm_eps")
    hidden = plain(config, config.size("intermediate_size"), "hidden_act", "hidden_size")
    beside = config.flag("use_parallel_residual")
    layer = parallel(own, hidden, own=True) if beside else pre_norm(own, hidden)
    return stacked(config, layer, attentions, norm=own)


MLP = "layers.{layer}.mlp.dense_"
MODEL = Model(
    stack=stack,
    tensors={
        "embedding": embedding("embed_in"),
        "layer.pre_attention_norm": norm("layers.{layer}.input_layernorm"),
        "layer.pre_feed_forward_norm": norm("layers.{layer}.post_attention_layernorm"),
        "layer.feed_forward": feed_forward(f"{MLP}h_to_4h", f"{MLP}4h_to_h"),
        "norm": norm("final_layer_norm"),
    },
    heads=heads(
        "GPTNeoX",
        Model=STATES,
        ForCausalLM=Head(logits, tensors={"readout": linear("embed_out", "lm_head")}),
    ),
    read={
        "intermediate_size": 24576,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "use_parallel_residual": True,
        "tie_word_embeddings": False,
    },
    harmless=words("is_decoder"),
    fixed={"add_cross_attention": False},
    ignored=tuple(
        f"layers.*.attention.{name}" for name in ("bias", "masked_bias", "rotary_emb.inv_freq")
    ),
)


FAMILY = Family(
    name="GPT-NeoX",
    model_types=("gpt_neox",),
    keys=KEYS,
    describe=describe,
    maps=Fused("query_key_value", "dense", by_group=True),
    place="layers.{layer}.attention.",
    prefixes=("", "gpt_neox."),
    ignored=("bias", "masked_bias", "rotary_emb.inv_freq"),  # buffers, in old files
    model=MODEL,
)
