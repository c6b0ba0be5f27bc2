"""GPT-J: no biases but in the feed-forward block; the first features of a head turn in pairs."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families import gpt2
from cortico.frontends.families.options import causal
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys
from cortico.frontends.maps import Separate
from cortico.ir.errors import SpecError
from cortico.spec import AttentionSpec, Rotary, RotaryStyle

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
)
