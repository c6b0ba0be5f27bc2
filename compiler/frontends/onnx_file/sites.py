"""Where a graph attends: softmax between two matrix products, or one of the operators made for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from cortico.frontends.onnx_file.graph import OnnxGraph
from cortico.frontends.onnx_file.nodes import attributes
from cortico.frontends.onnx_file.operators import is_attention
from cortico.ir.errors import SpecError


@dataclass(frozen=True)
class Site:
    """One attention: the names of its parts, and what its operator says about itself.

    Products of matrices have keys (…, features, tokens); operators may have all heads on one axis.
    """

    query: str
    key: str
    value: str
    result: str  #: the values summed, before the map out
    is_operator: bool = False
    heads: int = 1  #: of an operator, where its queries have three axes
    groups: int = 1
    causal: bool = False  #: what an operator says, at however few tokens that is seen
    window: int | None = None
    soft_cap: float | None = None  #: what an operator says
    refused: str | None = None  #: why it cannot be read


def all_sites(graph: OnnxGraph) -> list[Site]:
    """All attention of the graph, in the order in which it is computed."""
    return list(_sites(graph))


def _sites(graph: OnnxGraph) -> Iterator[Site]:
    for node in graph.nodes:
        if node.output[0] in graph.refused and is_attention(node):
            yield Site("", "", "", node.output[0], refused=graph.refused[node.output[0]])
        elif node.op_type == "Softmax" and not node.domain:
            site = _around_softmax(graph, node)
            if site:
                yield site
        elif node.op_type == "Attention" and not node.domain:
            yield _operator(node)
        elif node.op_type == "Core":
            yield _core(node)


def _operator(node: onnx.NodeProto) -> Site:
    """The ai.onnx operator `Attention`; its windows count the tokens beside the query's own."""
    options = attributes(node)
    causal, left = bool(options.get("is_causal")), options.get("left_window_size", -1)
    query, key, value = node.input[:3]
    return Site(
        query,
        key,
        value,
        node.output[0],
        is_operator=True,
        heads=options.get("q_num_heads", 1),
        groups=options.get("kv_num_heads", 1),
        causal=causal or options.get("right_window_size", -1) == 0,
        window=left + 1 if left >= 0 else None,
        soft_cap=_cap(node, options),
    )


def _core(node: onnx.NodeProto) -> Site:
    """What an operator of onnxruntime is written out as."""
    options = attributes(node)
    query, key, value = node.input[:3]
    return Site(
        query,
        key,
        value,
        node.output[0],
        is_operator=True,
        heads=options["heads"],
        groups=options["groups"],
        causal=bool(options["causal"]),
        window=options["window"] or None,
        soft_cap=_cap(node, options),
    )


def _cap(node: onnx.NodeProto, options: dict[str, Any]) -> float | None:
    """The cap of the scores; SpecError for one below zero, of which operators make different things."""
    cap = float(options.get("softcap", 0.0))
    if not (math.isfinite(cap) and cap >= 0):
        raise SpecError(f"{node.op_type} {node.name!r} has softcap = {cap!r}, expected 0 or more")
    return cap or None


def _around_softmax(graph: OnnxGraph, softmax: onnx.NodeProto) -> Site | None:
    """The attention around a softmax; None when it is some other softmax, such as a classifier's."""
    scores = _scores(graph, softmax.input[0])
    weighted = _weighted(graph, softmax.output[0])
    if scores is None or weighted is None:
        return None
    _, product = weighted
    value = product.input[1]
    query, key = scores.input
    return Site(query, key, value, product.output[0])


def _scores(graph: OnnxGraph, name: str) -> onnx.NodeProto | None:
    """The nearest product of two values that depend on data, upstream of `name`."""
    seen, frontier = {name}, [name]
    while frontier:
        node = graph.maker.get(frontier.pop(0))
        if node is None or node.op_type in ("Softmax", *_SHAPES_AND_MASKS):
            continue
        if node.op_type == "MatMul" and set(node.input) <= graph.data:
            return node
        following = [n for n in node.input if n in graph.data and n not in seen]
        seen.update(following)
        frontier += following
    return None


