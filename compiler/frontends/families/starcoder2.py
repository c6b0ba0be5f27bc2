"""StarCoder2: grouped queries with biases, and one window for all layers if it is said."""

from __future__ import annotations

from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families import llama
from cortico.frontends.families.options import all_or_none, rotary_decoder
from cortico.frontends.families.stacks import layer_norm, plain, pre_norm, stacked
from cortico.frontends.family import Attention
from cortico.frontends.keys import Keys, words
from cortico.frontends.model import Attentions, feed_forward
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Stack

KEYS = Keys(
    read={
        "hidden_size": 3072,
        "num_hidden_layers": 30,
        "num_attention_heads": 24,
        "num_key_value_heads": 2,
        "head_dim": None,
        "use_bias": True,
        "sliding_window": None,
        "max_position_embeddings": 4096,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=llama.HARMLESS - {"rms_norm_eps"}
    | words(
        "norm_epsilon layer_norm_epsilon norm_type residual_dropout embedding_dropout mlp_type "
        "activation_function attention_softmax_in_fp32 scale_attention_softmax_in_fp32"
    ),
    fixed=llama.FIXED | {"layer_types": None, "scale_attn_weights": True},
)


def describe(config: Config, layer: int) -> Attention:
    """All four maps have a bias, or none has."""
    window = config.optional_size("sliding_window")
    return rotary_decoder(config, all_or_none(config.flag("use_bias")), window)


def stack(config: Config, attentions: Attentions) -> Stack:
    """Layer norms before, and one hidden layer; all maps have a bias, or none has."""
    own, size = layer_norm(config, "norm_epsilon"), config.size("intermediate_size")
    hidden = plain(config, size, "hidden_act", "hidden_size", config.flag("use_bias"))
    return stacked(config, pre_norm(own, hidden), attentions, norm=own)


MODEL = replace(
    llama.like(
        "Starcoder2",
        stack,
        eps=None,
        fixed={"mlp_type": "default", "norm_type": "layer_norm"},
        norm_epsilon=1e-5,
        intermediate_size=12288,
        hidden_act="gelu_pytorch_tanh",
        tie_word_embeddings=True,
    ),
    tensors={
        **llama.TENSORS,
        "layer.feed_forward": feed_forward(f"{llama.MLP}c_fc", f"{llama.MLP}c_proj"),
    },
    # other names, which the library does not read
    harmless=words("is_decoder layer_norm_epsilon activation_function"),
)


FAMILY = replace(
    llama.FAMILY,
    name="StarCoder2",
    model_types=("starcoder2",),
    keys=KEYS,
    describe=describe,
    model=MODEL,
)
