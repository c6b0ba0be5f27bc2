"""What the keys of a GGUF file say of attention, for each architecture that is read.

Keys mean what they mean to llama.cpp (src/llama-model.cpp); the families are those of config.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cortico.frontends.config import Config
from cortico.frontends.families import gemma, gemma2, gemma3, llama, qwen2, qwen3
from cortico.frontends.families.options import LAYER_TYPES
from cortico.frontends.family import Attention, Family
from cortico.frontends.keys import Keys, words
from cortico.frontends.maps import Separate
from cortico.frontends.tensors import Tensors
from cortico.ir.errors import SpecError, shown
from cortico.spec import AttentionSpec
from cortico.spec.weights import rotary_frequencies

#: Keys that attention depends on, under the name of the architecture, and what a file without means.
_READ: Mapping[str, Any] = {
    "block_count": None,
    "context_length": None,
    "embedding_length": None,
    "attention.head_count": None,
    "attention.head_count_kv": None,
    "attention.key_length": None,
    "attention.value_length": None,
    "attention.causal": True,
    "rope.dimension_count": None,
    "rope.freq_base": 10000.0,
    "rope.scaling.type": None,
    "rope.scaling.factor": None,
    "rope.scaling.original_context_length": None,
    "rope.scaling.yarn_beta_fast": None,
    "rope.scaling.yarn_beta_slow": None,
}
EPS = "attention.layer_norm_rms_epsilon"
_WINDOW, _PERIOD = "attention.sliding_window", "attention.sliding_window_pattern"
_HARMLESS = words(
    f"vocab_size feed_forward_length {EPS} attention.layer_norm_epsilon "
    "expert_count expert_used_count expert_feed_forward_length rope.scaling.finetuned pooling_type"
)
_FIXED = {
    "tensor_data_layout": "Meta AI original pth",
    _WINDOW: 0,  # llama.cpp does not heed it in these architectures
    "rope.scaling.attn_factor": 1.0,
    "rope.scaling.yarn_attn_factor": 1.0,
    "rope.scaling.yarn_ext_factor": 1.0,
}
#: Keys of every file; those that begin so are of texts, of who made the file, and of how.
_ABOUT = ("general.", "tokenizer.", "quantize.")
_FIXED_FOR_ALL = {"general.type": "model", "general.quantization_version": 2, "split.count": 1}
_HARMLESS_FOR_ALL = words("split.no split.tensors.count")

_FREQUENCIES = "rope_freqs.weight"
_LONG = ("rope_factors_long.weight", "rope_factors_short.weight")


class Paired(Separate):
    """`Separate`, but that features of queries and keys which turn as a pair stand side by side.

    So llama.cpp stores what transformers stores in halves, features p and p + d/2 as a pair.
    """

    def take(
        self, spec: AttentionSpec, tensors: Tensors, ignored: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        weights = super().take(spec, tensors, ignored)
        turned = [name for name in ("W_Q", "W_K", "b_Q", "b_K") if name in weights]
        return weights | {name: in_halves(weights[name]) for name in turned}


def in_halves(array: np.ndarray) -> np.ndarray:
    """(H, d, …) with features 0, 1, 2, … of a head reordered: 0, 2, 4, …, then 1, 3, 5, …"""
    pairs = array.reshape(array.shape[0], -1, 2, *array.shape[2:])
    return pairs.swapaxes(1, 2).reshape(array.shape)


@dataclass(frozen=True)
class Named:
    """The keys of one architecture, with its name left out."""

    name: str
    config: Config

    def full(self, key: str) -> str:
        return f"{self.name}.{key}"

    def get(self, key: str) -> Any:
        return self.config.values[self.full(key)]

    def size(self, key: str) -> int:
        return self.config.size(self.full(key))

    def number(self, key: str) -> float:
        return self.config.number(self.full(key))

    def optional_size(self, key: str) -> int | None:
        return self.config.optional_size(self.full(key))

    def same(self, key: str, usual: int, expected: int, of: str) -> None:
        """SpecError when the size at `key`, or what it is without, is not `expected`."""
        found = self.optional_size(key)
        if (usual if found is None else found) != expected:
            raise self.config.wrong(self.full(key), f"{expected}, as {self.full(of)} says")


@dataclass(frozen=True)
class Architecture:
    """A family, and how llama.cpp stores it."""

    family: Family
    paired: bool = False  #: pairs of rotating features stand side by side
    divides: bool = False  #: `rope_freqs.weight` divides the frequencies
    read: Mapping[str, Any] = field(
        default_factory=dict
    )  #: keys beside those of all, with defaults
    harmless: frozenset[str] = frozenset()  #: keys beside those of all
    more: Callable[[Named], Mapping[str, Any]] = lambda keys: {}  #: what these say, as config.json
    others: Mapping[str, str] = field(default_factory=dict)  #: weights that are vectors
    ignored: tuple[str, ...] = ()  #: beginnings of tensors, beside those of all


def _eps(keys: Named) -> dict[str, Any]:
    return {"rms_norm_eps": keys.number(EPS)}


def _gemma(keys: Named, larger: int, window: int | None) -> dict[str, Any]:
    """Scale and windows of Gemma 2 and 3, of which the model with `larger` layers has another scale.

    Without a window all layers see all, else the last of every `sliding_window_pattern` layers does.
    """
    model, heads, count = (
        keys.size(key) for key in ("embedding_length", "attention.head_count", "block_count")
    )
    other = None if count == larger else keys.optional_size("attention.key_length")
    period = keys.size(_PERIOD)
    if window is not None and not keys.config.flag(keys.full("attention.causal")):
        # llama.cpp then hides what is far before a token, and nothing behind it
        raise keys.config.wrong(keys.full("attention.causal"), "true beside a window")
    slides = [window is not None and layer % period < period - 1 for layer in range(count)]
    return {
        "query_pre_attn_scalar": other or model // heads,
        "sliding_window": window,
        "layer_types": [LAYER_TYPES[each] for each in slides],
    }


def _gemma2(keys: Named) -> dict[str, Any]:
    cap, window = keys.number("attn_logit_softcapping"), keys.size(_WINDOW)
    return {"attn_logit_softcapping": cap, **_gemma(keys, 46, window)}


def _gemma3(keys: Named) -> dict[str, Any]:
    """Layers that slide turn by a base of their own, and are not scaled."""
    if keys.get("rope.scaling.type") is not None:  # llama.cpp bends their frequencies by YaRN, too
        keys.config.choice(keys.full("rope.scaling.type"), "none", "linear")
    window = None if keys.get(_WINDOW) in (None, 0) else keys.size(_WINDOW)
    bases = (_rope(keys), {"rope_theta": keys.number("rope.freq_base_swa")})
    return {
        **_eps(keys),
        **_gemma(keys, 62, window),
        "rope_parameters": dict(zip(LAYER_TYPES, bases, strict=True)),
    }


_SOFT_CAPS = words("final_logit_softcapping")
_GAINS = {"gain_Q": "attn_q_norm.weight", "gain_K": "attn_k_norm.weight"}
_POST_NORMS = ("post_attention_norm.", "post_ffw_norm.")

#: By `general.architecture`. What is called llama there is Mistral and Mixtral, too. The converter has
#: added Gemma's 1 to the gains.
ARCHITECTURES = {
    "llama": Architecture(llama.FAMILY, paired=True, divides=True),
    "qwen2": Architecture(qwen2.FAMILY),
    "qwen3": Architecture(qwen3.FAMILY, read={EPS: None}, more=_eps, others=_GAINS),
    "gemma": Architecture(gemma.FAMILY),
    "gemma2": Architecture(
        gemma2.FAMILY,
        read={
            "attn_logit_softcapping": 50.0,
            _WINDOW: 4096,
            _PERIOD: 2,
        },
        harmless=_SOFT_CAPS,
        more=_gemma2,
        ignored=_POST_NORMS,
    ),
    "gemma3": Architecture(
        gemma3.FAMILY,
        read={
            EPS: None,
            _WINDOW: None,
            _PERIOD: 6,
            "rope.freq_base_swa": 10000.0,
        },
        harmless=_SOFT_CAPS,
        more=_gemma3,
        others=_GAINS,
        ignored=_POST_NORMS,
    ),
}


def family_of_file(config: Config, tensors: Tensors) -> Family:
    """The family that reads this file. SpecError for an architecture that is not supported."""
    name = config.values.get("general.architecture")
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise SpecError(
            f"{config.source}: general.architecture {shown(name)} is not supported in GGUF files; "
            f"supported: {', '.join(ARCHITECTURES)}"
        )
    kind = ARCHITECTURES[name]
    names = ("attn_q", "attn_k", "attn_v", "attn_output")

    def describe(resolved: Config, layer: int) -> Attention:
        return _describe(kind, Named(name, resolved), tensors, layer)

    return Family(
        name=f"{kind.family.name}, GGUF",
        model_types=(),
        keys=_keys(name, kind, config.values),
        describe=describe,
        maps=Paired(*names) if kind.paired else Separate(*names),
        place="blk.{layer}.",
        ignored=("attn_norm.", "ffn_", *kind.ignored),
        others=kind.others,
        layers=f"{name}.block_count",
    )


def _keys(name: str, kind: Architecture, given: Mapping[str, Any]) -> Keys:
    """Of this architecture: full names. Keys about the file as a whole are harmless, but for a few."""
    read = {**_READ, **kind.read}
    fixed = {f"{name}.{k}": value for k, value in _FIXED.items() if k not in read} | _FIXED_FOR_ALL
    about = {key for key in given if key.startswith(_ABOUT) and key not in fixed}
    harmless = (_HARMLESS | kind.harmless) - read.keys()
    return Keys(
        read={f"{name}.{key}": value for key, value in read.items()},
        harmless=frozenset(about | {f"{name}.{key}" for key in harmless} | _HARMLESS_FOR_ALL),
        fixed=fixed,
    )


def values_of_attention(
    kind: Architecture, keys: Named, tensors: Tensors, layer: int
) -> dict[str, Any]:
    """What the keys say of a layer's attention, under the names of config.json."""
    values = {**_sizes(keys), "rope_parameters": _rope(keys), **kind.more(keys)}
    if "attention_bias" in kind.family.keys.read:
        values["attention_bias"] = f"blk.{layer}.attn_q.bias" in tensors
    return values


