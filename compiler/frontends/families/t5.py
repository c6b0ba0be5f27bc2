"""T5 and mT5: unscaled scores, no biases of maps, and a position bias by distance for all blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cortico.frontends.config import Config
from cortico.frontends.distances import Distances
from cortico.frontends.family import Attention, Describe, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.spec import AttentionSpec, Mask

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


def _family(name: str, kind: str, part: str, keys: Keys) -> Family:
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
    )


FAMILIES = (
    *(_family("T5", "t5", part, KEYS) for part in PARTS),
    *(_family("mT5", "mt5", part, MT5_KEYS) for part in PARTS),
)
