"""Operators of onnxruntime (domain com.microsoft) written out in parts that are evaluated and measured.

Maps that an operator has inside become nodes of their own, and so do its biases and its rotary embedding. What
is left is `Core`, softmax between two products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from cortico.frontends.onnx_file.fusions import FUSIONS
from cortico.frontends.onnx_file.nodes import attributes
from cortico.frontends.onnx_file.operators import MICROSOFT
from cortico.frontends.onnx_file.parts import Parts
from cortico.ir.errors import SpecError

if TYPE_CHECKING:
    from cortico.frontends.onnx_file.graph import OnnxGraph

#: What is added where a mask hides a token, unless the operator says another number.
_HIDDEN = -10000.0


def written_out(node: onnx.NodeProto, graph: OnnxGraph) -> list[onnx.NodeProto]:
    """The nodes that stand for this one of a graph. SpecError when its operands do not fit it."""
    write = _WRITERS.get((node.domain, node.op_type))
    if write is None:
        return [node]
    parts = Parts(node, graph)
    write(parts, [*node.input, *[""] * 20], attributes(node))
    return parts.nodes


def _core(parts: Parts, operands: list[str], options: dict[str, Any], **own: Any) -> None:
    heads = int(options.get("num_heads", 0))
    groups = int(options.get("kv_num_heads", heads))
    if heads < 1 or groups < 1 or heads % groups:
        node = parts.node
        raise SpecError(
            f"{node.op_type} {node.name!r} has no num_heads that fit: {heads}, for keys {groups}"
        )
    given: dict[str, Any] = {
        "heads": heads,
        "groups": groups,
        "scale": float(options.get("scale", 0.0)),
        "causal": int(options.get("unidirectional", 0)),
        "window": 0,
        "hidden": float(options.get("mask_filter_value", _HIDDEN)),
        "softcap": float(options.get("softcap", 0.0)),
        **own,
    }
    parts("Core", *operands, result=parts.node.output[0], **given)


def _attention(parts: Parts, inputs: list[str], options: dict[str, Any]) -> None:
    """`Attention`, whose weights are (m, [Q | K | V])."""
    matrix = parts.stored(inputs[1], "weights")
    sizes = options.get("qkv_hidden_sizes") or [matrix.shape[-1] // 3] * 3
    if matrix.ndim != 2 or len(sizes) != 3 or sum(sizes) != matrix.shape[1]:
        raise SpecError(
            f"weights of Attention {parts.node.name!r} have shape {matrix.shape}, expected features "
            f"by {' + '.join(map(str, sizes))}"
        )
    ends = np.cumsum(sizes)[:-1]
    names = [parts("MatMul", inputs[0], part) for part in np.split(matrix, ends, axis=1)]
    if inputs[2]:
        bias = parts.stored(inputs[2], "biases")
        if bias.shape != matrix.shape[1:]:
            raise SpecError(
                f"bias of Attention {parts.node.name!r} has shape {bias.shape}, expected "
                f"{matrix.shape[1:]}"
            )
        pairs = zip(names, np.split(bias, ends), strict=True)
        names = [parts("Add", name, part) for name, part in pairs]
    _core(parts, [*names, inputs[3], inputs[5]], options)


def _multihead(parts: Parts, inputs: list[str], options: dict[str, Any]) -> None:
    """`MultiHeadAttention`: queries (b, i, h a), with keys and values packed behind or apart."""
    query, key, value = inputs[:3]
    if not key and value:
        raise SpecError(f"MultiHeadAttention {parts.node.name!r} has values and no keys")
    if not key:  # (b, n, heads, 3, a)
        query, key, value = (_part(parts, query, k) for k in range(3))
    elif not value:  # (b, n, heads, 2, a)
        key, value = (_part(parts, key, k) for k in range(2))
    names = [query, key, value]
    if inputs[3]:
        shapes = [parts("Shape", query), parts("Shape", value)]
        names = [parts("Offset", name, inputs[3], *shapes, part=k) for k, name in enumerate(names)]
    _core(parts, [*names, inputs[4], inputs[5]], options)


def _part(parts: Parts, packed: str, place: int) -> str:
    one = parts("Gather", packed, np.array(place), axis=3)
    return parts("Reshape", one, np.array([0, 0, -1]))


def _grouped(parts: Parts, inputs: list[str], options: dict[str, Any]) -> None:
    """`GroupQueryAttention`, whose cache is empty."""
    query, key, value = inputs[:3]
    heads, groups = int(options.get("num_heads", 0)), int(options.get("kv_num_heads", 0))
    if bool(key) != bool(value):
        raise SpecError(f"GroupQueryAttention {parts.node.name!r} has keys or values, not both")
    if not key:  # (b, n, [heads | groups | groups] a)
        split = parts("Reshape", query, np.array([0, 0, heads + 2 * groups, -1]))
        ends = np.split(np.arange(heads + 2 * groups), [heads, heads + groups])
        cut = [parts("Gather", split, places, axis=2) for places in ends]
        query, key, value = (parts("Reshape", name, np.array([0, 0, -1])) for name in cut)
    if options.get("do_rotary"):
        tables = inputs[7:9]
        if not all(tables):
            raise SpecError(
                f"GroupQueryAttention {parts.node.name!r} turns and has no tables for it"
            )
        turn: dict[str, Any] = {
            "rotated": 0,
            "interleaved": int(options.get("rotary_interleaved", 0)),
        }
        query = parts("Turn", query, "", *tables, heads=heads, **turn)
        key = parts("Turn", key, "", *tables, heads=groups, **turn)
    sink: str | np.ndarray = inputs[11]
    if not sink and options.get("smooth_softmax", 0) > 0:
        sink = np.zeros(heads)
    mask, lengths = _lengths(parts, inputs[5])
    total = "" if inputs[6] in parts.graph.data else inputs[6]
    own = {
        "causal": int(options.get("causal", 1)),
        "window": max(int(options.get("local_window_size", -1)), 0),
    }
    operands: list[Any] = [query, key, value, mask, inputs[10], sink, lengths, total]
    _core(parts, operands, options, **own)


def _lengths(parts: Parts, last: str) -> tuple[str, str]:
    """A mask, and lengths that must be whole, of the place of the last token in each example (b).

    An input is taken to say the last of all. What is made of other inputs, such as the sum of a mask,
    hides tokens; what is made of sizes must not.
    """
    if last not in parts.graph.data:
        return "", last
    if last in (value.name for value in parts.graph.inputs):
        return "", ""
    return parts("Add", last, np.array([1], np.int32)), ""


def _rotary(parts: Parts, inputs: list[str], options: dict[str, Any]) -> None:
    """`RotaryEmbedding`."""
    data, positions, *tables = inputs[:4]
    if not parts.node.domain:
        data, *tables, positions = inputs[:4]
    parts(
        "Turn",
        data,
        positions,
        *tables,
        result=parts.node.output[0],
        heads=int(options.get("num_heads", 0)),
        rotated=int(options.get("rotary_embedding_dim", 0)),
        interleaved=int(options.get("interleaved", 0)),
    )


_WRITERS = {
    (MICROSOFT, "Attention"): _attention,
    (MICROSOFT, "MultiHeadAttention"): _multihead,
    (MICROSOFT, "GroupQueryAttention"): _grouped,
    (MICROSOFT, "RotaryEmbedding"): _rotary,
    ("", "RotaryEmbedding"): _rotary,
    **FUSIONS,
}
