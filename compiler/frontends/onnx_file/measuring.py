"""Limits on what a graph makes: a file of a hundred bytes can ask for more numbers than memory holds.

Graphs are measured before functions are written out, and operators before they run: what one will make is
told from its inputs by onnx's own inference of shapes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cortico.frontends.onnx_file import internal
from cortico.ir.errors import SpecError
from cortico.ir.limits import GRAPH_NODES, GRAPH_NUMBERS, GRAPH_PRODUCTS

_NESTED = 50  #: functions within functions
_TOLD = 64  #: numbers of an input that the inference of shapes is told, such as a shape


def require_small(model: onnx.ModelProto) -> None:
    """SpecError when the graph with all functions written out has too many nodes."""
    functions = {(f.domain, f.name): f.node for f in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Iterable[onnx.NodeProto], within: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            called = (node.domain, node.op_type)
            if called in functions and called not in sizes:
                if called in within or len(within) == _NESTED:
                    raise SpecError(f"function {node.op_type!r} calls itself, or too many others")
                sizes[called] = size(functions[called], (*within, called))
            inner = [a.g.node for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
            total += sizes.get(called, 1) + sum(size(part, within) for part in inner)
        return total

    found = size(model.graph.node, ())
    if found > GRAPH_NODES:
        raise SpecError(f"it has {found:,} nodes, expected at most {GRAPH_NODES:,}")


def require_shapes(graph: onnx.GraphProto) -> None:
    """SpecError for stored tensors and values with a negative size."""
    for tensor in graph.initializer:
        _require_sizes(tensor.name, tensor.dims)
    for value in (*graph.input, *graph.value_info, *graph.output):
        sizes = (dim.dim_value for dim in value.type.tensor_type.shape.dim)
        _require_sizes(value.name, sizes)


def _require_sizes(name: str, sizes: Iterable[int]) -> None:
    found = tuple(sizes)
    if any(size < 0 for size in found):
        raise SpecError(f"{name!r} has a negative size: {found}")


def require_room(source: str, what: str, sizes: Iterable[int]) -> None:
    """SpecError when an array of these sizes would be too large to measure with."""
    sides = tuple(sizes)
    if math.prod(sides) > GRAPH_NUMBERS:
        shape = " x ".join(map(str, sides))
        raise TooLargeError(
            f"{source}: {what} would be {shape} numbers, expected at most {GRAPH_NUMBERS:,}"
        )


class TooLargeError(SpecError):
    """A graph, or a part of it, would make more numbers than there is room for."""


class MeasuredEvaluator:
    """onnx's reference evaluator, one operator after another, each measured before it runs."""

    def __init__(self, model: onnx.ModelProto, source: str) -> None:
        self.source = source
        self.evaluator = ReferenceEvaluator(model, new_ops=internal.OPERATORS)
        self.opsets = list(model.opset_import)
        self.names: list[str] = self.evaluator.input_names

    def run(self, given: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs. SpecError when an operator would make too many numbers, or of too many."""
        values: dict[str, Any] = {"": None, **self.evaluator.rt_inits_, **given}
        room = GRAPH_NUMBERS
        for node in self.evaluator.rt_nodes_:
            inputs = [values[name] for name in node.onnx_node.input]
            if node.onnx_node.op_type == "Einsum":
                self._require_few_products(node.onnx_node, inputs)
            room -= self._made(node.onnx_node, inputs)
            if room < 0:
                raise TooLargeError(
                    f"{self.source}: {node.onnx_node.op_type} would make more than {GRAPH_NUMBERS:,} numbers"
                )
            values.update(zip(node.onnx_node.output, node.run(*inputs), strict=False))
        return [values[name] for name in self.evaluator.output_names]

    def _require_few_products(self, node: onnx.NodeProto, inputs: Sequence[Any]) -> None:
        """SpecError for an Einsum, whose work no size of what it reads and makes bounds."""
        said = {a.name: a.s.decode("utf-8", "replace") for a in node.attribute}
        count = _products(said.get("equation", ""), [np.shape(array) for array in inputs])
        if count > GRAPH_PRODUCTS:
            raise TooLargeError(
                f"{self.source}: Einsum would take {count:,} products, expected at most {GRAPH_PRODUCTS:,}"
            )

    def _made(self, node: onnx.NodeProto, inputs: Sequence[Any]) -> int:
        """How many numbers a node will make; as many as it reads where that depends on their values."""
        if node.domain == internal.DOMAIN:
            return internal.made(node, inputs)
        version = next((o.version for o in self.opsets if o.domain == node.domain), 1)
        schema = onnx.defs.get_schema(node.op_type, version, node.domain)
        named = {n: a for n, a in zip(node.input, inputs, strict=True) if n}
        types = {name: _type(array) for name, array in named.items()}
        told = {
            name: numpy_helper.from_array(array)
            for name, array in named.items()
            if array.dtype.kind == "i" and array.size <= _TOLD
        }
        found = onnx.shape_inference.infer_node_outputs(
            schema, node, types, told, opset_imports=self.opsets
        )
        read = sum(array.size for array in named.values())
        return sum(_numbers(kind, read) for kind in found.values())


def _products(equation: str, shapes: Sequence[tuple[int, ...]]) -> int:
    """How many products an Einsum takes at most: one at each choice of all its letters."""
    sizes: dict[str, int] = {}
    for term, shape in zip(equation.partition("->")[0].split(","), shapes, strict=False):
        first, dots, last = term.replace(" ", "").partition("...")
        rest = shape[len(first) : len(shape) - len(last)] if dots else ()
        sides = [*zip(first, shape, strict=False), ("...", math.prod(rest))]
        sides += zip(reversed(last), reversed(shape), strict=False)
        for letter, size in sides:
            sizes[letter] = max(size, sizes.get(letter, 1))
    return math.prod(sizes.values())


def _type(array: np.ndarray) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _numbers(kind: onnx.TypeProto, otherwise: int) -> int:
    dims = kind.tensor_type.shape.dim
    if not kind.tensor_type.HasField("shape") or not all(d.HasField("dim_value") for d in dims):
        return otherwise
    return math.prod(dim.dim_value for dim in dims)
