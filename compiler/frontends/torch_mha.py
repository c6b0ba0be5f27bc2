"""`torch.nn.MultiheadAttention`: as a state dict on disk, or as a live module."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from cortico.frontends.family import Attention
from cortico.frontends.maps import biases, by_heads, matrix_shapes
from cortico.frontends.state_dicts import HOOKS, TorchEntry
from cortico.frontends.tensors import Tensors
from cortico.frontends.torch_masks import read_mask
from cortico.ir.errors import SpecError, bullet_list
from cortico.spec import AttentionSpec, Bias

_FUSED, _SEPARATE = "in_proj_weight", ("q_proj_weight", "k_proj_weight", "v_proj_weight")
#: With `add_bias_kv`: a key and a value of all heads, (1, 1, embed_dim), that join the projected ones.
_EXTRA = ("bias_k", "bias_v")
#: What `nn.TransformerDecoderLayer` calls its two attentions; the second reads the encoder's output.
_DECODER_SELF, _DECODER_CROSS = "self_attn.", "multihead_attn."
#: Attributes of a subclass that leave alone what the module computes.
_COMPUTES_THE_SAME = {"__class__", "__init__", "__init_subclass__", "__repr__", "__subclasshook__"}
_COMPUTES_THE_SAME |= {"extra_repr", "_reset_parameters"}


def find_prefixes(tensors: Tensors, prefix: str | None) -> list[str]:
    """What stands before each attention's tensor names, in the order of layer numbers.

    `prefix` keeps those that begin with it. SpecError when two kinds of attention are left, such as
    the decoder's `self_attn` and `multihead_attn`: their layers have to be told apart by `prefix`.
    """
    ends = (_FUSED, _SEPARATE[0])
    found = {name[: -len(end)] for name in tensors for end in ends if name.endswith(end)}
    found = {p for p in found if p == "" or p.endswith(".")}
    kept = sorted((p for p in found if _begins(p, prefix)), key=_by_number)
    kinds = sorted({re.sub(r"\d+", "*", p) for p in kept})
    if len(kinds) > 1:
        raise SpecError(
            f"{tensors.source!r} holds several attentions: give a prefix{bullet_list(kept)}"
        )
    return kept


def read_state_dict(tensors: Tensors, heads: int | None, cross: bool | None = None) -> Attention:
    """The attention under the scope of `tensors`.

    Cross attention where `cross` says so, where projections are separate (a context of another width, `kdim`; with
    another `vdim` values have an input of their own), and in the `multihead_attn` of a `TransformerDecoderLayer`;
    else self-attention.
    `bias_k` and `bias_v` are an extra source token. A state dict does not say `add_zero_attn`.
    SpecError when `heads` is missing or does not divide.
    """
    width, context, values = _widths(tensors)
    if cross is False and context is not None:
        raise SpecError(f"{tensors.source!r}: keys come from another width: cross = False is wrong")
    in_bias, out_bias = (
        f"{tensors.scope}{n}" in tensors for n in ("in_proj_bias", "out_proj.bias")
    )
    spec = AttentionSpec(
        model=width,
        heads=_check_heads(tensors, heads, width),
        cross=context is not None or (_is_decoders(tensors) if cross is None else cross),
        context=context,
        values=values,
        bias=Bias(query=in_bias, key=in_bias, value=in_bias, output=out_bias),
        extra_source=any(f"{tensors.scope}{name}" in tensors for name in _EXTRA),
    )
    return spec, _take(spec, tensors, fused=context is None)


def _take(spec: AttentionSpec, tensors: Tensors, fused: bool) -> dict[str, np.ndarray]:
    """The weights: queries, keys and values as one matrix, or as three; their biases always as one."""
    shapes, width = matrix_shapes(spec), spec.model
    wanted: dict[str, tuple[int, ...]] = {"out_proj.weight": shapes["O"]}
    wanted |= {"in_proj_bias": (3 * width,)} if spec.bias.query else {}
    wanted |= {"out_proj.bias": (width,)} if spec.bias.output else {}
    separate = dict(zip(_SEPARATE, (shapes[m] for m in "QKV"), strict=True))
    wanted |= {_FUSED: (3 * width, width)} if fused else separate
    wanted |= dict.fromkeys(_EXTRA, (1, 1, width)) if spec.extra_source else {}
    found = tensors.take(wanted)
    matrices = np.split(found[_FUSED], 3) if fused else [found[name] for name in _SEPARATE]
    matrix_of = dict(zip("QKVO", [*matrices, found["out_proj.weight"]], strict=True))
    vectors = np.split(found["in_proj_bias"], 3) if spec.bias.query else []
    vectors += [found["out_proj.bias"]] if spec.bias.output else []
    weights = by_heads(spec, matrix_of, dict(zip(biases(spec), vectors, strict=True)))
    if spec.extra_source:
        key, value = (found[name].reshape(spec.heads, -1) for name in _EXTRA)
        weights |= {"extra_K": key, "extra_V": value}
    return weights


def _is_decoders(tensors: Tensors) -> bool:
    """Whether the scope is the cross attention of a decoder layer: its self-attention stands beside it."""
    place = tensors.scope.removesuffix(_DECODER_CROSS)
    beside = place + _DECODER_SELF
    return place != tensors.scope and any(name.startswith(beside) for name in tensors)


def from_module(
    module: Any,
    cross: bool | None = None,
    values: bool = False,
    mask: Any = "none",
    key_padding: bool = False,
) -> Attention:
    """The attention of a live `nn.MultiheadAttention`; float32 and float64 weights are shared.

    A module does not say what it is called with: `cross` (other keys than queries), `values` (others than keys),
    `mask` (`attn_mask`: "none", "causal", "input", or the tensor) and `key_padding` do. `batch_first` and `dropout` do not matter; `add_zero_attn` is a
    sink of logit 0. SpecError for any other module, for one whose computation was changed (a subclass with a
    `forward` of its own, hooks), for a mask that a spec cannot say, and for weights that are not on a device with
    memory.
    """
    torch = sys.modules.get("torch")  # without it there are no modules
    if torch is None or not isinstance(module, torch.nn.MultiheadAttention):
        raise SpecError(
            f"expected a torch.nn.MultiheadAttention, found {type(module).__name__}; "
            "of a larger module give the part, such as decoder.layers[0].multihead_attn with "
            "cross=True; save other models with save_pretrained and read the folder"
        )
    _refuse_changed(module, torch.nn.MultiheadAttention)
    entries = {name: TorchEntry(tensor) for name, tensor in module.state_dict().items()}
    tensors = Tensors(type(module).__name__, entries)
    spec, weights = read_state_dict(tensors, module.num_heads, cross)
    if module.add_zero_attn:  # a key of zeros scores 0, a value of zeros adds nothing
        spec = replace(spec, sink=True)
        weights["sink"] = np.zeros(spec.heads, weights["W_Q"].dtype)
    if values and spec.cross:
        spec = replace(spec, values=spec.d_values)
    elif values:
        raise SpecError(
            "values = True needs cross = True: keys and values are not the query tokens"
        )
    seen = read_mask(mask, spec)
    weights |= seen.weights
    return replace(spec, key_padding=key_padding, **seen.fields), weights


def _refuse_changed(module: Any, plain: type) -> None:
    """SpecError when calling the module may do something else than calling a `plain` one."""
    names = [n for n in dir(plain) if n not in _COMPUTES_THE_SAME and callable(getattr(plain, n))]
    own = [n for n in names if getattr(type(module), n) is not getattr(plain, n)]
    own += [n for n in names if n in vars(module)]
    if own:
        raise SpecError(
            f"{type(module).__name__} has its own {', '.join(own)}: it may compute something else "
            "than torch.nn.MultiheadAttention"
        )
    hooked = [name for name in HOOKS if getattr(module, name, None)]
    if hooked:
        raise SpecError(
            f"{type(module).__name__} has hooks ({', '.join(hooked)}): they may change what it "
            "computes; remove them"
        )


def _begins(found: str, prefix: str | None) -> bool:
    return prefix is None or found in (prefix, f"{prefix}.") or found.startswith(_with_dot(prefix))


def _with_dot(prefix: str) -> str:
    return prefix if prefix.endswith(".") or not prefix else f"{prefix}."


def _by_number(prefix: str) -> list[tuple[int, str]]:
    """Sort key that puts layer 10 after layer 9."""
    return [(int(part) if part.isdecimal() else -1, part) for part in prefix.split(".")]


def _widths(tensors: Tensors) -> tuple[int, int | None, int | None]:
    """Features of a query token, of a context token when projections are separate, and of other value tokens."""
    fused = tensors.entries.get(tensors.scope + _FUSED)
    if fused is not None:
        return _columns(tensors, _FUSED), None, None
    query, key, value = (_columns(tensors, name) for name in _SEPARATE)
    return query, key, value if value != key else None


def _columns(tensors: Tensors, name: str) -> int:
    full = tensors.scope + name
    if full not in tensors:
        raise SpecError(f"{tensors.source!r}: no tensor {full!r}")
    shape = tensors.shape(full)
    if len(shape) != 2 or 0 in shape:
        raise SpecError(f"{tensors.source!r}: tensor {full!r} has shape {shape}, expected a matrix")
    return shape[1]


def _check_heads(tensors: Tensors, heads: int | None, width: int) -> int:
    if heads is None:
        choices = ", ".join(str(n) for n in _divisors(width))
        raise SpecError(
            f"{tensors.source!r}: a torch state dict does not say how many heads it has: "
            f"give heads (embed_dim = {width} divides into {choices})"
        )
    if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1 or width % heads:
        raise SpecError(
            f"{tensors.source!r}: embed_dim = {width} does not divide into heads = {heads}"
        )
    return heads


def _divisors(width: int) -> Iterator[int]:
    return (n for n in range(1, min(width, 128) + 1) if width % n == 0)


def holds_one(tensors: Tensors) -> bool:
    """Whether any tensor is named as `nn.MultiheadAttention` names its input projection."""
    return any(name.endswith((_FUSED, _SEPARATE[0])) for name in tensors)
