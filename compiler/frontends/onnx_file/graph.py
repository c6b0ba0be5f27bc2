"""An ONNX graph as it is read: who makes each value, what depends on data, and parts of it evaluated.

Parts are evaluated by onnx's own reference evaluator, in double precision, operators of onnxruntime for attention
written out. Graphs with loops, branches or operators of unknown domains are refused where they would be evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cortico.frontends.onnx_file.internal import DOMAIN
from cortico.frontends.onnx_file.measuring import (
    MeasuredEvaluator,
    require_shapes,
    require_small,
)
from cortico.frontends.onnx_file.microsoft import written_out
from cortico.frontends.onnx_file.nodes import (
    doubled,
    in_doubles,
    in_order,
    one_line,
    require_arity,
    stored,
)
from cortico.frontends.onnx_file.operators import OPERATORS, is_attention, problems, without_cache
from cortico.frontends.onnx_file.parts import OWN
from cortico.ir.errors import SpecError
from cortico.ir.reading import require_file

#: Operators whose result tells of their input nothing but its shape.
_SHAPES = ("Shape", "Size")


class OnnxGraph:
    """The graph of a model, functions inlined and numbers with a point doubled in precision."""

    def __init__(self, model: onnx.ModelProto, source: str) -> None:
        self.source = source
        self.graph = model.graph
        self._inferred = _inferred(model)
        self.opsets = list(model.opset_import)
        self.nodes: list[onnx.NodeProto] = []
        self._evaluators: dict[tuple[tuple[str, ...], tuple[str, ...]], MeasuredEvaluator] = {}
        self.constants = {
            tensor.name: doubled(numpy_helper.to_array(tensor))
            for tensor in model.graph.initializer
        }
        self.inputs = [v for v in model.graph.input if v.name not in self.constants]
        #: Tables of cosines and sines of which every row is known.
        self.even: set[str] = set()
        #: Result of an operator for attention to why it is not read.
        self.refused: dict[str, str] = {}
        #: Values so far that depend on the numbers, not only the shapes, of the inputs.
        self.data = {value.name for value in self.inputs}
        known = {*self.constants, *self.data}
        for node in in_order(model.graph.node, known, source):
            require_arity(node, self.opsets)
            known.update(node.output)
            if node.domain == DOMAIN or any(name.startswith(OWN) for name in known):
                raise SpecError(
                    f"{source}: {DOMAIN!r} is a domain, and names begin with {OWN!r}, here only"
                )
            self._add(node)

    def _add(self, node: onnx.NodeProto) -> None:
        """Take in a node that follows those before it, operators for attention in their parts."""
        if node.op_type == "Constant" and not node.domain:
            self.constants[node.output[0]] = stored(node)
        else:
            for part in self._parts(node):
                self.nodes.append(in_doubles(part))
                if part.op_type not in _SHAPES and self.data & set(part.input):
                    self.data.update(part.output)

    def _parts(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """What stands for a node; the node itself where it is refused, which only a reader of it is told."""
        if (node.domain, node.op_type) not in OPERATORS and not is_attention(node):
            return [node]
        why = list(problems(node, self._without_tokens))
        try:
            if not why:
                return written_out(without_cache(node), self)
        except SpecError as error:
            why = [str(error)]
        else:
            why = [f"{node.op_type} {node.name!r} {', '.join(why)}"]
        self.refused[node.output[0]] = why[0]
        return [node]

    @cached_property
    def _without_tokens(self) -> frozenset[str]:
        """Inputs that may have no tokens: a cache that is empty at first."""
        return frozenset(
            value.name
            for value in self.inputs
            if any(not dim.dim_value for dim in value.type.tensor_type.shape.dim[1:])
        )

    @cached_property
    def maker(self) -> dict[str, onnx.NodeProto]:
        """Value to the node that makes it."""
        return {name: node for node in self.nodes for name in node.output if name}

    @cached_property
    def users(self) -> dict[str, list[onnx.NodeProto]]:
        """Value to the nodes that read it."""
        found: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def settled(self) -> frozenset[str]:
        """Values that are the same whatever the inputs are, and however many: stored ones, and what is made of them."""
        found = set(self.constants)
        for node in self.nodes:
            if all(name in found for name in node.input if name):
                found.update(name for name in node.output if name)
        return frozenset(found)

    @property
    def outputs(self) -> frozenset[str]:
        return frozenset(value.name for value in self.graph.output)

    @cached_property
    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Value to its shape, where the file says it or it can be told; None is a size not known."""
        infos = [*self.graph.input, *self.graph.value_info, *self._inferred, *self.graph.output]
        return {
            value.name: tuple(dim.dim_value or None for dim in value.type.tensor_type.shape.dim)
            for value in infos
            if value.type.tensor_type.HasField("shape")
        }

    def is_bool(self, name: str) -> bool:
        """Whether a value is boolean, as far as the file says."""
        if name in self.constants:
            return self.constants[name].dtype == np.bool_
        infos = [*self.graph.input, *self.graph.value_info, *self._inferred]
        types = [value.type.tensor_type.elem_type for value in infos if value.name == name]
        return TensorProto.BOOL in types

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """The type of the weights: float32, or float64 where the file has that."""
        doubles = any(t.data_type == TensorProto.DOUBLE and t.dims for t in self.graph.initializer)
        return np.dtype(np.float64 if doubles else np.float32)

    def reaching(self, wanted: Iterable[str], stop: Iterable[str]) -> frozenset[str]:
        """Inputs of the graph whose numbers, not only shapes, `wanted` depends on, past `stop`."""
        seen, frontier = set(stop), list(wanted)
        while frontier:
            node = self.maker.get(frontier.pop())
            if node is not None and node.op_type not in _SHAPES:
                following = {name for name in node.input if name in self.data} - seen
                seen |= following
                frontier += following
        return frozenset(value.name for value in self.inputs if value.name in seen - {*stop})

    # ---- evaluation ------------------------------------------------------------------------------

    def evaluate(self, given: Mapping[str, np.ndarray], wanted: Sequence[str]) -> list[np.ndarray]:
        """The values `wanted`, with these given; nothing that comes before a given value is run.

        SpecError when the part between is no plain ONNX.
        """
        run = self._evaluator(tuple(given), tuple(wanted))
        try:
            with np.errstate(all="ignore"):
                found = run.run({name: given[name] for name in run.names})
        except SpecError:
            raise
        except Exception as error:  # whatever a broken graph makes of the evaluator
            raise SpecError(
                f"{self.source}: cannot evaluate {_names(wanted)}: {one_line(error)}"
            ) from None
        return [np.asarray(array, np.float64) for array in found]

    def _evaluator(self, given: tuple[str, ...], wanted: tuple[str, ...]) -> MeasuredEvaluator:
        """What runs the part between; kept, for a probe runs one many times."""
        if (given, wanted) not in self._evaluators:
            self._evaluators[given, wanted] = self._new_evaluator(given, wanted)
        return self._evaluators[given, wanted]

    def _new_evaluator(self, given: tuple[str, ...], wanted: tuple[str, ...]) -> MeasuredEvaluator:
        nodes = self.between(given, wanted)
        for node in nodes:
            if node.output[0] in self.refused:
                raise SpecError(f"{self.source}: {self.refused[node.output[0]]}")
            if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
                raise SpecError(f"{self.source}: {node.op_type} {node.name!r} is not supported")
        needed = {name for node in nodes for name in node.input} | set(wanted)
        inputs = [_value(name) for name in given if name in needed]
        stored = [
            numpy_helper.from_array(array, name)
            for name, array in self.constants.items()
            if name in needed and name not in given
        ]
        graph = helper.make_graph(nodes, "part", inputs, [_value(n) for n in wanted], stored)
        opsets = [*self.opsets, helper.make_opsetid(DOMAIN, 1)]
        model = helper.make_model(graph, opset_imports=opsets)
        try:
            return MeasuredEvaluator(model, self.source)
        except Exception as error:
            raise SpecError(f"{self.source}: {one_line(error)}") from None

    def between(self, given: Iterable[str], wanted: Iterable[str]) -> list[onnx.NodeProto]:
        """The nodes that make `wanted` from `given`, in order."""
        needed, stop = set(wanted), set(given)
        found: list[onnx.NodeProto] = []
        for node in reversed(self.nodes):
            if (needed - stop) & set(node.output):
                found.append(node)
                needed.update(name for name in node.input if name)
        return found[::-1]


