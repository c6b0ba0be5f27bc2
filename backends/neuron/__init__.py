"""The NEURON backend: a script and two mechanisms that run the circuit, on one or many MPI processes.

`emitter` writes the script around the parts in `template`, `running` compiles and runs it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.backends.cell_script import axes_in_time
from cortico.backends.inputs import bind_symbols, infinite_weights, stored_values
from cortico.backends.neuron.emitter import SCRIPT, emit_script, mechanisms
from cortico.backends.neuron.options import Options
from cortico.backends.neuron.running import require_neuron, run_script
from cortico.ir import Circuit

__all__ = ["NeuronBackend", "Options", "emit_script", "mechanisms"]


class NeuronBackend:
    """Emits a NEURON script with its mechanisms, and runs them in processes of their own."""

    name = "neuron"
    summary = "a NEURON script and mechanisms: one-segment compartments, over MPI"

    def __init__(self, **options: object) -> None:
        self.options = Options.of(options)

    def unsupported(self, circuit: Circuit) -> list[str]:
        return [*axes_in_time(circuit), *infinite_weights(circuit)]

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        return {SCRIPT: emit_script(circuit, self.options), **mechanisms()}

    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, np.ndarray],
        parameters: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to float64 array; the examples of a batch are simulated one after another."""
        require_neuron(self.options.ranks)
        weights = stored_values(circuit, bind_symbols(circuit, inputs), parameters)
        source = emit_script(circuit, self.options)
        return run_script(source, mechanisms(), inputs, weights, self.options.ranks)
