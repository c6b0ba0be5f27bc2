"""The Nengo backend: one standalone script that makes a Nengo model of the circuit, exact or spiking.

What a spiking run prints says how far its rates were from exact ones: `NengoBackend.remarks`.
"""

from __future__ import annotations

from types import MappingProxyType

from cortico.backends.cells.backend import CellBackend
from cortico.backends.cells.timed import is_timed
from cortico.backends.nengo.in_time import InTime
from cortico.backends.nengo.options import Options
from cortico.ir import Circuit

__all__ = ["NengoBackend", "Options"]


class NengoBackend(CellBackend[Options]):
    """Emits a Nengo script, and runs it in a process of its own."""

    name = "nengo"
    summary = "a Nengo model: exact, or ensembles of spiking neurons (neurons=lif)"
    title = "Nengo"
    lacks = "which is infinite at 0, where Nengo asks it first"
    step_ms = "1000 * dt"
    template = "cortico.backends.nengo.template"
    Options = Options
    in_time = True
    writer_in_time = InTime

    def unsupported(self, circuit: Circuit) -> list[str]:
        has_steps = self.options.spiking or is_timed(circuit, self.options)
        lost = ["option dt, which is for neurons=lif and for models that run in time"]
        lost *= not has_steps and self.options.dt != Options.dt
        return [*lost, *super().unsupported(circuit)]

    def steps(self, circuit: Circuit) -> int | None:
        """One where it is exact."""
        return 1 if self.options.neurons == "direct" else None

    remarks_what_it_prints = True
    watching = MappingProxyType(
        {
            "probes": "self.recorder.watch(self, model)\n",
            "probed": "self.recorder.read(simulator)\n",
        }
    )
