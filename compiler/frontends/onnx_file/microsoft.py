"""The operators of onnxruntime (domain com.microsoft) for attention, as sites like those of ai.onnx."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from cortico.frontends.onnx_file.graph import OnnxGraph, attributes
from cortico.frontends.onnx_file.sites import Site
from cortico.ir.errors import SpecError

KINDS = ("Attention", "MultiHeadAttention", "GroupQueryAttention")
#: Inputs that cannot be left out.
_LEAST = {"Attention": 2, "MultiHeadAttention": 1, "GroupQueryAttention": 1}


def microsoft_site(graph: OnnxGraph, node: onnx.NodeProto) -> Site:
    """The site of an operator; maps that it has inside become nodes of the graph before it."""
    options, inputs = attributes(node), [*node.input, *[""] * 12]
    _refuse(graph, node, options)
    if options.get("num_heads", 0) < 1:
        raise SpecError(f"{graph.source}: {node.op_type} {node.name!r} has no num_heads")
    heads = int(options["num_heads"])
    common: dict[str, Any] = {
        "q_num_heads": heads,
        "kv_num_heads": int(options.get("kv_num_heads", heads)),
        "is_causal": int(options.get("unidirectional", 0)),
    }
    if options.get("scale"):
        common["scale"] = options["scale"]
    if node.op_type == "Attention":
        query, key, value = _inner_maps(graph, node, options)
        common["padding"] = inputs[3] or None
        return Site(query, key, value, node.output[0], options=common, mask=inputs[5] or None)
    if node.op_type == "MultiHeadAttention":
        query, key, value = _with_bias(graph, node, inputs)
        common["padding"] = inputs[4] or None
        return Site(query, key, value, node.output[0], options=common, mask=inputs[5] or None)
    common["is_causal"] = 1
    window = int(options.get("local_window_size", -1))
    common["window"] = window if window > 0 else None
    if options.get("do_rotary"):
        common["rotary"] = _frequencies(graph, inputs[7], inputs[8])
        common["interleaved"] = bool(options.get("rotary_interleaved"))
    query, key, value = inputs[:3]
    return Site(query, key, value, node.output[0], options=common, mask=inputs[10] or None)


def _refuse(graph: OnnxGraph, node: onnx.NodeProto, options: dict[str, Any]) -> None:
    """SpecError for what these operators can do and a spec cannot say."""
    if len(node.input) < _LEAST[node.op_type] or not all(node.input[: _LEAST[node.op_type]]):
        raise SpecError(f"{graph.source}: {node.op_type} {node.name!r} lacks inputs")
    packed = node.op_type != "Attention" and not all([*node.input, "", ""][1:3])
    rotary = node.op_type == "Attention" and options.get("do_rotary")
    wrong = [
        *["packed queries, keys and values"] * packed,
        *["rotary embedding inside"] * bool(rotary),
        *["a softcap"] * bool(options.get("softcap")),
        *["smooth softmax"] * bool(options.get("smooth_softmax")),
    ]
    if wrong:
        raise SpecError(f"{graph.source}: {node.op_type} {node.name!r} has {', '.join(wrong)}")


def _inner_maps(graph: OnnxGraph, node: onnx.NodeProto, options: dict[str, Any]) -> list[str]:
    """Queries, keys and values of `Attention`, whose weights are (m, [Q | K | V])."""
    matrix = graph.constants.get(node.input[1])
    bias = graph.constants.get(node.input[2]) if len(node.input) > 2 else None
    if matrix is None:
        raise SpecError(f"{graph.source}: weights of Attention {node.name!r} are not stored")
    sizes = options.get("qkv_hidden_sizes") or [matrix.shape[1] // 3] * 3
    ends = np.cumsum(sizes)[:-1]
    names = []
    biases = np.split(bias, ends) if bias is not None else [None] * 3
    for letter, part, offset in zip("QKV", np.split(matrix, ends, axis=1), biases, strict=True):
        name = _append(graph, "MatMul", node.input[0], f"{node.output[0]}/W_{letter}", part)
        if offset is not None:
            name = _append(graph, "Add", name, f"{node.output[0]}/b_{letter}", offset)
        names.append(name)
    return names


def _with_bias(graph: OnnxGraph, node: onnx.NodeProto, inputs: list[str]) -> list[str]:
    """The three inputs of `MultiHeadAttention`, its bias [Q | K | V] added."""
    if not inputs[3]:
        return inputs[:3]
    bias = graph.constants.get(inputs[3])
    if bias is None:
        raise SpecError(f"{graph.source}: bias of MultiHeadAttention {node.name!r} is not stored")
    parts = zip("QKV", inputs[:3], np.split(bias, 3), strict=True)
    return [_append(graph, "Add", n, f"{node.output[0]}/b_{k}", b) for k, n, b in parts]


def _append(graph: OnnxGraph, kind: str, data: str, name: str, array: np.ndarray) -> str:
    graph.constants[name] = array
    graph.add(helper.make_node(kind, [data, name], [f"{name}/out"]))
    return f"{name}/out"


def _frequencies(graph: OnnxGraph, cosines: str, sines: str) -> np.ndarray:
    """Radians per token, from the tables (positions, planes) at position 1."""
    tables = [graph.constants.get(name) for name in (cosines, sines)]
    if any(table is None or len(table) < 2 for table in tables):
        raise SpecError(f"{graph.source}: tables of rotary embedding are not stored")
    cos, sin = tables
    assert cos is not None and sin is not None
    return np.asarray(np.arctan2(sin[1], cos[1]))
