"""The Brian2 backend: one standalone script that runs the circuit in time.

`schedule` says when tokens that come one after another are presented, `cell_groups` which populations
share a NeuronGroup, `statements` and `results` write the script around them, `template` holds its fixed
parts, `running` runs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cortico.backends.brian2.emitter import emit_script
from cortico.backends.brian2.options import Options
from cortico.backends.brian2.running import SCRIPT, load_simulate, require_brian2, run_script
from cortico.backends.brian2.schedule import unscheduled
from cortico.backends.script_parts import unwritable
from cortico.backends.transfers import unspelled
from cortico.ir import Circuit
from cortico.ir.analysis.inputs import bind_symbols, stored_values

__all__ = ["Brian2Backend", "Options", "emit_script", "load_simulate"]

#: Most axes: NumPy arrays have that many dimensions, and one is for presentations.
_MOST_AXES = 31


class Brian2Backend:
    """Emits a Brian2 script, and runs it in a process of its own."""

    name = "brian2"
    summary = "a Brian2 script: a network of rate units that settles to attention"

    def __init__(self, **options: object) -> None:
        self.options = Options.of(options)

    def unsupported(self, circuit: Circuit) -> list[str]:
        return list(_unsupported(circuit, self.options))

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        return {SCRIPT: emit_script(circuit, self.options)}

    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, np.ndarray],
        parameters: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to float64 array; the examples of a batch are simulated one after another."""
        require_brian2(self.options.target)
        weights = stored_values(circuit, bind_symbols(circuit, inputs), parameters)
        return run_script(emit_script(circuit, self.options), inputs, weights)


def _unsupported(circuit: Circuit, options: Options) -> Iterator[str]:
    yield from unscheduled(circuit)
    if any(axis.in_time for axis in circuit.axes):
        for name, value in (("form", "fast"), ("cells", "lif")):
            if getattr(options, name) == value:
                yield f"axes in time, which {name}={value} has not"
        if options.duration is not None:
            yield "axes in time, where duration does not apply: a token stays until all has settled"
    if len(circuit.axes) > _MOST_AXES:
        yield f"{len(circuit.axes)} axes, NumPy arrays have at most {_MOST_AXES} beside time"
    yield from unspelled(circuit, "brian2", "which networks of Brian2 do not settle to")
    yield from unwritable(circuit)