#: What becomes of shares before they weigh values: rows without a token, the column of a sink.
_AFTER = ("Where", "IsNaN", "Cast", "Dropout", "Identity", "Reshape", "Slice")
_SHAPES_AND_MASKS = ("Shape", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Not")


def _weighted(graph: OnnxGraph, name: str) -> tuple[str, onnx.NodeProto] | None:
    """The product of the softmax, or of what is made of it, with the values; and what was multiplied."""
    frontier = [name]
    while frontier:
        name = frontier.pop(0)
        for node in graph.users.get(name, ()):
            if node.op_type == "MatMul" and node.input[0] == name and node.input[1] in graph.data:
                return name, node
            if node.op_type in _AFTER:
                frontier.append(node.output[0])
    return None


# ---- the maps into attention and out of it ---------------------------------------------------------


def tokens_of(graph: OnnxGraph, name: str) -> str | None:
    """The tokens that `name` is a linear map of: what the nearest constant matrices upstream multiply."""
    found = {_unfolded(graph, node.input[0]) for node in _maps(graph, name)}
    return found.pop() if len(found) == 1 else None


def _maps(graph: OnnxGraph, name: str) -> Iterator[onnx.NodeProto]:
    seen, frontier = {name}, [name]
    while frontier:
        node = graph.maker.get(frontier.pop())
        if node is None:
            continue
        if is_map(graph, node):
            yield node
            continue
        following = [n for n in node.input if n in graph.data and n not in seen]
        seen.update(following)
        frontier += following


def is_map(graph: OnnxGraph, node: onnx.NodeProto) -> bool:
    """Whether a node multiplies data with a stored matrix, or one that was stored transposed."""
    if node.op_type not in ("MatMul", "Gemm") or node.input[0] not in graph.data:
        return False
    return node.input[1] not in graph.data


def _unfolded(graph: OnnxGraph, name: str) -> str:
    """What `name` is but for its shape: Gemm wants two axes."""
    node = graph.maker.get(name)
    while node is not None and node.op_type in ("Transpose", "Reshape", "Cast", "Identity"):
        name, node = node.input[0], graph.maker.get(node.input[0])
    return name


def output_of(graph: OnnxGraph, result: str) -> str:
    """The output of the map out of attention, its bias added; an output of the graph without a map."""
    name = str(result)
    while name not in graph.outputs:
        users = [n for n in graph.users.get(name, ()) if n.op_type not in ("Shape", "Size")]
        if len(users) != 1:
            raise SpecError(
                f"{graph.source}: attention {result!r} goes to {len(users)} operators, expected one"
            )
        (node,) = users
        name = str(node.output[0])
        if is_map(graph, node):
            return _unfolding(graph, _with_bias(graph, name))
        if node.op_type not in ("Transpose", "Reshape", "Cast", "Identity", "Dropout", "Squeeze"):
            raise SpecError(
                f"{graph.source}: attention {result!r} goes through {node.op_type}, expected a map out"
            )
    return name


def _unfolding(graph: OnnxGraph, name: str) -> str:
    """What becomes of `name` while only its shape changes: Gemm gives two axes."""
    users = graph.users.get(name, [])
    while len(users) == 1 and users[0].op_type in ("Transpose", "Reshape", "Cast", "Identity"):
        name = str(users[0].output[0])
        users = graph.users.get(name, [])
    return name


def _with_bias(graph: OnnxGraph, name: str) -> str:
    """What a map gives with the bias that is added to it, if one is."""
    for node in graph.users.get(name, ()):
        others = [n for n in node.input if n != name]
        if node.op_type == "Add" and len(others) == 1:
            stored = graph.constants.get(others[0], np.zeros((2, 2)))
            if stored.ndim <= 1:
                return str(node.output[0])
    return name


def scalar_factor(graph: OnnxGraph, name: str) -> float:
    """The stored numbers that `name` was last multiplied or divided with, before any map."""
    factor = 1.0
    node = graph.maker.get(name)
    while node is not None:
        if node.op_type in ("Mul", "Div"):
            numbers = [k for k, n in enumerate(node.input) if _is_number(graph, n)]
            if len(numbers) != 1 or (node.op_type == "Div" and numbers != [1]):
                break
            (place,) = numbers
            number = float(graph.constants[node.input[place]].reshape(()))
            factor *= number if node.op_type == "Mul" else 1 / number
            following = node.input[1 - place]
        elif node.op_type in ("Transpose", "Reshape", "Cast", "Identity"):
            following = node.input[0]
        else:
            break
        node = graph.maker.get(following)
    return factor


def _is_number(graph: OnnxGraph, name: str) -> bool:
    array = graph.constants.get(name)
    return array is not None and array.size == 1 and float(array.reshape(())) != 0
