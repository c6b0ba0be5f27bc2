"""What operators of onnxruntime are written out as, where ONNX has no words for it, computed with NumPy.

`Core` is softmax between two products, `Turn` rotary embedding and `Offset` a part of a bias. The formulas are
those of the operators' documentation; tests hold them against onnxruntime.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx
from onnx.reference.op_run import OpRun

#: The domain of these operators; a file that has it is refused.
DOMAIN = "cortico"


class Core(OpRun):
    """Attention of queries (b, i, heads · a), keys and values (b, groups, j, a) or as queries."""

    op_domain = DOMAIN

    def _run(
        self,
        query: np.ndarray,
        key: np.ndarray,
        value: np.ndarray,
        mask: np.ndarray | None = None,
        bias: np.ndarray | None = None,
        sink: np.ndarray | None = None,
        lengths: np.ndarray | None = None,
        total: np.ndarray | None = None,
        *,
        heads: int,
        groups: int,
        scale: float,
        causal: int,
        window: int,
        hidden: float,
        softcap: float,
    ) -> tuple[np.ndarray]:
        if query.ndim != 3:
            raise ValueError(f"queries have shape {query.shape}, expected three axes")
        q, k, v = (by_head(a, n) for a, n in ((query, heads), (key, groups), (value, groups)))
        k, v = (np.repeat(array, heads // groups, axis=1) for array in (k, v))
        scores = (scale or q.shape[-1] ** -0.5) * q @ k.swapaxes(-1, -2)
        _require_whole(lengths, total, scores.shape[-1])
        if softcap > 0:
            scores = softcap * np.tanh(scores / softcap)
        if bias is not None:
            scores = scores + _exact(bias, "bias of the scores", scores.shape)
        if mask is not None:
            scores = scores + np.where(_seen(mask, scores.shape), 0.0, hidden)
        scores = np.where(_near(scores.shape, causal, window), scores, -np.inf)
        found = _shares(scores, sink) @ v
        return (found.transpose(0, 2, 1, 3).reshape(*query.shape[:2], -1),)


def _require_whole(lengths: np.ndarray | None, total: np.ndarray | None, keys: int) -> None:
    """ValueError when places of last tokens (b), or their number, are not those of all keys."""
    if lengths is not None and (lengths + 1 != keys).any():
        raise ValueError(f"stored lengths {lengths.tolist()[:4]} hide tokens")
    if total is not None and (total != keys).any():
        raise ValueError(f"{keys} tokens, and {total.tolist()} in total")


def _near(shape: tuple[int, ...], causal: int, window: int) -> np.ndarray:
    """What a causal mask and a window show, boolean (i, j).

    onnxruntime has the last query see the last key: ValueError where that is not the first the first.
    """
    queries, keys = shape[2:]
    if causal and queries != keys:
        raise ValueError(f"causal, with {queries} queries and {keys} keys")
    ahead = np.arange(keys) - np.arange(queries)[:, None]
    near = ahead > -window if window > 0 else np.ones(ahead.shape, bool)
    return near & (ahead <= 0) if causal else near


def _shares(scores: np.ndarray, sink: np.ndarray | None) -> np.ndarray:
    """Softmax of scores (b, h, i, j), a column per head (h) among them that is dropped."""
    column = np.full((1, 1, 1, 1), -np.inf) if sink is None else sink.reshape(1, -1, 1, 1)
    most = np.maximum(scores.max(-1, keepdims=True), column)
    shares = np.exp(scores - most)
    return np.asarray(shares / (shares.sum(-1, keepdims=True) + np.exp(column - most)))


def by_head(array: np.ndarray, heads: int) -> np.ndarray:
    """(b, n, heads · a) as (b, heads, n, a); what has four axes has them so."""
    if array.ndim == 4:
        return array
    if array.ndim != 3 or array.shape[2] % heads:
        raise ValueError(f"{heads} heads do not fit shape {array.shape}")
    return array.reshape(*array.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def _exact(array: np.ndarray, what: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array (b or 1, h or 1, i, j), which onnxruntime does not stretch along tokens."""
    fits = array.ndim == 4 and all(
        side == whole or (side == 1 and k < 2)
        for k, (side, whole) in enumerate(zip(array.shape, shape, strict=True))
    )
    if not fits:
        raise ValueError(f"{what} has shape {array.shape}, expected {shape}")
    return array


