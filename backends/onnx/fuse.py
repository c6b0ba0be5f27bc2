"""Softmax between two products becomes one operator `Attention` (ai.onnx 23), where that means the same.

The same: all tokens are seen, or those up to the query (`is_causal`), so every query sees some; heads stand
on one axis. Elsewhere a query may see nothing, for which a circuit gives zeros and the operator NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

#: What makes a value: an operator and the same of its inputs. A text is a value to be found, the same
#: wherever it stands; `_` is any.
Pattern = str | tuple[object, ...]

_RESULT: Pattern = (
    "Where", ("Equal", "sum", "_"), "_",
    ("Div", ("MatMul", "shares", "value"), ("Where", ("Equal", "sum", "_"), "_", "sum")),
)  # fmt: skip
_SUM: Pattern = ("Unsqueeze", ("ReduceSum", "shares", "last"), "_")
_PEAK: Pattern = ("ReduceMax", "logits", "last")
_SHARES: Pattern = (
    "Exp", ("Sub", "logits", ("Unsqueeze", ("Where", ("IsInf", _PEAK), "_", _PEAK), "_")),
)  # fmt: skip
_PLACES: Pattern = ("Range", "zero", "count", "one")
_AHEAD: Pattern = ("Sub", ("Unsqueeze", _PLACES, "columns"), ("Unsqueeze", _PLACES, "rows"))
_CAUSAL: Pattern = ("Where", ("Transpose", ("LessOrEqual", _AHEAD, "zero")), "scores", "_")

#: The numbers that stored values of these names must be.
_NUMBERS = {"last": -1, "zero": 0, "one": 1, "columns": 1, "rows": 0}


@dataclass(frozen=True)
class Fusion:
    """Nodes by what they make, stored arrays, and the number of axes of each value."""

    maker: Mapping[str, onnx.NodeProto]
    stored: Mapping[str, onnx.TensorProto]
    ranks: Mapping[str, int]

    def attention(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What may stand for `node`: the operator, with a transposition before it; or `node` itself."""
        found: dict[str, str] = {}
        if not self._matches(node.output[0], _RESULT, found):
            return [node]
        if not all(
            self._matches(found[n], p, found) for n, p in (("shares", _SHARES), ("sum", _SUM))
        ):
            return [node]
        causal = self._matches(found["logits"], _CAUSAL, found)
        scores = found["scores"] if causal else found["logits"]
        scaled = self._matches(scores, ("Mul", "gain", "product"), found)
        product = found["product"] if scaled else scores
        if not self._matches(product, ("MatMul", "query", "key"), found):
            return [node]
        parts = [found[name] for name in ("query", "key", "value")]
        if any(self.ranks.get(part) != 4 for part in parts) or not self._numbers_fit(found):
            return [node]
        scale = self._number(found["gain"]) if scaled else 1.0
        query, key, value = parts
        rows = f"{node.output[0]}/key"  # the product had the keys as columns
        return [
            helper.make_node("Transpose", [key], [rows], perm=[0, 1, 3, 2]),
            helper.make_node(
                "Attention", [query, rows, value], node.output, scale=scale, is_causal=int(causal)
            ),
        ]

    def _matches(self, name: str, pattern: object, found: dict[str, str]) -> bool:
        if isinstance(pattern, str):
            return pattern == "_" or found.setdefault(pattern, name) == name
        assert isinstance(pattern, tuple)
        node = self.maker.get(name)
        kind, *inputs = pattern
        if node is None or node.op_type != kind or len(node.input) != len(inputs):
            return False
        return all(self._matches(n, p, found) for n, p in zip(node.input, inputs, strict=True))

    def _numbers_fit(self, found: Mapping[str, str]) -> bool:
        stored = {"gain", *_NUMBERS} & found.keys()
        if any(found[name] not in self.stored for name in stored):
            return False
        return all(self._number(found[n]) == _NUMBERS[n] for n in stored if n in _NUMBERS)

    def _number(self, name: str) -> float:
        """A stored array of one number; NaN for a longer one."""
        array = numpy_helper.to_array(self.stored[name])
        return float(array.reshape(())) if array.size == 1 else np.nan


def fused(
    nodes: Sequence[onnx.NodeProto],
    stored: Mapping[str, onnx.TensorProto],
    ranks: Mapping[str, int],
) -> list[onnx.NodeProto]:
    """`nodes`, with `Attention` in the place of each softmax that it can stand for."""
    fusion = Fusion({name: node for node in nodes for name in node.output}, stored, ranks)
    return [made for node in nodes for made in fusion.attention(node)]
