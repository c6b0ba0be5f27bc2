"""The two towers of CLIP, together or each alone: a causal reader of texts, an encoder of images."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from cortico.frontends.config import Config
from cortico.frontends.families.options import EVERY_BIAS, encoder
from cortico.frontends.families.stacks import activation, layer_norm, pre_norm, stacked
from cortico.frontends.family import Attention, Family, of_part
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.model import (
    PATCHES,
    Attentions,
    Head,
    Model,
    Table,
    embedding,
    feed_forward,
    heads,
    norm,
)
from cortico.spec import FeedForward, Mask, Stack

HARMLESS = words(
    "intermediate_size projection_dim hidden_act layer_norm_eps attention_dropout dropout "
    "initializer_factor"
)
TEXT_KEYS = Keys(
    read={"hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8},
    harmless=HARMLESS | words("max_position_embeddings add_cross_attention"),
    fixed={"is_causal": True},
)
VISION_KEYS = Keys(
    read={"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
    harmless=HARMLESS | words("num_channels image_size patch_size add_cross_attention"),
    fixed={"is_causal": False},
)
#: Of a model with both towers, whose configs are tables of its own.
WHOLE_KEYS = Keys(
    read={"text_config": None, "vision_config": None},
    harmless=words("projection_dim logit_scale_init_value initializer_factor"),
    fixed={"text_config_dict": None, "vision_config_dict": None},
)
#: The parts of a model with both: where the config of each is, and of which type it is.
TOWERS: dict[str | None, tuple[str, str]] = {
    "text": ("text_config", "clip_text_model"),
    "vision": ("vision_config", "clip_vision_model"),
}


def describe_text(config: Config, layer: int) -> Attention:
    """Causal self-attention with `out_proj`."""
    spec, weights = encoder(config, EVERY_BIAS, padded=False)
    return replace(spec, mask=Mask.CAUSAL), weights


def describe_vision(config: Config, layer: int) -> Attention:
    """Self-attention of patches, with `out_proj`."""
    return encoder(config, EVERY_BIAS, padded=False)


def tower_of(config: Config, part: str | None, ignore: Collection[str]) -> Config:
    """The config of the tower that is this part. SpecError when there is no such part."""
    whole = WHOLE_KEYS.resolve(config, ignore)
    key, kind = of_part(config, part, TOWERS)
    table = whole.table(key) or Config(f"{config.source}: {key}", {})
    said = {"architectures": config.values.get("architectures")}
    return Config(table.source, {"model_type": kind, **table.values, **said})


#: quick_gelu is x sigmoid(1.702 x), which is silu(1.702 x) / 1.702: the maps around it are scaled.
QUICK, SLOPE = "quick_gelu", 1.702


def text_stack(config: Config, attentions: Attentions) -> Stack:
    """Norms before and at the end, learned positions."""
    quick = config.values["hidden_act"] == QUICK
    own = layer_norm(config, "layer_norm_eps")
    hidden = FeedForward(
        config.size("hidden_size"),
        config.size("intermediate_size"),
        "silu" if quick else activation(config, "hidden_act"),
        bias_in=True,
        bias_out=True,
    )
    positions = config.size("max_position_embeddings")
    return stacked(config, pre_norm(own, hidden), attentions, positions=positions, norm=own)


def text_tensors(config: Config) -> Table:
    """Where a reader of texts has the tensors of its blocks."""
    layer, place = "encoder.layers.{layer}.", "embeddings."
    inner = feed_forward(f"{layer}mlp.fc1", f"{layer}mlp.fc2")
    if config.values["hidden_act"] == QUICK:
        scales = {"W_in": SLOPE, "b_in": SLOPE, "W_out": 1 / SLOPE}
        inner = {name: replace(how, scaled=scales.get(name, 1.0)) for name, how in inner.items()}
    return {
        "embedding": embedding(f"{place}token_embedding", positions=f"{place}position_embedding"),
        "layer.pre_attention_norm": norm(f"{layer}layer_norm1"),
        "layer.pre_feed_forward_norm": norm(f"{layer}layer_norm2"),
        "layer.feed_forward": inner,
        "norm": norm("final_layer_norm"),
    }


#: What stands beside the reader of texts in a file of both towers, or behind it.
OTHERS = ("vision_model.", "visual_projection.", "text_projection.", "logit_scale")
TEXT_MODEL = Model(
    stack=text_stack,
    tensors=text_tensors,
    heads=heads("CLIPText", Model=Head(ignored=OTHERS)),
    read={
        "max_position_embeddings": 77,
        "intermediate_size": 2048,
        "hidden_act": QUICK,
        "layer_norm_eps": 1e-5,
    },
    harmless=words("projection_dim"),
    fixed={"add_cross_attention": False},
    ignored=("embeddings.position_ids",),
)


def _tower(name: str, kind: str, keys: Keys, prefix: str, model: Model | str) -> Family:
    return Family(
        name=name,
        model_types=(kind,),
        keys=keys,
        describe=describe_text if keys is TEXT_KEYS else describe_vision,
        maps=Separate("q_proj", "k_proj", "v_proj", "out_proj"),
        place="encoder.layers.{layer}.self_attn.",
        prefixes=("", prefix),
        model=model,
    )


TEXT = _tower("CLIP, texts", "clip_text_model", TEXT_KEYS, "text_model.", TEXT_MODEL)
VISION = _tower(
    "CLIP, images", "clip_vision_model", VISION_KEYS, "vision_model.", PATCHES.format("CLIP")
)
