"""The Nengo backend: one standalone script that makes a Nengo model of the circuit, exact or spiking.

`emitter` writes the script around the parts in `template`, `running` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.backends.extras import require_extra
from cortico.backends.nengo.emitter import SCRIPT, emit_script
from cortico.backends.nengo.options import Options
from cortico.backends.script_backend import ScriptBackend
from cortico.backends.script_running import run_and_listen
from cortico.ir import Circuit
from cortico.ir.analysis.inputs import Arrays

__all__ = ["NengoBackend", "Options", "emit_script"]


class NengoBackend(ScriptBackend):
    """Emits a Nengo script, and runs it in a process of its own."""

    name = "nengo"
    summary = "a Nengo model: exact, or ensembles of spiking neurons (neurons=lif)"
    script = SCRIPT
    lacks = "which is infinite at 0, where Nengo asks it first"

    def __init__(self, **options: object) -> None:
        self.options = Options.of(options)
        #: What the last run said: how far spiking rates were from exact ones.
        self.remarks: tuple[str, ...] = ()

    def source(self, circuit: Circuit) -> str:
        return emit_script(circuit, self.options)

    def require(self) -> None:
        require_extra(self.name, "nengo")

    def outputs(
        self, files: Mapping[str, str], inputs: Arrays, weights: Arrays
    ) -> dict[str, np.ndarray]:
        outputs, said = run_and_listen(files[SCRIPT], inputs, weights, "the Nengo model")
        self.remarks = tuple(said.splitlines())
        return outputs
