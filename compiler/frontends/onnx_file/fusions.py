"""What onnxruntime's optimiser makes of the operators around attention, written out again."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from cortico.frontends.onnx_file.operators import MICROSOFT, OPERATORS
from cortico.frontends.onnx_file.parts import Parts


def _normalization(parts: Parts, inputs: list[str], options: dict[str, Any]) -> None:
    """Normalization after a residual, into which the bias of the map before it was moved."""
    node = onnx.NodeProto()
    node.CopyFrom(parts.node)
    place = list(OPERATORS[node.domain, node.op_type].operands).index("bias")
    if inputs[place]:
        node.input[0] = parts("Add", inputs[0], inputs[place])
        node.input[place] = ""
    parts.nodes.append(node)


def _product(parts: Parts, inputs: list[str], options: dict[str, Any]) -> None:
    """A matrix product with the transposes and the factor around it."""
    one, two = (
        parts("Swap", name) if options.get(flag) else name
        for name, flag in zip(inputs[:2], ("transA", "transB"), strict=True)
    )
    factor = float(options.get("alpha", 1.0))
    if factor == 1:
        parts("MatMul", one, two, result=parts.node.output[0])
    else:
        product = parts("MatMul", one, two)
        parts("Mul", product, np.array(factor), result=parts.node.output[0])


def _embedding(parts: Parts, inputs: list[str], options: dict[str, Any]) -> None:
    """Embedding and normalization, and how many tokens a mask of ones and zeros has."""
    node = onnx.NodeProto()
    node.CopyFrom(parts.node)
    if inputs[7] and len(node.output) > 1 and node.output[1]:
        parts("Count", inputs[7], result=node.output[1])
        node.output[1] = ""
    parts.nodes.append(node)


FUSIONS = {
    (MICROSOFT, "SkipLayerNormalization"): _normalization,
    (MICROSOFT, "SkipSimplifiedLayerNormalization"): _normalization,
    (MICROSOFT, "FusedMatMul"): _product,
    (MICROSOFT, "TransposeMatMul"): _product,
    (MICROSOFT, "EmbedLayerNormalization"): _embedding,
}
