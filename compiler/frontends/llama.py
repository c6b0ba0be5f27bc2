"""Llama, Mistral and Qwen2: grouped-query attention with rotary embedding, causal or windowed."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.family import Attention, Family
from cortico.frontends.layout import heads_of_columns, heads_of_rows, heads_of_vector
from cortico.frontends.rope import read_rope
from cortico.frontends.tensors import Tensors
from cortico.ir.errors import SpecError
from cortico.spec import AttentionSpec, Bias, Mask

_MISTRAL_WINDOW = 4096  #: tokens, where config.json does not mention `sliding_window` at all


def read(config: Config, tensors: Tensors, layer: int) -> Attention:
    """Causal self-attention with `o_proj`. Key/value head `h // (heads / kv_heads)` serves head h."""
    width, heads = config.size("hidden_size"), config.size("num_attention_heads")
    groups, features = _groups(config), _head_features(config)
    rotary, frequencies = read_rope(config, features)
    window = _window(config, layer)
    bias = _bias(config)
    spec = AttentionSpec(
        model=width,
        heads=heads,
        kv_heads=None if groups == heads else groups,
        key_features=features,
        mask=Mask.CAUSAL if window is None else Mask.WINDOW,
        window=window,
        bias=bias,
        rotary=rotary,
    )
    rows = {"q": heads * features, "k": groups * features, "v": groups * features}
    wanted: dict[str, tuple[int, ...]] = {f"{m}_proj.weight": (rows[m], width) for m in rows}
    wanted["o_proj.weight"] = (width, heads * features)
    wanted |= {f"{m}_proj.bias": (rows[m],) for m in rows if bias.query}
    wanted |= {"o_proj.bias": (width,)} if bias.output else {}
    found = tensors.take(wanted, ignored=("rotary_emb.inv_freq",))
    weights = {"W_O": heads_of_columns(found["o_proj.weight"], heads)}
    for m, count in (("q", heads), ("k", groups), ("v", groups)):
        weights[f"W_{m.upper()}"] = heads_of_rows(found[f"{m}_proj.weight"], count)
        if bias.query:
            weights[f"b_{m.upper()}"] = heads_of_vector(found[f"{m}_proj.bias"], count)
    if bias.output:
        weights["b_O"] = found["o_proj.bias"]
    if frequencies is not None:
        weights["rotary_frequencies"] = frequencies
    return spec, weights


def _groups(config: Config) -> int:
    """Key/value heads: as many as heads where config.json is silent; the shapes check it."""
    if config.optional_size("num_key_value_heads") is None:
        return config.size("num_attention_heads")
    config.divided("num_attention_heads", by="num_key_value_heads")
    return config.size("num_key_value_heads")


def _head_features(config: Config) -> int:
    given = config.optional_size("head_dim")
    return given or config.divided("hidden_size", by="num_attention_heads")


def _bias(config: Config) -> Bias:
    if config.text("model_type") == "qwen2":
        return Bias(query=True, key=True, value=True)
    every = config.text("model_type") == "llama" and config.flag("attention_bias", False)
    return Bias(query=every, key=every, value=every, output=every)


def _window(config: Config, layer: int) -> int | None:
    """Width of the layer's sliding window in tokens, or None."""
    kind = config.text("model_type")
    if kind == "mistral":
        silent = "sliding_window" not in config.values
        return _MISTRAL_WINDOW if silent else config.optional_size("sliding_window")
    if kind == "qwen2" and config.flag("use_sliding_window", False) and _slides(config, layer):
        return config.optional_size("sliding_window")
    return None


def _slides(config: Config, layer: int) -> bool:
    """Whether Qwen2's layer is a windowed one: `layer_types` says so, or it is a late layer."""
    types = config.values.get("layer_types")
    if types is None:
        first = config.values.get("max_window_layers", 28)
        if isinstance(first, bool) or not isinstance(first, int):
            raise config.wrong("max_window_layers", "an integer")
        return layer >= first
    if not isinstance(types, list) or len(types) != config.size("num_hidden_layers"):
        raise config.wrong("layer_types", "a list with one entry per layer")
    if types[layer] not in ("full_attention", "sliding_attention"):
        raise SpecError(
            f"{config.source}: layer_types[{layer}] must be full_attention or sliding_attention, "
            f"found {types[layer]!r}"
        )
    return bool(types[layer] == "sliding_attention")


FAMILY = Family(
    name="Llama",
    model_types=("llama", "mistral", "qwen2"),
    layers="num_hidden_layers",
    attention="layers.{layer}.self_attn.",
    prefixes=("", "model."),
    read=read,
)
