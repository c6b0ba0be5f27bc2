"""The NEST backend: one standalone script that runs the circuit on NEST's own rate neurons.

`emitter` writes the script around the parts in `template`, `running` runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cortico.backends.cell_script import axes_in_time
from cortico.backends.extras import require_extra
from cortico.backends.inputs import bind_symbols, infinite_weights, stored_values
from cortico.backends.nest.emitter import SCRIPT, emit_script
from cortico.backends.nest.options import Options
from cortico.backends.nest.running import run_script
from cortico.ir import Circuit

__all__ = ["NestBackend", "Options", "emit_script"]

#: Transfer functions that rate neurons of NEST settle to.
_TRANSFERS = ("identity", "exp", "relu", "tanh")


class NestBackend:
    """Emits a PyNEST script, and runs it in a process of its own."""

    name = "nest"
    summary = "a NEST script: built-in rate neurons that settle to attention"

    def __init__(self, **options: object) -> None:
        self.options = Options.of(options)

    def unsupported(self, circuit: Circuit) -> list[str]:
        return [*axes_in_time(circuit), *_other_transfers(circuit), *infinite_weights(circuit)]

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        return {SCRIPT: emit_script(circuit, self.options)}

    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, np.ndarray],
        parameters: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to float64 array; the examples of a batch are simulated one after another."""
        require_extra(self.name, "nest", "NEST")
        weights = stored_values(circuit, bind_symbols(circuit, inputs), parameters)
        return run_script(emit_script(circuit, self.options), inputs, weights)


def _other_transfers(circuit: Circuit) -> Iterator[str]:
    for population in circuit.populations:
        if population.transfer not in _TRANSFERS:
            yield (
                f"population {population.name!r} has the transfer function {population.transfer}, "
                f"which no rate neuron of NEST has"
            )
