"""An ONNX graph under construction: nodes, initializers, inputs, and fresh names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from cortico.ir.rewrite import fresh

#: The version of the operators, and of the file format that goes with it (onnx 1.18).
OPSET, IR_VERSION = 23, 11
_OPSETS = [helper.make_opsetid("", OPSET)]

#: Whose functions the blocks of a network are.
DOMAIN = "cortico"

#: Bytes of weights from which they are kept in a file of their own: protobuf ends at 2 GB.
EXTERNAL = 1 << 30


class Graph:
    """Collects what becomes an ONNX model."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._taken = set(reserved)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add one node; returns the name of its only output."""
        output = self._fresh(kind.lower())
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def call(self, function: str, inputs: Sequence[str], outputs: Sequence[str]) -> list[str]:
        """Call a function; returns the names of its outputs, those given or ones like them that are free."""
        names = [self._fresh(name) for name in outputs]
        self.nodes.append(helper.make_node(function, list(inputs), names, domain=DOMAIN))
        return names

    def input(self, name: str, dtype: np.dtype[Any], shape: Sequence[int | str]) -> str:
        """An input under a reserved name; a text is the name of a size known when it runs."""
        self.inputs.append(_info(name, dtype, shape))
        return name

    def initializer(self, name: str, array: np.ndarray) -> str:
        """A stored array under this name, or one like it that is free."""
        name = self._fresh(name)
        self.initializers[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def constant(self, array: np.ndarray) -> str:
        """A stored array; equal ones are stored once."""
        array = np.asarray(array)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.initializer("constant", array)
        return self._constants[key]

    def output(
        self, name: str, value: str, dtype: np.dtype[Any], shape: Sequence[int | str]
    ) -> None:
        """An output under a reserved name."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(_info(name, dtype, shape))

    def _fresh(self, name: str) -> str:
        found = fresh(name, self._taken)
        self._taken.add(found)
        return found

    def model(self, title: str, functions: Sequence[onnx.FunctionProto] = ()) -> onnx.ModelProto:
        """The model, with all that was added and is used."""
        nodes = _used(self.nodes, {value.name for value in self.outputs})
        graph = helper.make_graph(
            nodes, "attention", self.inputs, self.outputs, self._stored(nodes), doc_string=title
        )
        opsets = [*_OPSETS, *[helper.make_opsetid(DOMAIN, 1)] * bool(functions)]
        return helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=IR_VERSION,
            producer_name="cortico",
            functions=list(functions),
        )

    def function(
        self, name: str, inputs: Sequence[str], outputs: Sequence[str]
    ) -> onnx.FunctionProto:
        """A function of all that was added and is used; what is stored are constants in it."""
        nodes = _used(self.nodes, set(outputs))
        constants = [
            helper.make_node("Constant", [], [tensor.name], value=tensor)
            for tensor in self._stored(nodes)
        ]
        return helper.make_function(DOMAIN, name, inputs, outputs, [*constants, *nodes], _OPSETS)

    def _stored(self, nodes: Sequence[onnx.NodeProto]) -> list[onnx.TensorProto]:
        used = {name for node in nodes for name in node.input}
        return [tensor for name, tensor in self.initializers.items() if name in used]


def _used(nodes: Sequence[onnx.NodeProto], outputs: set[str]) -> list[onnx.NodeProto]:
    """The nodes that some output depends on."""
    needed, found = set(outputs), []
    for node in reversed(nodes):
        if needed & set(node.output):
            needed.update(node.input)
            found.append(node)
    return found[::-1]


def element(dtype: np.dtype[Any]) -> int:
    """ONNX's number for a type."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _info(name: str, dtype: np.dtype[Any], shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element(dtype), list(shape))
