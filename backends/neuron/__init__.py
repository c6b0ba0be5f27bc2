"""The NEURON backend: a script and two mechanisms that run the circuit, on one or many MPI processes.

`emitter` writes the script around the parts in `template`, `running` compiles and runs it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.backends.neuron.emitter import SCRIPT, emit_script, mechanisms
from cortico.backends.neuron.options import Options
from cortico.backends.neuron.running import require_neuron, run_script
from cortico.backends.script_backend import ScriptBackend
from cortico.ir import Circuit
from cortico.ir.analysis.inputs import Arrays

__all__ = ["NeuronBackend", "Options", "emit_script", "mechanisms"]


class NeuronBackend(ScriptBackend):
    """Emits a NEURON script with its mechanisms, and runs them in processes of their own."""

    name = "neuron"
    summary = "a NEURON script and mechanisms: one-segment compartments, over MPI"
    script = SCRIPT
    lacks = "which no mechanism of NEURON settles to"

    def __init__(self, **options: object) -> None:
        self.options = Options.of(options)

    def source(self, circuit: Circuit) -> str:
        return emit_script(circuit, self.options)

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        return {**super().emit(circuit), **mechanisms(circuit)}

    def require(self) -> None:
        require_neuron(self.options.ranks)

    def outputs(
        self, files: Mapping[str, str], inputs: Arrays, weights: Arrays
    ) -> dict[str, np.ndarray]:
        return run_script(files, inputs, weights, self.options.ranks)
