"""The Brian2 backend: one standalone script that runs the circuit in time.

`schedule` says when tokens that come one after another are presented, `cell_groups` which populations
share a NeuronGroup, `statements` and `results` write the script around them, `template` has what it carries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cortico.backends.brian2.emitter import emit_script
from cortico.backends.brian2.options import Options
from cortico.backends.brian2.running import load_simulate, require_brian2
from cortico.backends.brian2.schedule import unscheduled
from cortico.backends.cells.backend import ScriptBackend
from cortico.backends.cells.estimate import Estimate, estimate
from cortico.backends.script_parts import unwritable
from cortico.backends.transfers import unspelled
from cortico.ir import Circuit
from cortico.ir.analysis.dimensions import crowded

__all__ = ["Brian2Backend", "Options", "emit_script", "load_simulate"]


class Brian2Backend(ScriptBackend[Options]):
    """Emits a Brian2 script, and runs it in a process of its own."""

    name = "brian2"
    summary = "a Brian2 script: a network of rate units that settles to attention"
    title = "Brian2"
    Options = Options
    progress = "% (complete|simulated)"

    def unsupported(self, circuit: Circuit) -> list[str]:
        return list(_unsupported(circuit, self.options))

    def source(self, circuit: Circuit) -> str:
        return emit_script(circuit, self.options)

    def estimate(self, circuit: Circuit, symbols: Mapping[str, int]) -> Estimate | None:
        """In the fast form synapses are no objects: they take the bytes of their weights."""
        name = "brian2 fast" if self.options.form == "fast" else self.name
        cells = 1 + self.options.neurons if self.options.cells == "lif" else 1
        return estimate(name, self.title, circuit, symbols, cells)

    def require(self) -> None:
        require_brian2(self.options.target)


def _unsupported(circuit: Circuit, options: Options) -> Iterator[str]:
    yield from unscheduled(circuit)
    if any(axis.in_time for axis in circuit.axes):
        for name, value in (("form", "fast"), ("cells", "lif")):
            if getattr(options, name) == value:
                yield f"axes in time, which {name}={value} has not"
        if options.duration is not None:
            yield "axes in time, where duration does not apply: a token stays until all has settled"
    yield from crowded(circuit)
    yield from unspelled(circuit, "brian2", "which networks of Brian2 do not settle to")
    yield from unwritable(circuit)