def _describe(kind: Architecture, keys: Named, tensors: Tensors, layer: int) -> Attention:
    values = values_of_attention(kind, keys, tensors, layer)
    config = kind.family.keys.resolve(Config(keys.config.source, values))
    spec, computed = kind.family.describe(config, layer)
    return spec, computed | _divided(kind, spec, computed, tensors)


def _sizes(keys: Named) -> dict[str, Any]:
    """Under the names of config.json."""
    heads, model = keys.size("attention.head_count"), keys.size("embedding_length")
    given = keys.optional_size("attention.key_length")
    features = given or keys.config.divided(
        keys.full("embedding_length"), by=keys.full("attention.head_count")
    )
    keys.same("attention.value_length", model // heads, features, "attention.key_length")
    keys.same("rope.dimension_count", features, features, "attention.key_length")
    return {
        "hidden_size": model,
        "num_hidden_layers": keys.size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": keys.optional_size("attention.head_count_kv") or heads,
        "head_dim": features,
        "max_position_embeddings": keys.size("context_length"),
        "is_causal": keys.config.flag(keys.full("attention.causal")),
    }


def _rope(keys: Named) -> dict[str, Any]:
    """As transformers' rope_parameters. Scaling by a factor is linear where no type is given."""
    kind, factor = keys.get("rope.scaling.type"), keys.get("rope.scaling.factor")
    if kind is not None:
        keys.config.choice(keys.full("rope.scaling.type"), "none", "linear", "yarn")
    usual = "default" if factor is None else "linear"
    table = {
        "rope_type": {"none": "default", None: usual}.get(kind, kind),
        "rope_theta": keys.number("rope.freq_base"),
        "factor": factor,
        "original_max_position_embeddings": keys.get("rope.scaling.original_context_length"),
        "beta_fast": keys.get("rope.scaling.yarn_beta_fast"),
        "beta_slow": keys.get("rope.scaling.yarn_beta_slow"),
    }
    return {name: value for name, value in table.items() if value is not None}


def _divided(
    kind: Architecture, spec: AttentionSpec, computed: Mapping[str, np.ndarray], tensors: Tensors
) -> dict[str, np.ndarray]:
    """Frequencies divided by the file's factors, which is how GGUF has Llama 3's."""
    for name in (*_LONG, *(() if kind.divides else (_FREQUENCIES,))):
        if name in tensors:
            raise SpecError(
                f"{tensors.source!r}: tensor {name!r} turns queries and keys, which is not supported "
                f"in {kind.family.name}"
            )
    if _FREQUENCIES not in tensors:
        return {}
    usual = computed.get("rotary_frequencies", rotary_frequencies(spec))
    factors = tensors.take({_FREQUENCIES: usual.shape}, ignored=("",))[_FREQUENCIES]
    if not (np.isfinite(factors).all() and (factors > 0).all()):
        raise SpecError(f"{tensors.source!r}: {_FREQUENCIES!r} must hold positive finite numbers")
    return {"rotary_frequencies": usual / factors.astype(np.float64)}