def load(path: Path) -> OnnxGraph:
    """The graph in a file. SpecError when it is no ONNX model."""
    require_file(path)
    try:
        model = onnx.load(path)
        require_small(model)
        if model.functions:
            from onnx import inliner

            model = inliner.inline_local_functions(model)
        require_shapes(model.graph)
        return OnnxGraph(model, path.name)
    except SpecError as error:
        raise SpecError(f"cannot read {str(path)!r}: {error}") from None
    except Exception as error:  # protobuf, onnx and the operating system each have their own
        reason = getattr(error, "strerror", None) or f"no ONNX model ({one_line(error)})"
        raise SpecError(f"cannot read {str(path)!r}: {reason}") from None


def _inferred(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """What onnx can tell of shapes that the file does not; nothing for files that it refuses."""
    try:
        return list(onnx.shape_inference.infer_shapes(model).graph.value_info)
    except Exception:  # a model of two gigabytes, or a broken one, of which others tell
        return []


def _names(values: Sequence[str]) -> str:
    """Names of values as the file has them, of parts written out that of the whole."""
    own = (name.removeprefix(OWN).rpartition("/")[0] for name in values if name.startswith(OWN))
    return ", ".join(dict.fromkeys([*own, *(n for n in values if not n.startswith(OWN))]))


def _value(name: str) -> onnx.ValueInfoProto:
    return helper.make_empty_tensor_value_info(name)
