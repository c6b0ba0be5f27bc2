"""Attention layers as ONNX graphs for onnxruntime; see `by_hand_numpy.py` for the arguments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from attention_kinds import THREADS, Array, Weights, visible
from by_hand_numpy import Run
from onnx import ModelProto, TensorProto, helper, numpy_helper

from cortico import AttentionSpec
from cortico.spec import Kernel, Mask

OPSET, IR_VERSION = 23, 11  #: the first opset with Attention, and the IR version that came with it


class Graph:
    """Nodes and constants under construction. A node's output has the name that `add` gives back."""

    def __init__(self, spec: AttentionSpec, weights: Weights) -> None:
        self.spec = spec
        self.nodes: list[object] = []
        self.constants: list[TensorProto] = []
        self.weights = weights

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        """One node with one output."""
        return self.add_many(kind, 1, *inputs, **attributes)[0]

    def add_many(self, kind: str, count: int, *inputs: str, **attributes: object) -> list[str]:
        """One node with `count` outputs."""
        names = [f"{kind}_{len(self.nodes)}_{k}" for k in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names

    def constant(self, array: Array | Sequence[int]) -> str:
        """A constant; integers as int64."""
        name = f"constant_{len(self.constants)}"
        values = array if isinstance(array, np.ndarray) else np.array(array, np.int64)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def projected(self) -> list[str]:
        """Queries, keys and values, each (b, n, heads · features), by one product."""
        names, spec, w = ("Q", "K", "V"), self.spec, self.weights
        rows = np.concatenate([w[f"W_{name}"].reshape(-1, spec.model) for name in names])
        bias = np.concatenate([w[f"b_{name}"].ravel() for name in names])
        qkv = self.add("MatMul", "x", self.constant(rows.T))
        qkv = self.add("Add", qkv, self.constant(bias))
        widths = [size * spec.d_key for size in (spec.heads, spec.groups, spec.groups)]
        return self.add_many("Split", 3, qkv, self.constant(widths), axis=-1)

    def finished(self, heads: str) -> ModelProto:
        """The output projection of `heads` (b, n, heads · features), and the whole model."""
        out = self.weights["W_O"].transpose(0, 2, 1).reshape(-1, self.spec.d_output)
        product = self.add("MatMul", heads, self.constant(out))
        self.nodes.append(
            helper.make_node("Add", [product, self.constant(self.weights["b_O"])], ["y"])
        )
        inputs = [_value("x", TensorProto.FLOAT, ["batch", "n", self.spec.model])]
        if self.spec.mask is not Mask.NONE:
            inputs.append(_value("visible", TensorProto.BOOL, ["n", "n"]))
        outputs = [_value("y", TensorProto.FLOAT, ["batch", "n", self.spec.d_output])]
        graph = helper.make_graph(self.nodes, "attention", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)


def _value(name: str, kind: int, shape: list[int | str]) -> object:
    return helper.make_tensor_value_info(name, kind, shape)


def attention_node(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """The operator Attention of opset 23."""
    graph = Graph(spec, weights)
    causal = spec.mask is Mask.CAUSAL
    mask = ["visible"] if spec.mask is Mask.WINDOW else []
    heads = graph.add(
        "Attention",
        *graph.projected(),
        *mask,
        q_num_heads=spec.heads,
        kv_num_heads=spec.groups,
        is_causal=int(causal),
    )
    return session(spec, graph.finished(heads), x)


def matmul_graph(spec: AttentionSpec, weights: Weights, x: Array) -> Run:
    """MatMul, Softmax, MatMul; for linear attention keys times values first."""
    graph = Graph(spec, weights)
    q, k, v = (_split_heads(graph, name, spec, n > 0) for n, name in enumerate(graph.projected()))
    keys = graph.add("Transpose", k, perm=[0, 1, 2, 4, 3])
    if spec.kernel is Kernel.LINEAR:
        heads = graph.add("MatMul", q, graph.add("MatMul", keys, v))
    else:
        scale = graph.constant(np.float32(spec.d_key**-0.5).reshape(1))
        scores = graph.add("MatMul", graph.add("Mul", q, scale), keys)
        if spec.mask is not Mask.NONE:
            hidden = graph.constant(np.array([-np.inf], np.float32))
            scores = graph.add("Where", "visible", scores, hidden)
        heads = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), v)
    heads = graph.add("Transpose", heads, perm=[0, 3, 1, 2, 4])
    flat = graph.constant([0, 0, spec.heads * spec.d_value])
    return session(spec, graph.finished(graph.add("Reshape", heads, flat)), x)


def _split_heads(graph: Graph, name: str, spec: AttentionSpec, shared: bool) -> str:
    """(b, n, heads · features) to (b, group, member, n, features); keys have one member."""
    shape = [0, 0, spec.groups, 1 if shared else spec.members, spec.d_key]
    split = graph.add("Reshape", name, graph.constant(shape))
    return graph.add("Transpose", split, perm=[0, 2, 3, 1, 4])


def session(spec: AttentionSpec, model: ModelProto, x: Array) -> Run:
    """A session on two threads. They stop spinning after a run: others are timed next."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.add_session_config_entry("session.force_spinning_stop", "1")
    running = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = {"x": x, "visible": visible(spec, np.arange(x.shape[1]), x.shape[1])}
    feed = {each.name: given[each.name] for each in running.get_inputs()}

    def run() -> Array:
        (y,) = running.run(["y"], feed)
        found: Array = np.asarray(y)
        return found

    return run
