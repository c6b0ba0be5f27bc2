"""The Nengo backend: one standalone script that makes a Nengo model of the circuit, exact or spiking.

`emitter` writes the script around the parts in `template`, `running` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.backends.cell_script import axes_in_time
from cortico.backends.extras import require_extra
from cortico.backends.inputs import bind_symbols, infinite_weights, stored_values
from cortico.backends.nengo.emitter import SCRIPT, emit_script
from cortico.backends.nengo.options import Options
from cortico.backends.script_running import run_and_listen
from cortico.ir import Circuit

__all__ = ["NengoBackend", "Options", "emit_script"]


class NengoBackend:
    """Emits a Nengo script, and runs it in a process of its own."""

    name = "nengo"
    summary = "a Nengo model: exact, or ensembles of spiking neurons (neurons=lif)"

    def __init__(self, **options: object) -> None:
        self.options = Options.of(options)
        #: What the last run said: how far spiking rates were from exact ones.
        self.remarks: tuple[str, ...] = ()

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
        require_extra(self.name, "nengo")
        weights = stored_values(circuit, bind_symbols(circuit, inputs), parameters)
        source = emit_script(circuit, self.options)
        outputs, said = run_and_listen(source, inputs, weights, "the Nengo model")
        self.remarks = tuple(said.splitlines())
        return outputs
