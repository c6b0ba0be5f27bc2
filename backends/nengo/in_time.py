"""Nengo models that run in time: loops through delays, cells that integrate, streams of stimuli."""

from __future__ import annotations

from cortico.backends.cells.backend import WriterInTime
from cortico.backends.nengo import options as nengo
from cortico.ir import Circuit


class InTime(WriterInTime[nengo.Options]):
    """Writes the script of a model that runs in time."""

    name = "nengo"
    summary = "a Nengo model that runs in time"
    title = "Nengo"
    lacks = "which NumPy does not have"
    step_ms = "1000 * dt"
    template_in_time = "cortico.backends.nengo.template_in_time"
    Options = nengo.Options

    def arguments(self) -> dict[str, object]:
        return {"dt": self.options.dt}

    def unsupported(self, circuit: Circuit) -> list[str]:
        spiking = ["neurons=lif, which models that run in time do not have"] * self.options.spiking
        return [*spiking, *super().unsupported(circuit)]
