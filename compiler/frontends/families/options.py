"""What the config.json of several families say in the same words, as fields of an `AttentionSpec`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cortico.frontends.config import Config
from cortico.frontends.family import Attention
from cortico.frontends.rope import EVERY_ROPE, read_rope
from cortico.spec import (
    AttentionSpec,
    Bias,
    Mask,
    NormKind,
    NormOver,
    QueryKeyNorm,
    RotaryStyle,
)

EVERY_BIAS = Bias(query=True, key=True, value=True, output=True)

#: The vectors of such norms.
GAINS = {"gain_Q": "q_norm.weight", "gain_K": "k_norm.weight"}

#: What `layer_types` may say: that a layer sees all before it, or what is in a window.
LAYER_TYPES = ("full_attention", "sliding_attention")


def causal(config: Config, window: int | None = None) -> dict[str, Any]:
    """The mask of a decoder. With `is_causal: false` it sees all tokens, as an encoder does.

    Then a window is to both sides, and has so many tokens beside the query's own (masking_utils.py of
    transformers: distance <= sliding_window); a causal one counts that, too.
    """
    if config.flag("is_causal"):
        return {"mask": Mask.CAUSAL if window is None else Mask.WINDOW, "window": window}
    return bidirectional(None if window is None else window + 1)


def causal_if_decoder(config: Config) -> dict[str, Any]:
    """The mask of a model that is an encoder or, by `is_decoder`, a decoder.

    SpecError for an encoder with `is_causal: true`: transformers makes it causal where it calls
    `scaled_dot_product_attention` without padding, and not where it computes attention itself.
    """
    said = config.values["is_causal"]
    if config.flag("is_decoder"):
        return causal(Config(config.source, {"is_causal": said is None or said}))
    if said not in (None, False):
        raise config.wrong("is_causal", "false, or is_decoder true")
    return bidirectional()


def bidirectional(window: int | None = None) -> dict[str, Any]:
    """The mask of an encoder. It runs on padded batches, and gets the run-time input `keep`.

    With `window` each token sees those that are less than that away.
    """
    mask = Mask.NONE if window is None else Mask.BIDIRECTIONAL_WINDOW
    return {"mask": mask, "window": window, "key_padding": True}


def groups(config: Config) -> int | None:
    """Key/value heads, None for as many as heads."""
    if config.optional_size("num_key_value_heads") is None:
        return None
    config.divided("num_attention_heads", by="num_key_value_heads")
    found = config.size("num_key_value_heads")
    return None if found == config.size("num_attention_heads") else found


def head_features(config: Config) -> int:
    """Features of a head: `head_dim`, or what the heads divide `hidden_size` into."""
    given = config.optional_size("head_dim")
    return given or config.divided("hidden_size", by="num_attention_heads")


def all_or_none(biased: bool) -> Bias:
    """Which maps have a bias where one key says it of all four."""
    return EVERY_BIAS if biased else Bias()


def rotary_decoder(
    config: Config,
    bias: Bias,
    window: int | None = None,
    style: RotaryStyle = RotaryStyle.HALF_SPLIT,
    partial: bool = False,
    scale: float | None = None,
    kinds: tuple[str, ...] = EVERY_ROPE,
) -> Attention:
    """Grouped queries, rotary embedding, causal or windowed: Llama and what is made like it.

    Key/value head `h // (heads / key/value heads)` serves head h. `partial` and `kinds` as in `read_rope`.
    """
    features = head_features(config)
    rope = read_rope(config, features, style, partial, kinds)
    usual = features**-0.5 if scale is None else scale
    spec = AttentionSpec(
        model=config.size("hidden_size"),
        heads=config.size("num_attention_heads"),
        kv_heads=groups(config),
        key_features=features,
        bias=bias,
        rotary=rope.rotary,
        scale=scale if rope.factor == 1 else usual * rope.factor**2,
        tokens=rope.tokens or "n",
        **causal(config, window),
    )
    return spec, rope.weights


def normed(attention: Attention, config: Config, over: NormOver = NormOver.HEAD) -> Attention:
    """The same with an RMS norm of queries and keys."""
    spec, weights = attention
    return replace(spec, qk_norm=QueryKeyNorm(over, config.number("rms_norm_eps"))), weights


def layer_normed(
    attention: Attention, config: Config, key: str, own_gains: bool = False, bias: bool = False
) -> Attention:
    """The same with a layer norm of each query and key, where the flag at `key` says so."""
    spec, weights = attention
    if not config.flag(key):
        return attention
    eps = config.number("layer_norm_eps")
    norm = QueryKeyNorm(eps=eps, kind=NormKind.LAYER, own_gains=own_gains, bias=bias)
    return replace(spec, qk_norm=norm), weights


def encoder(config: Config, bias: Bias = EVERY_BIAS, padded: bool = True) -> Attention:
    """All tokens see all. `padded`: it runs on batches of texts, and gets the input `keep`."""
    config.divided("hidden_size", by="num_attention_heads")
    spec = AttentionSpec(
        model=config.size("hidden_size"),
        heads=config.size("num_attention_heads"),
        bias=bias,
        key_padding=padded,
    )
    return spec, {}


def layer_kind(config: Config, layer: int, slides: bool) -> str:
    """What `layer_types` calls a layer, or what it would where there is no such list."""
    said = config.for_layer("layer_types", layer, "num_hidden_layers", *LAYER_TYPES)
    return said or LAYER_TYPES[slides]


def window_of(config: Config, layer: int, slides: bool) -> int | None:
    """Tokens that a layer sees, its own included; None for all before it.

    `layer_types` says whether a layer slides, `slides` where there is no such list.
    """
    kind = layer_kind(config, layer, slides)
    window = config.optional_size("sliding_window")
    if kind == "full_attention":
        return None
    if window is None and config.values["layer_types"] is not None:
        raise config.wrong("sliding_window", f"the window of layer_types[{layer}]")
    return window
