"""The ANNarchy backend: one standalone script with the equations of every kind of neuron.

`neurons` writes the equations, `emitter` the script around the parts in `template`, `running` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.backends.annarchy.emitter import SCRIPT, emit_script
from cortico.backends.annarchy.options import Options
from cortico.backends.annarchy.running import require_annarchy, run_script
from cortico.backends.cell_script import axes_in_time
from cortico.backends.inputs import bind_symbols, infinite_weights, stored_values
from cortico.ir import Circuit

__all__ = ["AnnarchyBackend", "Options", "emit_script"]


class AnnarchyBackend:
    """Emits an ANNarchy script, and runs it in a process of its own."""

    name = "annarchy"
    summary = "an ANNarchy script: the equations as they are, compiled to C++"

    def __init__(self, **options: object) -> None:
        self.options = Options.of(options)

    def unsupported(self, circuit: Circuit) -> list[str]:
        return [*axes_in_time(circuit), *infinite_weights(circuit)]

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        return {SCRIPT: emit_script(circuit, self.options)}

    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, np.ndarray],
        parameters: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to float64 array; the examples of a batch are simulated one after another."""
        require_annarchy()
        weights = stored_values(circuit, bind_symbols(circuit, inputs), parameters)
        return run_script(emit_script(circuit, self.options), inputs, weights)
