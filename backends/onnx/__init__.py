"""The ONNX backend: the circuit as one ONNX graph, which onnxruntime runs.

`recording` runs the planned program of the array backends on the arrays of `array`, with the functions of
`numpy_on_onnx`; `graph` collects the nodes, `model` makes the file of them, `network` that of a network,
`running` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cortico.backends.arrays.network.running import GivenNetwork, network_weights
from cortico.backends.extras import require_extra
from cortico.backends.numpy import NumpyBackend
from cortico.backends.protocol import Progress
from cortico.backends.transfers import unspelled
from cortico.ir import Circuit
from cortico.ir.analysis.inputs import given_inputs, stored_values
from cortico.ir.arguments import kind
from cortico.ir.network import Network
from cortico.ir.options import OptionSet

__all__ = ["OnnxBackend"]


@dataclass(frozen=True)
class Options(OptionSet):
    """How the graph is written: its floats, and attention as one operator where that fits or as its parts."""

    owner = "backend onnx"

    dtype: Literal["float32", "float64"] = "float32"
    form: Literal["operator", "primitives"] = "operator"


class OnnxBackend:
    """Writes `attention.onnx` (opset 23), and runs such graphs with onnxruntime."""

    at_rest = True
    name = "onnx"
    summary = "an ONNX graph, opset 23, with any number of tokens and examples"

    def __init__(self, **options: object) -> None:
        chosen = Options.of(options)
        self.dtype, self.fuse = np.dtype(chosen.dtype), chosen.form == "operator"

    def unsupported(self, circuit: Circuit) -> list[str]:
        missing = unspelled(circuit, "onnx", "for which ONNX has no operators")
        return [*missing, *NumpyBackend().unsupported(circuit)]

    def write(self, circuit: Circuit, folder: Path, progress: Progress) -> Sequence[str]:
        """`attention.onnx`, and a file of weights beside it when they are more than a gigabyte."""
        require_extra(self.name, "onnx")
        from cortico.backends.onnx.model import make_model, save_model

        progress("recording the ONNX graph")
        stored = {p.name: p.values for p in circuit.parameters if p.values is not None}
        return save_model(make_model(circuit, stored, self.dtype, self.fuse), folder)

    @kind
    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, Any],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to array; float32 inputs are computed in float32, all others in float64."""
        require_extra(self.name, "onnx")
        require_extra(self.name, "onnxruntime")
        from cortico.backends.onnx.running import run_model

        inputs, symbols = given_inputs(circuit, inputs)
        weights = stored_values(circuit, symbols, parameters)
        return run_model(circuit, inputs, symbols, weights, self.fuse)

    def write_network(self, network: Network, folder: Path, progress: Progress) -> Sequence[str]:
        """`model.onnx`, and a file of weights beside it when they are more than a gigabyte."""
        require_extra(self.name, "onnx")
        from cortico.backends.onnx.model import save_model
        from cortico.backends.onnx.network import FILE, make_network_model

        progress("recording the ONNX graph")
        weights = network_weights(network)
        return save_model(make_network_model(network, weights, self.dtype, self.fuse), folder, FILE)

    @kind
    def run_network(self, network: Network, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Output name to array, in the precision that the rates have, or without such inputs the weights."""
        require_extra(self.name, "onnx")
        require_extra(self.name, "onnxruntime")
        from cortico.backends.onnx.running import run_network_model

        return run_network_model(GivenNetwork.of(network, inputs), self.fuse)
