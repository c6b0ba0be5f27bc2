"""A circuit as an ONNX model, and the model as a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from cortico.backends.onnx.array import Array
from cortico.backends.onnx.graph import EXTERNAL, Graph
from cortico.backends.onnx.recording import Recording
from cortico.ir import Circuit, Input, InputKind, Parameter
from cortico.ir.rewrite import fresh

FILE = "attention.onnx"


def make_model(
    circuit: Circuit, weights: Mapping[str, np.ndarray], dtype: np.dtype[Any], fuse: bool
) -> onnx.ModelProto:
    """The model of a circuit with these weights, in float32 or float64.

    Inputs and outputs have one batch axis in front. Parameters that are not in `weights` become inputs.
    With `fuse` it has operators `Attention` where they fit, in float32: onnxruntime has none for float64.
    """
    symbolic = _symbolic(circuit, weights)
    taken = [*(t.name for t in circuit.inputs), *(p.name for p in symbolic)]
    outputs = {o.name: fresh(o.name, taken) for o in circuit.outputs}
    graph = Graph([*taken, *outputs.values()])
    batch = fresh("batch", circuit.symbols)

    def given(tensor: Input | Parameter, front: tuple[str, ...], kind: np.dtype[Any]) -> Array:
        shape = (*front, *(tensor.given if isinstance(tensor, Input) else tensor.shape))
        return Array(graph, graph.input(tensor.name, kind, shape), kind, len(shape))

    arrays: dict[str, Any] = {t.name: given(t, (batch,), of_kind(t, dtype)) for t in circuit.inputs}
    arrays |= {**weights, **{p.name: given(p, (), dtype) for p in symbolic}}
    results = Recording(circuit, graph, dtype, arrays).outputs(fuse and dtype == np.float32)
    for output, result in zip(circuit.outputs, results, strict=True):
        sides = tuple(circuit.axis(axis).extent for axis in output.source.axes)
        front = (batch,) if result.ndim > len(sides) else ()
        value = result.astype(dtype)
        graph.output(outputs[output.name], value.name, dtype, (*front, *sides))
    return graph.model(circuit.name)


def of_kind(tensor: Input, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of what a graph is given for an input; `dtype` is that of rates."""
    others: dict[InputKind, type] = {InputKind.MASK: np.bool_, InputKind.TOKEN: np.int64}
    return np.dtype(others.get(tensor.kind, dtype))


def save_model(model: onnx.ModelProto, folder: Path, file: str = FILE) -> tuple[str, ...]:
    """Write a model, weights in a file beside it when they are large; the names of the files."""
    if size_of_weights(model) < EXTERNAL:
        onnx.save_model(model, folder / file)
        return (file,)
    data = f"{file}.data"
    onnx.save_model(
        model, folder / file, save_as_external_data=True, location=data, size_threshold=128
    )
    return file, data


def size_of_weights(model: onnx.ModelProto) -> int:
    """Bytes of what a model stores."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def _symbolic(circuit: Circuit, weights: Mapping[str, np.ndarray]) -> list[Parameter]:
    return [p for p in circuit.parameters if p.formula is None and p.name not in weights]
