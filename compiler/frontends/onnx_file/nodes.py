"""Nodes of an ONNX graph, one by one: their attributes, their order, what they store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cortico.ir.errors import SpecError

_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Attribute name to value; texts are decoded."""
    found = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return {
        k: v.decode("utf-8", "replace") if isinstance(v, bytes) else v for k, v in found.items()
    }


def in_order(
    nodes: Iterable[onnx.NodeProto], known: Iterable[str], source: str
) -> Iterator[onnx.NodeProto]:
    """The nodes, each after those that make what it reads, else as they stand.

    SpecError where a value is made twice, by nothing, or of itself.
    """
    waiting, ready = list(nodes), {"", *known}
    lacking = [{name for name in node.input if name not in ready} for node in waiting]
    readers: dict[str, list[int]] = {}
    for place, names in enumerate(lacking):
        for name in names:
            readers.setdefault(name, []).append(place)
    free = [place for place, names in enumerate(lacking) if not names]  # sorted: a heap
    count = 0
    while free:
        node = waiting[heappop(free)]
        count += 1
        yield node
        for name in filter(None, node.output):
            if name in ready:
                raise SpecError(f"{source}: {name!r} is made twice, and then by {node.op_type}")
            ready.add(name)
            for place in readers.get(name, ()):
                lacking[place].discard(name)
                if not lacking[place]:
                    heappush(free, place)
    if count < len(waiting):
        node, names = next((n, k) for n, k in zip(waiting, lacking, strict=True) if k)
        raise SpecError(f"{source}: nothing makes {min(names)!r} before {node.op_type} reads it")


def require_arity(node: onnx.NodeProto, opsets: Iterable[onnx.OperatorSetIdProto]) -> None:
    """SpecError for a node with fewer inputs or outputs than its operator has."""
    least = 0
    version = next((o.version for o in opsets if o.domain == node.domain), None)
    if version and onnx.defs.has(node.op_type, version, node.domain):
        least = onnx.defs.get_schema(node.op_type, version, node.domain).min_input
    if len(node.input) < least or not node.output or "" in node.input[:least]:
        raise SpecError(f"{node.op_type} {node.name!r} lacks inputs or outputs")


def stored(node: onnx.NodeProto) -> np.ndarray:
    """The array of a Constant."""
    if len(node.attribute) != 1:
        raise SpecError(f"Constant {node.name!r} has {len(node.attribute)} values, expected one")
    ((name, value),) = attributes(node).items()
    if name == "value":
        return doubled(numpy_helper.to_array(value))
    if name not in ("value_float", "value_floats", "value_int", "value_ints"):
        raise SpecError(f"Constant {node.name!r} with {name} is not supported")
    return np.asarray(value, np.int64 if "int" in name else np.float64)


def doubled(array: np.ndarray) -> np.ndarray:
    """Numbers with a point in double precision; others as they are."""
    is_float = array.dtype.kind == "f" or array.dtype.name == "bfloat16"
    return array.astype(np.float64) if is_float else array


def in_doubles(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node, making doubles where it would make floats."""
    if node.op_type not in ("Cast", "ConstantOfShape", "Attention") or node.domain:
        return node
    changed = onnx.NodeProto()
    changed.CopyFrom(node)
    for attribute in changed.attribute:
        if attribute.name in ("to", "softmax_precision") and attribute.i in _FLOATS:
            attribute.i = TensorProto.DOUBLE
        if attribute.name == "value":
            array = doubled(numpy_helper.to_array(attribute.t))
            attribute.t.CopyFrom(numpy_helper.from_array(array))
    return changed


def one_line(error: Exception) -> str:
    """What an error of another library says."""
    return " ".join(str(error).split())[:200] or type(error).__name__
