"""A network as an ONNX model: a function for each distinct block, and a graph that calls them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from cortico.backends.onnx.array import Array
from cortico.backends.onnx.graph import Graph
from cortico.backends.onnx.model import of_kind
from cortico.backends.onnx.recording import Recording
from cortico.ir import Circuit, Parameter
from cortico.ir.analysis.inputs import angles
from cortico.ir.network import Network, Node, Port
from cortico.ir.network.sizes import shapes_of_ports
from cortico.ir.rewrite import fresh, symbolic
from cortico.ir.tensors import Input, tied_arrays

FILE = "model.onnx"

#: The weights' own names in the graph are those that they have in `network.safetensors`.
Weights = Mapping[str, np.ndarray]


def make_network_model(
    network: Network, weights: Weights, dtype: np.dtype[Any], fuse: bool
) -> onnx.ModelProto:
    """The model of a network with these weights, in float32 or float64.

    Inputs and outputs have one batch axis in front; tokens are int64, 0/1 inputs booleans. With `fuse` it has
    operators `Attention` where they fit, in float32: onnxruntime has none for float64.
    """
    return _Model(network, weights, dtype, fuse and dtype == np.float32).model()


@dataclass(frozen=True)
class _Function:
    """The function of a block. `axes`: how many its outputs have, a batch axis included."""

    proto: onnx.FunctionProto
    axes: tuple[int, ...]


class _Model:
    """One network on its way to a model."""

    def __init__(
        self, network: Network, weights: Weights, dtype: np.dtype[Any], fuse: bool
    ) -> None:
        self.network, self.weights, self.dtype, self.fuse = network, weights, dtype, fuse
        self.tied = tied_arrays(weights)
        names = [tensor.name for tensor in network.inputs]
        self.outputs = {o.name: fresh(o.name, names) for o in network.outputs}
        self.graph = Graph([*names, *self.outputs.values()])
        self.functions: dict[tuple[Circuit, tuple[int, ...]], _Function] = {}
        self.stored: dict[str, str] = {}  #: names of weights to those in the graph
        self.values: dict[Port, Array] = {}  #: what each port gives

    def model(self) -> onnx.ModelProto:
        sides = {str(side) for tensor in self.network.inputs for side in tensor.shape}
        batch = fresh("batch", sides)
        for tensor in self.network.inputs:
            kind, shape = of_kind(tensor, self.dtype), (batch, *tensor.given)
            name = self.graph.input(tensor.name, kind, shape)
            self.values[Port(tensor.name)] = Array(self.graph, name, kind, len(shape))
        for node in self.network.order:
            self._call(node)
        shapes = shapes_of_ports(self.network)
        for output in self.network.outputs:
            value, own = self.values[output.source], shapes[output.source]
            front = (batch,) if value.ndim > len(own) else ()
            name = self.outputs[output.name]
            self.graph.output(name, value.name, self.dtype, (*front, *own))
        functions = [function.proto for function in self.functions.values()]
        return self.graph.model(self.network.name, functions)

    def _call(self, node: Node) -> None:
        """A call of the block at a node."""
        sources = [self.network.source_of[Port(t.name, node.path)] for t in node.circuit.inputs]
        given = [self.values[source] for source in sources]
        function = self._function(node.circuit, tuple(array.ndim for array in given))
        weights = [self._weight(node, parameter) for parameter in _plain(node.circuit)]
        made = [f"{node.path}.{output.name}" for output in node.circuit.outputs]
        names = self.graph.call(function.proto.name, [*(a.name for a in given), *weights], made)
        for output, name, ndim in zip(node.circuit.outputs, names, function.axes, strict=True):
            self.values[Port(output.name, node.path)] = Array(self.graph, name, self.dtype, ndim)

    def _weight(self, node: Node, parameter: Parameter) -> str:
        """The name of a weight in the graph; equal memory is stored once."""
        block = self.network.block_names[node.circuit]
        own = parameter.values is None
        name = f"{node.path}.{parameter.name}" if own else f"{block}:{parameter.name}"
        name = self.tied.get(name, name)
        if name not in self.stored:
            kind = _kind(node.circuit, parameter, self.dtype)
            self.stored[name] = self.graph.initializer(name, np.asarray(self.weights[name], kind))
        return self.stored[name]

    def _function(self, circuit: Circuit, axes: tuple[int, ...]) -> _Function:
        """The function of a block for inputs with so many axes."""
        if (circuit, axes) not in self.functions:
            taken = [function.proto.name for function in self.functions.values()]
            name = fresh(self.network.block_names[circuit], taken)
            self.functions[circuit, axes] = self._recorded(circuit, axes, name)
        return self.functions[circuit, axes]

    def _recorded(self, circuit: Circuit, axes: tuple[int, ...], name: str) -> _Function:
        inputs: list[Input | Parameter] = [*circuit.inputs, *_plain(circuit)]
        graph = Graph([tensor.name for tensor in inputs])
        given = {
            tensor.name: Array(graph, tensor.name, of_kind(tensor, self.dtype), ndim)
            for tensor, ndim in zip(circuit.inputs, axes, strict=True)
        }
        for parameter in _plain(circuit):
            kind = _kind(circuit, parameter, self.dtype)
            given[parameter.name] = Array(graph, parameter.name, kind, len(parameter.shape))
        found = Recording(symbolic(circuit), graph, self.dtype, given).outputs(self.fuse)
        results = [result.astype(self.dtype) for result in found]
        proto = graph.function(name, [t.name for t in inputs], [r.name for r in results])
        return _Function(proto, tuple(result.ndim for result in results))


def _plain(circuit: Circuit) -> list[Parameter]:
    """Parameters that have numbers of their own."""
    return [parameter for parameter in circuit.parameters if parameter.formula is None]


def _kind(circuit: Circuit, parameter: Parameter, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type in which a weight is stored: angles in double precision."""
    return np.dtype(np.float64) if parameter.name in angles(circuit) else dtype
