"""The `attn_mask` of `torch.nn.MultiheadAttention`: what of it a spec can say, exactly, or why not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortico.ir.errors import SpecError, shown
from cortico.spec import AttentionSpec, Mask, PositionBias

#: What a word says. An input comes at every run, as `score_bias`.
_WORDS: dict[str, dict[str, Any]] = {
    "none": {"mask": Mask.NONE},
    "causal": {"mask": Mask.CAUSAL},
    "input": {"position_bias": PositionBias.INPUT},
}


@dataclass(frozen=True)
class SeenMask:
    """Fields of a spec that say a mask, and the table of what it adds to scores, if it adds anything."""

    fields: dict[str, Any]
    weights: dict[str, np.ndarray]


def read_mask(given: Any, spec: AttentionSpec) -> SeenMask:
    """The mask of a call of the module that `spec` is of: a word, or the tensor (L, S) or (heads, L, S).

    A tensor is for its numbers of tokens, L queries and S source tokens, and so the spec is. SpecError says
    what was found where a spec has no such mask.
    """
    if given is None or isinstance(given, str):
        word = "none" if given is None else given
        if word not in _WORDS:
            raise SpecError(
                f"mask must be 'none', 'causal', 'input' or a tensor as attn_mask is, found {shown(word)}"
            )
        return SeenMask(_WORDS[word], {})
    added = _added(given, spec.heads)
    live = np.isfinite(added)
    mask, window = _pattern(live, spec)
    fields: dict[str, Any] = {"mask": mask, "window": window, "tokens": added.shape[1]}
    if spec.cross:
        fields["context_tokens"] = added.shape[2]
    elif added.shape[1] != added.shape[2]:
        raise SpecError(
            f"mask is for {added.shape[1]} queries and {added.shape[2]} source tokens: say cross=True, "
            "or give a square mask"
        )
    table = np.where(live, added, 0.0)
    if not table.any():
        return SeenMask(fields, {})
    fields["position_bias"] = PositionBias.TABLE
    return SeenMask(
        fields, {"position_bias": np.array(np.broadcast_to(table, (spec.heads, *table.shape[1:])))}
    )


def _added(given: Any, heads: int) -> np.ndarray:
    """What a mask adds to the scores, float64 (heads or 1, L, S); -inf where it hides a token."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(given, torch.Tensor):
        tensor = given.detach().cpu()
        given = (tensor if tensor.dtype == torch.bool else tensor.to(torch.float64)).numpy()
    if not isinstance(given, np.ndarray) or given.dtype.kind not in "bf":
        found = f"{type(given).__name__}" if not isinstance(given, np.ndarray) else f"{given.dtype}"
        raise SpecError(
            f"mask must be 'none', 'causal', 'input' or a tensor of booleans or floats, found {found}"
        )
    shape = given.shape
    if len(shape) == 3 and shape[0] != heads and shape[0] % heads == 0:
        examples = given.reshape(-1, heads, *shape[1:])
        if (examples != examples[0]).any():
            raise SpecError(
                f"mask of shape {shape} differs from example to example: a spec has one for all, or takes one "
                "at every run (mask='input')"
            )
        given = examples[0]
    if given.ndim not in (2, 3) or 0 in shape or (given.ndim == 3 and len(given) != heads):
        raise SpecError(
            f"mask has shape {shape}, expected (L, S) or ({heads}, L, S) for {heads} heads"
        )
    added = given.reshape(-1, *given.shape[-2:])
    if added.dtype.kind == "b":
        return np.asarray(np.where(added, -np.inf, 0.0))
    added = np.asarray(added, np.float64)
    if np.isnan(added).any() or (added == np.inf).any():
        raise SpecError("mask has numbers that are NaN or infinite, other than -inf")
    return added


def _pattern(live: np.ndarray, spec: AttentionSpec) -> tuple[Mask, int | None]:
    """The mask that shows exactly these tokens (heads or 1, L, S), and its width."""
    queries, sources = live.shape[1:]
    ahead = np.arange(sources) - np.arange(queries)[:, None]
    if live.all():
        return Mask.NONE, None
    ahead_of_first = int(live[0, 0].sum())
    if not spec.cross and (live == (abs(ahead) < ahead_of_first)).all():
        return Mask.BIDIRECTIONAL_WINDOW, ahead_of_first
    strange = next(_strange(live, ahead, spec), None)
    if strange is not None:
        raise SpecError(
            f"mask is none that a spec has (all tokens, causal, a window, or one to both sides): {strange}; "
            "mask='input' takes any, at every run"
        )
    width = int(live.sum(2).max())
    return (Mask.CAUSAL, None) if (live == (ahead <= 0)).all() else (Mask.WINDOW, width)


def _strange(live: np.ndarray, ahead: np.ndarray, spec: AttentionSpec) -> Iterator[str]:
    """What of a mask that hides some tokens no spec says."""
    if (live != live[0]).any():
        yield "heads see different tokens"
    blind = np.flatnonzero(~live.any((0, 2)))
    if blind.size:
        yield f"query {blind[0]} sees no token"
    if spec.cross:
        yield "cross attention with tokens that are hidden"
    later = np.argwhere(live[0] & (ahead > 0))
    if later.size:
        i, j = later[0]
        yield f"query {i} sees the later token {j}, and others are hidden"
    holes = np.argwhere(~live[0] & (ahead <= 0) & np.logical_or.accumulate(live[0], 1))
    if holes.size:
        i, j = holes[0]
        yield f"query {i} does not see token {j}, but an earlier one"
    counts = live[0].sum(1)
    width = int(counts.max())
    short = np.flatnonzero(counts != np.minimum(np.arange(1, len(counts) + 1), width))
    if short.size:
        yield f"query {short[0]} sees {counts[short[0]]} tokens, and query {counts.argmax()} sees {width}"