def _seen(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What a mask of onnxruntime lets be seen, boolean (b, 1, i or 1, j).

    (b, j) and (b, i, j) are above zero where a token is seen, (b) says how many are and (2 b) where
    they end, and then where they begin.
    """
    examples, _, queries, keys = shape
    places = np.arange(keys)
    if mask.shape == (examples, keys):
        return np.asarray(mask[:, None, None, :] > 0)
    if mask.shape == (examples, queries, keys):
        return np.asarray(mask[:, None] > 0)
    if mask.shape == (examples,):
        return np.asarray(places < mask.reshape(-1, 1, 1, 1))
    if mask.shape == (2 * examples,):
        end, start = mask.reshape(2, examples, 1, 1, 1)
        return np.asarray((start <= places) & (places < end))
    raise ValueError(f"a mask of shape {mask.shape} does not fit scores of shape {shape}")


class Turn(OpRun):
    """Rotary embedding of `data` (b, n, heads · a) or (b, heads, n, a) by tables (rows, planes).

    `positions` (b, n) are rows, (1) is the first; without them rows are 0, 1, …, and tables (b, n, planes) stand
    as they are to be used.
    """

    op_domain = DOMAIN

    def _run(
        self,
        data: np.ndarray,
        positions: np.ndarray | None,
        cosines: np.ndarray,
        sines: np.ndarray,
        *,
        heads: int,
        rotated: int,
        interleaved: int,
    ) -> tuple[np.ndarray]:
        planes = cosines.shape[-1]
        heads = heads or data.shape[-1] // (rotated or 2 * planes)
        split = by_head(data, heads)
        if 2 * planes not in (rotated or split.shape[-1], split.shape[-1]):
            raise ValueError(f"{planes} planes do not fit {split.shape[-1]} features")
        rows = np.arange(split.shape[2]) if positions is None else positions
        if positions is None and cosines.ndim == 3:
            tables = [table[:, None] for table in (cosines, sines)]
        else:
            tables = [_taken(table, rows, split.shape[2]) for table in (cosines, sines)]
        cos, sin = tables
        head = slice(0, 2 * planes, 2) if interleaved else slice(0, planes)
        tail = slice(1, 2 * planes, 2) if interleaved else slice(planes, 2 * planes)
        turned = split.copy()
        turned[..., head] = cos * split[..., head] - sin * split[..., tail]
        turned[..., tail] = sin * split[..., head] + cos * split[..., tail]
        back = turned if data.ndim == 4 else turned.transpose(0, 2, 1, 3).reshape(data.shape)
        return (back,)


def _taken(table: np.ndarray, positions: np.ndarray, tokens: int) -> np.ndarray:
    """The rows (b or 1, 1, n, planes) of a table (rows, planes)."""
    if positions.shape == (1,):
        positions = positions + np.arange(tokens)
    if (positions < 0).any() or positions.max(initial=0) >= len(table):
        raise ValueError(f"position {positions.max(initial=0)} is no row of {len(table)}")
    return np.asarray(table[positions].reshape(-1, 1, tokens, table.shape[-1]))


class Offset(OpRun):
    """`data` and its part of the bias [query | key | value], whose sizes the last axes of two shapes tell."""

    op_domain = DOMAIN

    def _run(
        self, data: np.ndarray, bias: np.ndarray, query: np.ndarray, value: np.ndarray, *, part: int
    ) -> tuple[np.ndarray]:
        first, last = int(query[-1]), int(value[-1])
        if bias.shape != (2 * first + last,):
            raise ValueError(f"bias has shape {bias.shape}, expected ({2 * first + last},)")
        return (data + np.split(bias, [first, 2 * first])[part],)


class Swap(OpRun):
    """An array with its last two axes exchanged."""

    op_domain = DOMAIN

    def _run(self, data: np.ndarray) -> tuple[np.ndarray]:
        return (np.swapaxes(data, -1, -2),)


class Count(OpRun):
    """How many tokens a mask (b, n) of ones and zeros has."""

    op_domain = DOMAIN

    def _run(self, mask: np.ndarray) -> tuple[np.ndarray]:
        return ((mask > 0).sum(1),)


OPERATORS = [Core, Turn, Offset, Swap, Count]
NAMES = frozenset(operator.__name__ for operator in OPERATORS)


def made(node: onnx.NodeProto, inputs: Sequence[np.ndarray | None]) -> int:
    """How many numbers one of these operators will make."""
    shapes = [np.shape(array) for array in inputs if array is not None]
    whole = sum(math.prod(shape) for shape in shapes)
    if node.op_type != "Core":
        return whole
    heads = next((a.i for a in node.attribute if a.name == "heads"), 1)
    return whole + int(shapes[0][0] * heads * shapes[0][-2] * shapes[1][-2])
