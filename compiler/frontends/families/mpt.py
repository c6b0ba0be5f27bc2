"""MPT: one fused map, all queries first, and ALiBi in place of positions; no biases."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families.bloom import alibi_slopes
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
from cortico.spec import AttentionSpec, FeedForward, Mask, PositionBias, Readout, Stack

KEYS = Keys(
    read={"d_model": 2048, "n_heads": 16, "n_layers": 24, "attn_config": None},
    harmless=words(
        "expansion_ratio max_seq_len resid_pdrop layer_norm_epsilon emb_pdrop learned_pos_emb "
        "init_device tokenizer_name logit_scale embedding_fraction norm_type verbose init_config param_init_fn "
        "is_decoder add_cross_attention"
    ),
    fixed={"is_causal": True, "no_bias": True},
    same={
        "num_attention_heads": "n_heads",
        "hidden_size": "d_model",
        "num_hidden_layers": "n_layers",
    },
)
#: Of the table `attn_config`. What is fixed, transformers does not read; MPT's own code does, but for
#: `clip_qkv`, which no spec has.
ATTENTION_KEYS = Keys(
    read={"softmax_scale": None},
    harmless=words("attn_pdrop attn_impl is_decoder add_cross_attention"),
    fixed={
        "attn_type": "multihead_attention",
        "clip_qkv": None,
        "prefix_lm": False,
        "qk_ln": False,
        "attn_uses_sequence_id": False,
        "alibi": True,
        "alibi_bias_max": 8,
        "is_causal": True,
    },
)


def describe(config: Config, layer: int) -> Attention:
    """Causal self-attention with `out_proj`: the bias of a score is the head's slope · (j - i)."""
    config.divided("d_model", by="n_heads")
    table = config.table("attn_config") or Config(f"{config.source}: attn_config", {})
    given = ATTENTION_KEYS.resolve(table)
    scaled = given.values["softmax_scale"] is not None
    heads = config.size("n_heads")
    spec = AttentionSpec(
        model=config.size("d_model"),
        heads=heads,
        scale=given.number("softmax_scale") if scaled else None,
        mask=Mask.CAUSAL,
        position_bias=PositionBias.ALIBI,
    )
    return spec, {"alibi_slopes": alibi_slopes(heads)}


def stack(config: Config, attentions: Attentions) -> Stack:
    """Norms before and at the end, which have a gain and no shift."""
    config.choice("norm_type", "low_precision_layernorm", "layernorm")
    own = layer_norm(config, "layer_norm_epsilon", "d_model", shift=False)
    layer = pre_norm(own, FeedForward(own.model, 4 * own.model, "gelu"))
    return stacked(config, layer, attentions, norm=own)


def read_out(config: Config) -> Readout:
    """Logits of tokens."""
    return logits(config, "d_model")


MODEL = Model(
    stack=stack,
    tensors={
        "embedding": embedding("wte"),
        "layer.pre_attention_norm": norm("blocks.{layer}.norm_1"),
        "layer.pre_feed_forward_norm": norm("blocks.{layer}.norm_2"),
        "layer.feed_forward": feed_forward(
            "blocks.{layer}.ffn.up_proj", "blocks.{layer}.ffn.down_proj"
        ),
        "norm": norm("norm_f"),
    },
    heads=heads(
        "Mpt", Model=STATES, ForCausalLM=Head(read_out, tensors={"readout": linear("lm_head")})
    ),
    read={
        "layer_norm_epsilon": 1e-5,
        "norm_type": "low_precision_layernorm",
        "tie_word_embeddings": True,
    },
    # beside ALiBi no positions are learned, whatever is said
    harmless=words("max_seq_len learned_pos_emb is_decoder"),
    fixed={
        "expansion_ratio": 4,
        "embedding_fraction": 1.0,
        "logit_scale": None,
        "add_cross_attention": False,
    },
)


FAMILY = Family(
    name="MPT",
    model_types=("mpt",),
    keys=KEYS,
    describe=describe,
    maps=Fused("Wqkv", "out_proj"),
    place="blocks.{layer}.attn.",
    prefixes=("", "transformer."),
    layers="n_layers",
    model=MODEL,
)
