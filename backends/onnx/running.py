"""Runs circuits as ONNX graphs with onnxruntime, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as MissingOperator

from cortico.backends.onnx.model import make_model, of_kind
from cortico.ir import Circuit, UnsupportedError
from cortico.ir.analysis.inputs import Arrays, all_live, precision


def run_model(
    circuit: Circuit, inputs: Arrays, symbols: Mapping[str, int], weights: Arrays, fuse: bool
) -> dict[str, np.ndarray]:
    """Output name to array, any leading batch axes kept. The graph itself has one batch axis."""
    dtype = np.dtype(precision(circuit, inputs, weights))
    model = make_model(circuit, weights, dtype, fuse)
    given = all_live(circuit, inputs, symbols)
    own = {tensor.name: len(tensor.given) for tensor in circuit.inputs}
    batch = np.broadcast_shapes(*(given[n].shape[: given[n].ndim - own[n]] for n in own))
    feeds = {}
    for tensor in circuit.inputs:
        array = given[tensor.name]
        sides = array.shape[array.ndim - own[tensor.name] :]
        kind = of_kind(tensor, dtype)
        flat = np.broadcast_to(array, (*batch, *sides)).reshape(-1, *sides)
        feeds[tensor.name] = np.ascontiguousarray(flat.astype(kind))
    session = _session(circuit, model.SerializeToString(), dtype)
    found = session.run(None, feeds)
    return {
        output.name: array.reshape((*batch, *array.shape[1:]))
        if array.ndim > len(output.source.axes)
        else np.broadcast_to(array, (*batch, *array.shape))  # no input reaches it
        for output, array in zip(circuit.outputs, found, strict=True)
    }


def _session(circuit: Circuit, model: bytes, dtype: np.dtype[Any]) -> onnxruntime.InferenceSession:
    """UnsupportedError where onnxruntime lacks an operator for these numbers, such as Erf for float64."""
    try:
        return onnxruntime.InferenceSession(model, _quiet())
    except MissingOperator as error:
        cells = {p.name: p.transfer for p in circuit.populations if p.transfer != "identity"}
        told = ", ".join(f"{name!r} ({transfer})" for name, transfer in cells.items())
        raise UnsupportedError(
            f"onnxruntime cannot run the transfer functions of {told} in {dtype}: {error}"
        ) from None


def _quiet() -> onnxruntime.SessionOptions:
    """Errors only: onnxruntime warns of initializers that it folds."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options
