"""The Nengo backend: one standalone script that makes a Nengo model of the circuit, exact or spiking."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.backends.cells.backend import CellBackend
from cortico.backends.nengo.options import Options
from cortico.backends.script_running import run_and_listen
from cortico.ir.analysis.inputs import Arrays

__all__ = ["NengoBackend", "Options"]


class NengoBackend(CellBackend[Options]):
    """Emits a Nengo script, and runs it in a process of its own."""

    name = "nengo"
    summary = "a Nengo model: exact, or ensembles of spiking neurons (neurons=lif)"
    title = "Nengo"
    lacks = "which is infinite at 0, where Nengo asks it first"
    template = "cortico.backends.nengo.template"
    Options = Options

    #: What the last run said: how far spiking rates were from exact ones.
    remarks: tuple[str, ...] = ()

    def outputs(
        self, files: Mapping[str, str], inputs: Arrays, weights: Arrays
    ) -> dict[str, np.ndarray]:
        outputs, said = run_and_listen(files[self.script], inputs, weights, "the Nengo model")
        self.remarks = tuple(said.splitlines())
        return outputs
