"""Attention masks of transformers, as pairs of tokens that are live."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from cortico.ir.errors import SpecError
from cortico.spec import AttentionSpec, Mask


class Masks:
    """Reads masks. All layers of a model get the same one: what was understood last is kept."""

    def __init__(self) -> None:
        self._last: dict[object, tuple[Any, int, Any]] = {}

    def live(self, mask: Any, spec: AttentionSpec, rows: int) -> Any:
        """Booleans (batch, 1 or heads, rows, columns), or None where the mask hides nothing more.

        `mask` is additive (0 and the least number), as for `eager`, or boolean, as for `sdpa`; the last row
        is the last column. SpecError for other masks, and for one that shows what the circuit does not connect.
        """
        if mask is None:
            return None
        _refuse_other_shapes(mask, spec, rows)
        if mask.is_inference():  # has no version by which a change could be seen
            return _pairs(mask, spec)
        key = (spec.mask, spec.window)
        known, version, live = self._last.get(key, (None, 0, None))
        if known is None or known() is not mask or version != mask._version:
            live = _pairs(mask, spec)
            self._last[key] = (weakref.ref(mask), mask._version, live)
        return live


def _refuse_other_shapes(mask: Any, spec: AttentionSpec, rows: int) -> None:
    if not isinstance(mask, torch.Tensor):
        raise SpecError(
            f"{spec.name}: attention_mask is a {type(mask).__name__}, expected a tensor"
        )
    if mask.ndim != 4 or mask.shape[-2] != rows or mask.shape[1] not in (1, spec.heads):
        raise SpecError(
            f"{spec.name}: attention_mask has shape {tuple(mask.shape)}, expected (batch, 1 or "
            f"{spec.heads}, {rows}, source tokens)"
        )


def _pairs(mask: Any, spec: AttentionSpec) -> Any:
    live = mask if mask.dtype is torch.bool else _not_hidden(mask, spec)
    rows, columns = mask.shape[-2:]
    unconnected = _unconnected(rows, columns, spec, mask.device)
    if unconnected is not None and bool((live & unconnected).any()):
        width = "" if spec.window is None else f" of {spec.window} tokens"
        raise SpecError(
            f"{spec.name}: attention_mask shows tokens that the circuit does not connect, whose mask is "
            f"{spec.mask.value!r}{width}"
        )
    return live


def _not_hidden(mask: Any, spec: AttentionSpec) -> Any:
    """Where an additive mask adds nothing. SpecError where it neither does so nor hides."""
    live = mask == 0
    if not bool((live | (mask <= torch.finfo(mask.dtype).min / 2)).all()):
        raise SpecError(
            f"{spec.name}: attention_mask adds other numbers than 0 and the least of {mask.dtype}: it is a "
            "bias, which the circuit does not have"
        )
    return live


def _unconnected(rows: int, columns: int, spec: AttentionSpec, device: Any) -> Any:
    """Pairs that have no microcolumn in the circuit; None where all have one."""
    if spec.mask is Mask.NONE or (rows == 1 and spec.window is None):
        return None
    steps = torch.arange(columns - rows, columns, device=device)[:, None]
    steps = steps - torch.arange(columns, device=device)
    hidden = (steps < 0) & spec.mask.is_causal
    return hidden if spec.window is None else hidden | (steps.abs() >= spec.window)
