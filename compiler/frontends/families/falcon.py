"""Falcon: one fused map, group by group, of one, some or as many key/value heads as heads; rotary."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families import bloom
from cortico.frontends.families.options import all_or_none, rotary_decoder
from cortico.frontends.families.stacks import layer_norm, logits, parallel, plain, pre_norm, stacked
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Fused
from cortico.frontends.model import STATES, Attentions, Head, Model, Table, heads, linear, norm
from cortico.frontends.rope import ROPE_KEYS
from cortico.spec import Stack

KEYS = Keys(
    read={
        "hidden_size": 4544,
        "num_hidden_layers": 32,
        "num_attention_heads": 71,
        "num_kv_heads": None,
        "new_decoder_architecture": False,
        "multi_query": True,
        "bias": False,
        "max_position_embeddings": 2048,
        "is_causal": True,
        **ROPE_KEYS,
    },
    harmless=words(
        "num_ln_in_parallel_attn layer_norm_epsilon hidden_dropout attention_dropout parallel_attn "
        "ffn_hidden_size activation apply_residual_connection_post_layernorm is_decoder add_cross_attention"
    ),
    # the library rounds slope · position to bfloat16
    fixed={"alibi": False, "partial_rotary_factor": 1.0},
    same={"n_embed": "hidden_size"},
)


def describe(config: Config, layer: int) -> Attention:
    """Causal self-attention with `dense`. All maps have a bias, or none has."""
    config.divided("hidden_size", by="num_attention_heads")
    one_size = {"num_key_value_heads": _groups(config), "head_dim": None}
    named = config.changed(**one_size)
    return rotary_decoder(named, all_or_none(config.flag("bias")))


def _groups(config: Config) -> int | None:
    """Key/value heads; None for as many as heads."""
    if config.flag("new_decoder_architecture"):
        return config.optional_size("num_kv_heads")
    return 1 if config.flag("multi_query") else None


def stack(config: Config, attentions: Attentions) -> Stack:
    """Both blocks hear the same tokens, by one norm or a norm of each, or one after the other."""
    own = layer_norm(config, "layer_norm_epsilon")
    size = config.optional_size("ffn_hidden_size") or 4 * config.size("hidden_size")
    hidden = plain(config, size, "activation", "hidden_size", config.flag("bias"))
    layer = parallel(own, hidden, own=_two_norms(config))
    if not config.flag("parallel_attn"):
        layer = pre_norm(own, hidden)
    return stacked(config, layer, attentions, norm=own)


def _two_norms(config: Config) -> bool:
    """Whether each of two blocks beside each other has a norm. SpecError for what the library cannot run."""
    key, new = "num_ln_in_parallel_attn", config.flag("new_decoder_architecture")
    if new and not config.flag("parallel_attn"):
        raise config.wrong("parallel_attn", "true in the new architecture")
    count = (2 if new else 1) if config.values[key] is None else config.size(key)
    if count > (2 if new else 1):
        raise config.wrong(key, "1, or 2 in the new architecture")
    return count == 2


def tensors(config: Config) -> Table:
    """A norm has another name where there is one for each of two blocks."""
    two = config.flag("parallel_attn") and _two_norms(config)
    first, second = (
        ("ln_attn", "ln_mlp") if two else ("input_layernorm", "post_attention_layernorm")
    )
    return {
        **bloom.TENSORS,
        "layer.pre_attention_norm": norm(f"h.{{layer}}.{first}"),
        "layer.pre_feed_forward_norm": norm(f"h.{{layer}}.{second}"),
        "layer.pre_parallel_norm": norm("h.{layer}.input_layernorm"),
    }


MODEL = Model(
    stack=stack,
    tensors=tensors,
    heads=heads(
        "Falcon", Model=STATES, ForCausalLM=Head(logits, tensors={"readout": linear("lm_head")})
    ),
    read={
        "layer_norm_epsilon": 1e-5,
        "ffn_hidden_size": None,
        "activation": "gelu",
        "parallel_attn": True,
        "num_ln_in_parallel_attn": None,
        "tie_word_embeddings": True,
    },
    harmless=words("is_decoder"),
    fixed={"apply_residual_connection_post_layernorm": False, "add_cross_attention": False},
)


FAMILY = Family(
    name="Falcon",
    model_types=("falcon",),
    keys=KEYS,
    describe=describe,
    maps=Fused("query_key_value", "dense", by_group=True),
    place="h.{layer}.self_attention.",
    prefixes=("", "transformer."),
    model=MODEL,
)
