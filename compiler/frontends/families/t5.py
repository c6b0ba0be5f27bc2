"""T5 and mT5: unscaled scores, no biases of maps, and a position bias by distance for all blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cortico.frontends.config import Config
from cortico.frontends.distances import Distances
from cortico.frontends.families.stacks import ACTIVATIONS, logits, pre_norm, rms, stacked
from cortico.frontends.family import Attention, Describe, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.model import (
    STATES,
    Attentions,
    Head,
    Model,
    Names,
    Stored,
    feed_forward,
    heads,
    linear,
    norm,
)
from cortico.spec import AttentionSpec, FeedForward, Mask, Readout, Stack

#: Of each part: how a query sees the source tokens, and where its tensors are.
PARTS: dict[str, tuple[dict[str, Any], str]] = {
    "encoder": ({"key_padding": True}, "encoder.block.{layer}.layer.0.SelfAttention."),
    "decoder": ({"mask": Mask.CAUSAL}, "decoder.block.{layer}.layer.0.SelfAttention."),
    "cross": (
        {"cross": True, "key_padding": True},
        "decoder.block.{layer}.layer.1.EncDecAttention.",
    ),
}
#: The table of a stack: its first block has it. Blocks of other attention have none that is read.
TABLE = "relative_attention_bias."

KEYS = Keys(
    read={
        "d_model": 512,
        "d_kv": 64,
        "num_heads": 8,
        "num_layers": 6,
        "num_decoder_layers": None,
        "relative_attention_num_buckets": 32,
        "relative_attention_max_distance": 128,
    },
    harmless=words(
        "d_ff dropout_rate layer_norm_epsilon initializer_factor feed_forward_proj dense_act_fn "
        "is_gated_act scale_decoder_outputs is_decoder add_cross_attention n_positions"
    ),
    # with is_causal = False the decoder is causal in some of transformers' kernels, and not in others
    fixed={"is_causal": True},
    same={
        "hidden_size": "d_model",
        "num_attention_heads": "num_heads",
        "num_hidden_layers": "num_layers",
        "head_dim": "d_kv",
    },
)
MT5_KEYS = replace(KEYS, read={**KEYS.read, "num_layers": 8, "num_heads": 6})


#: Else transformers hands cross attention the decoder's own keys and values, too.
WHOLE = {"is_encoder_decoder": True}


def describe(**seen: Any) -> Describe:
    """Attention with `o`. The bias by distance is not of this spec yet: it needs a number of tokens."""

    def described(config: Config, layer: int) -> Attention:
        spec = AttentionSpec(
            model=config.size("d_model"),
            heads=config.size("num_heads"),
            key_features=config.size("d_kv"),
            scale=1.0,
            **seen,
        )
        return spec, {}

    return described


def distances(stack: str) -> Callable[[Config], Distances]:
    """The table of the encoder, which looks to both sides, or of the decoder."""
    both = stack == "encoder"

    def found(config: Config) -> Distances:
        count, last = "relative_attention_num_buckets", "relative_attention_max_distance"
        name = f"{stack}.block.0.layer.0.SelfAttention.{TABLE}weight"
        table = Distances(name, config.size(count), config.size(last), both)
        if not table.exact:
            raise config.wrong(count, "four or more" if both else "two or more")
        if table.farthest <= table.exact:
            raise config.wrong(last, f"more than {table.exact}, for {table.buckets} buckets")
        return table

    return found


EPS, ACT, GATED = "layer_norm_epsilon", "dense_act_fn", "is_gated_act"


def stack(config: Config, *attentions: Attentions) -> Stack:
    """Norms before and at the end, and no positions but in scores."""
    own = rms(config, EPS, "d_model")
    return stacked(config, pre_norm(own, _feed_forward(config)), *attentions, norm=own)


def _feed_forward(config: Config) -> FeedForward:
    """`feed_forward_proj` says it, such as gated-gelu; what the library writes beside it must say the same."""
    kind, key = config.text("feed_forward_proj"), "feed_forward_proj"
    gated, act = kind.startswith("gated-"), kind.removeprefix("gated-")
    act = "gelu_new" if kind == "gated-gelu" else act
    if act not in ACTIVATIONS:
        raise config.wrong(key, f"one of {', '.join(ACTIVATIONS)}, perhaps with gated- before it")
    for name, value in ((ACT, act), (GATED, gated)):
        if config.values[name] not in (None, value):
            raise config.wrong(name, f"{value!r}, as {key} = {kind} says")
    return FeedForward(config.size("d_model"), config.size("d_ff"), ACTIVATIONS[act], gated=gated)


def read_out(config: Config) -> Readout:
    """Logits. The matrix is the table of tokens unless the file has one, whatever is said.

    States are scaled before it unless the file says that it is not tied: so the library tells old from new.
    """
    said, scaled = config.values["tie_word_embeddings"], config.values["scale_decoder_outputs"]
    scaled = said is not False if scaled is None else config.flag("scale_decoder_outputs")
    scale = config.size("d_model") ** -0.5 if scaled else 1.0
    return logits(config.changed(tie_word_embeddings=True), "d_model", scale=scale)


def unscaled(config: Config) -> Readout:
    """The same in mT5, which never scales."""
    return logits(config.changed(tie_word_embeddings=True), "d_model")


def tensors(config: Config) -> dict[str, Names]:
    """Where both stacks have the tensors of their blocks."""
    return {**_tensors(config, "encoder", 1), **_tensors(config, "decoder", 2)}


def _tensors(config: Config, side: str, last: int) -> dict[str, Names]:
    """`last`: the number of the feed-forward block in a layer."""
    layer = f"{side}.block.{{layer}}.layer."
    dense = f"{layer}{last}.DenseReluDense."
    gated = config.text("feed_forward_proj").startswith("gated-")
    inward, gate = (f"{dense}wi_1", f"{dense}wi_0") if gated else (f"{dense}wi", None)
    return {
        f"{side}.embedding": {"W_token": Stored((f"{side}.embed_tokens.weight", "shared.weight"))},
        f"{side}.layer.pre_attention_norm": norm(f"{layer}0.layer_norm"),
        f"{side}.layer.pre_cross_attention_norm": norm(f"{layer}1.layer_norm"),
        f"{side}.layer.pre_feed_forward_norm": norm(f"{layer}{last}.layer_norm"),
        f"{side}.layer.feed_forward": feed_forward(inward, f"{dense}wo", gate),
        f"{side}.norm": norm(f"{side}.final_layer_norm"),
    }


def _head(read: Callable[[Config], Readout]) -> Head:
    return Head(read, tensors={"readout": linear("lm_head")})


#: In old files the decoder has a table of its own in cross attention, which nothing reads.
IGNORED = ("decoder.block.*.layer.1.EncDecAttention.relative_attention_bias.weight",)
MODEL = Model(
    stack=stack,
    encoder=stack,
    parts=("decoder", "cross"),
    tensors=tensors,
    heads=heads("T5", Model=STATES, ForConditionalGeneration=_head(read_out)),
    read={
        "d_ff": 2048,
        EPS: 1e-6,
        "feed_forward_proj": "relu",
        ACT: None,
        GATED: None,
        "scale_decoder_outputs": None,
        "tie_word_embeddings": None,
    },
    harmless=words("is_decoder n_positions"),
    fixed={"add_cross_attention": False, **WHOLE},
    ignored=IGNORED,
)
MT5_MODEL = replace(
    MODEL,
    heads=heads("MT5", Model=STATES, ForConditionalGeneration=_head(unscaled)),
    read={
        "d_ff": 1024,
        EPS: 1e-6,
        "feed_forward_proj": "gated-gelu",
        ACT: None,
        GATED: None,
    },
    harmless=MODEL.harmless | words("scale_decoder_outputs"),
)


def _family(name: str, kind: str, part: str, keys: Keys, model: Model) -> Family:
    seen, place = PARTS[part]
    return Family(
        name=name,
        model_types=(kind,),
        part=part,
        keys=replace(keys, fixed={**keys.fixed, **WHOLE}) if part == "cross" else keys,
        describe=describe(**seen),
        maps=Separate("q", "k", "v", "o"),
        place=place,
        prefixes=("", "transformer."),
        ignored=(TABLE,),
        layers="num_layers" if part == "encoder" else "num_decoder_layers",
        layers_or="num_layers",
        distances=None if part == "cross" else distances(part),
        model=model,
    )


FAMILIES = (
    *(_family("T5", "t5", part, KEYS, MODEL) for part in PARTS),
    *(_family("mT5", "mt5", part, MT5_KEYS, MT5_MODEL) for part in PARTS),
)
