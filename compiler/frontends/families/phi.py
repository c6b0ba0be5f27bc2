"""Phi: biases everywhere, and a part of each head turns."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import EVERY_BIAS, layer_normed, rotary_decoder
from cortico.frontends.families.stacks import layer_norm, logits, parallel, plain, stacked
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.model import Attentions, embedding, feed_forward, norm
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Readout, Stack

KEYS = Keys(
    read={
        "hidden_size": 2048,
        "num_hidden_layers": 24,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,
        "partial_rotary_factor": 0.5,
        "qk_layernorm": False,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": 2048,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=llama.HARMLESS - {"rms_norm_eps"} | words("resid_pdrop embd_pdrop"),
)


def describe(config: Config, layer: int) -> Attention:
    """Causal self-attention with `dense`. A norm has a bias, and is the same for all heads."""
    plain = rotary_decoder(config, EVERY_BIAS, partial=True)
    return layer_normed(plain, config, "qk_layernorm", bias=True)


def stack(config: Config, attentions: Attentions) -> Stack:
    """Attention and feed-forward block hear the same normed tokens."""
    own = layer_norm(config, "layer_norm_eps")
    hidden = plain(config, config.size("intermediate_size"), "hidden_act", "hidden_size")
    return stacked(config, parallel(own, hidden), attentions, norm=own)


def read_out(config: Config) -> Readout:
    """Logits with a bias."""
    return logits(config, bias=True)


MODEL = replace(
    llama.like("Phi", stack, read_out, eps=None, intermediate_size=8192, hidden_act="gelu_new"),
    tensors={
        "embedding": embedding("embed_tokens"),
        "layer.pre_parallel_norm": norm("layers.{layer}.input_layernorm"),
        "layer.feed_forward": feed_forward("layers.{layer}.mlp.fc1", "layers.{layer}.mlp.fc2"),
        "norm": norm("final_layernorm"),
    },
)


FAMILY = replace(
    llama.FAMILY,
    name="Phi",
    model_types=("phi",),
    keys=KEYS,
    describe=describe,
    maps=Separate("q_proj", "k_proj", "v_proj", "dense"),
    others={
        f"{word}_{letter.upper()}": f"{letter}_layernorm.{name}"
        for word, name in (("gain", "weight"), ("shift", "bias"))
        for letter in "qk"
    },
    model=MODEL,
)
