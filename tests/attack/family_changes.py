"""Changes of checkpoints after which many are still valid: of their config, of the names and places of their tensors.

Each takes what it changes and a `Random`, and says what it did.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from random import Random
from typing import Any

import torch

_WHOLE = (0, 1, 2, 3, 4, 5, 6, 8, 12, 24, -1, 7, 48, 65536, 2**31, 2**63, 10**30)
_PARTS = (
    0.0,
    0.25,
    0.5,
    1.0,
    1.5,
    2.0,
    10.0,
    1e-6,
    1e-12,
    1e6,
    -1.0,
    1e308,
    float("nan"),
    float("inf"),
)
_TEXTS = (
    "",
    "none",
    "relative_key",
    "gelu",
    "eager",
    "true",
    "8",
    "absolute",
    "x" * 3000,
    "\ud800",
)
_OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [1, 2], {"a": 1}, "8", 8, 0.5)
_KINDS = ("full_attention", "sliding_attention", "chunked_attention", "linear_attention")
_ROPES = (
    "default",
    "linear",
    "llama3",
    "yarn",
    "dynamic",
    "longrope",
    "proportional",
    "su",
    "mrope",
)
_ROPE_KEYS = (
    *("rope_type", "type", "rope_theta", "factor", "low_freq_factor", "high_freq_factor"),
    *("original_max_position_embeddings", "beta_fast", "beta_slow", "attention_factor", "mscale"),
    *("mscale_all_dim", "truncate", "partial_rotary_factor", "long_factor", "short_factor"),
)
#: Keys that many families know, and what matters to attention under names that none of these has.
_ALIEN = (
    *(
        "head_dim",
        "num_key_value_heads",
        "sliding_window",
        "layer_types",
        "rope_theta",
        "rope_scaling",
    ),
    *(
        "rope_parameters",
        "is_causal",
        "is_decoder",
        "attention_bias",
        "use_sliding_window",
        "qkv_bias",
    ),
    *("max_window_layers", "attn_logit_softcapping", "query_pre_attn_scalar", "rms_norm_eps"),
    *(
        "alibi",
        "use_alibi",
        "multi_query",
        "num_attention_heads",
        "attention_dropout",
        "use_qk_norm",
    ),
    *("qk_layernorm", "attention_multiplier", "add_cross_attention", "logit_scale", "window_size"),
    *(
        "partial_rotary_factor",
        "rotary_dim",
        "rotary_pct",
        "scale_attn_weights",
        "cache_implementation",
    ),
    *(
        "attention_chunk_size",
        "clip_qkv",
        "qk_norm",
        "dtype",
        "torch_dtype",
        "_attn_implementation",
    ),
)

Values = dict[str, Any]


# ---- config.json -----------------------------------------------------------------------------------


def config(values: Values, random: Random, known: list[str], types: list[str]) -> str:
    """A key changes, goes, or comes."""
    change = random.choice((_changed, _changed, _changed, _added, _added, _gone, _rope, _type))
    return change(values, random, known, types)


def _changed(values: Values, random: Random, known: list[str], types: list[str]) -> str:
    key = random.choice(sorted(values))
    values[key] = other(values[key], random)
    return f"{key} = {str(values[key])[:60]}"


def _added(values: Values, random: Random, known: list[str], types: list[str]) -> str:
    key = random.choice((*known, *_ALIEN))
    usual: Any = random.choice((1, 2, 0.5, True, 3, None))
    if key == "layer_types":
        usual = random.choices(_KINDS[:2], k=random.choice((2, 2, 2, 3)))
    elif key.startswith("rope_") and not key.endswith("theta"):
        usual = {"rope_type": "linear", "factor": 2.0, "rope_theta": 30.0}
    values[key] = usual if random.random() < 0.5 else other(values.get(key, usual), random)
    return f"{key} = {str(values[key])[:60]}"


def _gone(values: Values, random: Random, known: list[str], types: list[str]) -> str:
    key = random.choice(sorted(values))
    del values[key]
    return f"without {key}"


def _rope(values: Values, random: Random, known: list[str], types: list[str]) -> str:
    name = random.choice(("rope_parameters", "rope_scaling"))
    table = values.get(name)
    table = dict(table) if isinstance(table, dict) and random.random() < 0.7 else {}
    table.setdefault(random.choice(("rope_type", "type")), random.choice(_ROPES[:4]))
    for key in random.sample(_ROPE_KEYS, random.choice((1, 2, 3))):
        table[key] = random.choice((*_PARTS[1:6], *_WHOLE[1:9], *_OTHERS[:4]))
        if key.endswith("type"):
            table[key] = random.choice(_ROPES)
    values[name] = table
    return f"{name} = {str(table)[:200]}"


def _type(values: Values, random: Random, known: list[str], types: list[str]) -> str:
    """Of another family."""
    values["model_type"] = random.choice(types)
    return f"model_type = {values['model_type']}"


def other(value: Any, random: Random) -> Any:
    """Another value, most often of the same kind."""
    if random.random() < 0.1:
        return random.choice(_OTHERS)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        near = (value + 1, value - 1, value * 2, value // 2, float(value))
        return random.choice((*_WHOLE, *near))
    if isinstance(value, float):
        return random.choice((*_PARTS, value * 2, value / 2, int(value) if abs(value) < 1e9 else 1))
    if isinstance(value, str):
        return random.choice((*_TEXTS, value.upper(), value[:-1], *_KINDS, *_ROPES))
    if isinstance(value, list):
        return _other_list(value, random)
    if isinstance(value, dict) and value:
        key = random.choice(sorted(value))
        return {**value, key: other(value[key], random)}
    return random.choice((*_WHOLE[:10], *_PARTS[:6], *_OTHERS))


def _other_list(value: list[Any], random: Random) -> list[Any]:
    new = list(value)
    choice = random.randrange(4)
    if choice == 0 or not new:
        new.append(random.choice((*_KINDS, 1)))
    elif choice == 1:
        new.pop()
    elif choice == 2:
        new.reverse()
    else:
        place = random.randrange(len(new))
        new[place] = (
            random.choice(_KINDS) if isinstance(new[place], str) else other(new[place], random)
        )
    return new


# ---- safetensors -------------------------------------------------------------------------------------


def header(content: bytes, random: Random) -> tuple[bytes, str]:
    """A safetensors file of which an entry of the header is another."""
    size = int.from_bytes(content[:8], "little")
    entries, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    name, second = random.sample([n for n in sorted(entries) if n != "__metadata__"], 2)
    done = random.choice(_HEADER)(entries, name, second, random)
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data, f"{done} of {name}"


def _swapped(entries: Values, name: str, second: str, random: Random) -> str:
    """Two tensors of one size change places."""
    alike = [
        n for n in entries if n != "__metadata__" and entries[n]["shape"] == entries[name]["shape"]
    ]
    second = random.choice(alike)
    entries[name], entries[second] = entries[second], entries[name]
    return f"{second} in place"


def _renamed(entries: Values, name: str, second: str, random: Random) -> str:
    parts = name.split(".")
    place = random.randrange(len(parts))
    parts[place] = random.choice(
        (*second.split("."), "bias", "0", "3", "", "lora_A", parts[place] + "_")
    )
    new = ".".join(parts) if random.random() < 0.7 else random.choice(("model.", "module.")) + name
    entries[new] = entries.pop(name)
    return f"name {new}"


def _retyped(entries: Values, name: str, second: str, random: Random) -> str:
    kind = random.choice(("I32", "F16", "BF16", "U8", "F8_E4M3", "I64", "F64", "C64", "F4", "X"))
    entries[name]["dtype"] = kind
    width = {"I32": 4, "F16": 2, "BF16": 2, "U8": 1, "F8_E4M3": 1, "I64": 8, "F64": 8}.get(kind, 4)
    if random.random() < 0.7 and entries[name]["shape"]:
        entries[name]["shape"][-1] = entries[name]["shape"][-1] * 4 // width
    return f"type {kind}"


def _reshaped(entries: Values, name: str, second: str, random: Random) -> str:
    shape = entries[name]["shape"]
    if random.random() < 0.5:
        shape.reverse()
    else:
        entries[name]["shape"] = random.choice(
            ([1, *shape], [*shape, 1], shape[:-1], [-1], [2**63, 2])
        )
    return f"shape {entries[name]['shape']}"


def _moved(entries: Values, name: str, second: str, random: Random) -> str:
    offsets = entries[name]["data_offsets"]
    entries[name]["data_offsets"] = random.choice(
        (
            entries[second]["data_offsets"],
            offsets[::-1],
            [offsets[0] + 4, offsets[1] + 4],
            [0, 2**63],
        )
    )
    return "place"


def _left_out(entries: Values, name: str, second: str, random: Random) -> str:
    del entries[name]
    return "loss"


_HEADER: tuple[Callable[[Values, str, str, Random], str], ...] = (
    *(_swapped, _swapped, _renamed, _renamed, _retyped, _reshaped, _moved, _left_out),
)


# ---- state dicts of torch -----------------------------------------------------------------------------


def state_dict(content: bytes, random: Random) -> tuple[bytes, str]:
    """A file of torch of which a tensor is stored in another way, or is another; still made by `torch.save`."""
    found = torch.load(io.BytesIO(content), weights_only=True)
    if not isinstance(found, dict) or len(found) < 2:
        return content, "nothing"
    name, second = random.sample(sorted(found), 2)
    tensor = found[name]
    if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided:
        return content, "nothing"
    ways: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("columns first", lambda: tensor.t().contiguous().t() if tensor.ndim == 2 else tensor),
        ("turned", lambda: tensor.t() if tensor.ndim == 2 else tensor),
        ("a part of a larger one", lambda: torch.cat([tensor, tensor + 1])[: len(tensor)]),
        ("one number for all", lambda: tensor.flatten()[:1].expand(tensor.numel()).view_as(tensor)),
        ("a parameter", lambda: torch.nn.Parameter(tensor)),
        ("half", tensor.half),
        ("bfloat16", tensor.bfloat16),
        ("double", tensor.double),
        ("whole numbers", tensor.int),
        ("complex", lambda: tensor.to(torch.complex64)),
        ("conjugate", lambda: tensor.to(torch.complex64).conj()),
        ("negated as a view", lambda: torch._neg_view(tensor)),
        ("sparse", tensor.to_sparse),
        ("as of another", lambda: found[second]),
        ("no tensor", lambda: random.choice((None, 1.0, [tensor], {"a": tensor}, "x"))),
    )
    done, make = random.choice(ways)
    found[name] = make()
    whole: Any = found
    if random.random() < 0.1:
        whole, done = random.choice(
            (
                ({"state_dict": found}, "in a dict"),
                (list(found.items()), "a list"),
                (found[name], "alone"),
            )
        )
    file = io.BytesIO()
    torch.save(whole, file, _use_new_zipfile_serialization=random.random() < 0.7)
    return file.getvalue(), f"{name}: {done}"
