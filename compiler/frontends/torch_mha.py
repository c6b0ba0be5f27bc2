"""`torch.nn.MultiheadAttention`: as a state dict in safetensors, or as a live module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortico.frontends.family import Attention
from cortico.frontends.layout import heads_of_columns, heads_of_rows, heads_of_vector
from cortico.frontends.tensors import Tensors
from cortico.ir.errors import SpecError, bullet_list
from cortico.spec import AttentionSpec, Bias

_FUSED, _SEPARATE = "in_proj_weight", ("q_proj_weight", "k_proj_weight", "v_proj_weight")
_DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}


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


def read_state_dict(tensors: Tensors, heads: int | None) -> Attention:
    """The attention under the scope of `tensors`.

    Separate projections are for contexts of another width (`kdim` = `vdim`): cross attention.
    SpecError when `heads` is missing or does not divide, and for `bias_k`, `bias_v`, kdim ≠ vdim.
    """
    _refuse_extra_keys(tensors)
    width, context = _widths(tensors)
    heads = _check_heads(tensors, heads, width)
    in_bias, out_bias = (
        f"{tensors.scope}{n}" in tensors for n in ("in_proj_bias", "out_proj.bias")
    )
    wanted: dict[str, tuple[int, ...]] = {"out_proj.weight": (width, width)}
    wanted |= {"in_proj_bias": (3 * width,)} if in_bias else {}
    wanted |= {"out_proj.bias": (width,)} if out_bias else {}
    if context is None:
        wanted[_FUSED] = (3 * width, width)
    else:
        wanted |= dict(zip(_SEPARATE, [(width, width)] + [(width, context)] * 2, strict=True))
    found = tensors.take(wanted)
    matrices = np.split(found[_FUSED], 3) if context is None else [found[n] for n in _SEPARATE]
    weights = {f"W_{m}": heads_of_rows(w, heads) for m, w in zip("QKV", matrices, strict=True)}
    weights["W_O"] = heads_of_columns(found["out_proj.weight"], heads)
    if in_bias:
        parts = zip("QKV", np.split(found["in_proj_bias"], 3), strict=True)
        weights |= {f"b_{m}": heads_of_vector(part, heads) for m, part in parts}
    if out_bias:
        weights["b_O"] = found["out_proj.bias"]
    spec = AttentionSpec(
        model=width,
        heads=heads,
        cross=context is not None,
        context=context,
        bias=Bias(query=in_bias, key=in_bias, value=in_bias, output=out_bias),
    )
    return spec, weights


def from_module(module: Any) -> Attention:
    """The attention of a live `nn.MultiheadAttention`; float32 and float64 weights are shared.

    `batch_first` and `dropout` do not matter. SpecError for any other module, for `add_zero_attn`,
    and for weights that are not on a device with memory.
    """
    if not all(hasattr(module, name) for name in ("num_heads", "in_proj_weight", "state_dict")):
        raise SpecError(
            f"expected a torch.nn.MultiheadAttention, found {type(module).__name__}; "
            "save other models with save_pretrained and read the folder"
        )
    if getattr(module, "add_zero_attn", False):
        raise SpecError(
            "add_zero_attn = True is not supported: a zero key and value join the source"
        )
    entries = {name: _LiveEntry(tensor) for name, tensor in module.state_dict().items()}
    source = type(module).__name__
    return read_state_dict(Tensors(source, entries), module.num_heads)


@dataclass(frozen=True)
class _LiveEntry:
    """A torch tensor in memory."""

    tensor: Any

    @property
    def dtype(self) -> str:
        name = str(self.tensor.dtype).removeprefix("torch.")
        return _DTYPES.get(name, name)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    def load(self) -> np.ndarray:
        if self.tensor.is_meta:
            raise SpecError("the module is on the meta device: it has shapes and no weights")
        tensor = self.tensor.detach().cpu()
        array: np.ndarray = (tensor if self.dtype in ("F32", "F64") else tensor.float()).numpy()
        return array


def _begins(found: str, prefix: str | None) -> bool:
    return prefix is None or found in (prefix, f"{prefix}.") or found.startswith(_with_dot(prefix))


def _with_dot(prefix: str) -> str:
    return prefix if prefix.endswith(".") or not prefix else f"{prefix}."


def _by_number(prefix: str) -> list[tuple[int, str]]:
    """Sort key that puts layer 10 after layer 9."""
    return [(int(part) if part.isdecimal() else -1, part) for part in prefix.split(".")]


def _refuse_extra_keys(tensors: Tensors) -> None:
    extra = [name for name in ("bias_k", "bias_v") if tensors.scope + name in tensors]
    if extra:
        raise SpecError(
            f"{tensors.source!r}: {' and '.join(extra)} (add_bias_kv = True) is not supported: "
            "a learned key and value join the source"
        )


def _widths(tensors: Tensors) -> tuple[int, int | None]:
    """Features of a query token, and of a context token when projections are separate."""
    fused = tensors.entries.get(tensors.scope + _FUSED)
    if fused is not None:
        return _columns(tensors, _FUSED), None
    query, key, value = (_columns(tensors, name) for name in _SEPARATE)
    if key != value:
        raise SpecError(
            f"{tensors.source!r}: keys are read from kdim = {key} features and values from "
            f"vdim = {value}; cortico has one context, expected them to be equal"
        )
    return query, key


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
