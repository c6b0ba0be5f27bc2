"""Runs circuits as ONNX graphs with onnxruntime, on the CPU."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as MissingOperator

from cortico.backends.arrays.network.running import GivenNetwork
from cortico.backends.onnx.graph import EXTERNAL
from cortico.backends.onnx.model import make_model, of_kind, save_model, size_of_weights
from cortico.backends.onnx.network import make_network_model
from cortico.ir import Circuit, UnsupportedError
from cortico.ir.analysis.inputs import Arrays, Taking, all_live, precision


def run_model(
    circuit: Circuit, inputs: Arrays, symbols: Mapping[str, int], weights: Arrays, fuse: bool
) -> dict[str, np.ndarray]:
    """Output name to array, any leading batch axes kept. The graph itself has one batch axis."""
    dtype = np.dtype(precision(circuit, inputs, weights))
    model = make_model(circuit, weights, dtype, fuse)
    cells = {p.name: p.transfer for p in circuit.populations}
    found, batch = _computed(circuit, model, all_live(circuit, inputs, symbols), dtype, cells)
    axes = {output.name: len(output.source.axes) for output in circuit.outputs}
    return {n: _with_batch(a, batch, axes[n]) for n, a in zip(axes, found, strict=True)}


def run_network_model(given: GivenNetwork, fuse: bool) -> dict[str, np.ndarray]:
    """The same for a network."""
    dtype, network = np.dtype(given.dtype), given.network
    model = make_network_model(network, given.weights, dtype, fuse)
    cells = {f"{n.path}.{p.name}": p.transfer for n in network for p in n.circuit.populations}
    inputs = all_live(network, given.inputs, given.symbols)
    found, batch = _computed(network, model, inputs, dtype, cells)
    return {n: _with_batch(a, batch, given.axes[n]) for n, a in zip(given.axes, found, strict=True)}


def _computed(
    taking: Taking,
    model: onnx.ModelProto,
    given: Arrays,
    dtype: np.dtype[Any],
    cells: Mapping[str, str],
) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """The outputs of a model for inputs with one batch axis, and the batch axes that these had."""
    own = {tensor.name: len(tensor.given) for tensor in taking.inputs}
    batch = np.broadcast_shapes(*(given[n].shape[: given[n].ndim - own[n]] for n in own))
    feeds = {}
    for tensor in taking.inputs:
        array = given[tensor.name]
        sides = array.shape[array.ndim - own[tensor.name] :]
        flat = np.broadcast_to(array, (*batch, *sides)).reshape(-1, *sides)
        feeds[tensor.name] = np.ascontiguousarray(flat.astype(of_kind(tensor, dtype)))
    return _session(model, dtype, cells).run(None, feeds), batch


def _with_batch(array: np.ndarray, batch: tuple[int, ...], axes: int) -> np.ndarray:
    """An output with the batch axes of the inputs, also where no input reaches it."""
    if array.ndim > axes:
        return array.reshape((*batch, *array.shape[1:]))
    return np.broadcast_to(array, (*batch, *array.shape))


def _session(
    model: onnx.ModelProto, dtype: np.dtype[Any], cells: Mapping[str, str]
) -> onnxruntime.InferenceSession:
    """UnsupportedError where onnxruntime lacks an operator for these numbers, such as Erf for float64."""
    try:
        if size_of_weights(model) < EXTERNAL:
            return onnxruntime.InferenceSession(model.SerializeToString(), _quiet())
        with tempfile.TemporaryDirectory() as folder:  # protobuf ends at 2 GB
            file, *_ = save_model(model, Path(folder))
            return onnxruntime.InferenceSession(str(Path(folder) / file), _quiet())
    except MissingOperator as error:
        others = {name: transfer for name, transfer in cells.items() if transfer != "identity"}
        told = ", ".join(f"{name!r} ({transfer})" for name, transfer in others.items())
        raise UnsupportedError(
            f"onnxruntime cannot run the transfer functions of {told} in {dtype}: {error}"
        ) from None


def _quiet() -> onnxruntime.SessionOptions:
    """Errors only: onnxruntime warns of initializers that it folds."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options
