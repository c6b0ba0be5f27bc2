"""The ANNarchy backend: one standalone script with the equations of every kind of neuron.

`neurons` writes the equations, `emitter` the script around the parts in `template`, `running` runs it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.backends.annarchy.emitter import SCRIPT, emit_script
from cortico.backends.annarchy.options import Options
from cortico.backends.annarchy.running import require_annarchy, run_script
from cortico.backends.script_backend import ScriptBackend
from cortico.ir import Circuit
from cortico.ir.analysis.inputs import Arrays

__all__ = ["AnnarchyBackend", "Options", "emit_script"]


class AnnarchyBackend(ScriptBackend):
    """Emits an ANNarchy script, and runs it in a process of its own."""

    name = "annarchy"
    summary = "an ANNarchy script: the equations as they are, compiled to C++"
    script = SCRIPT
    lacks = "which networks of ANNarchy do not settle to"

    def __init__(self, **options: object) -> None:
        self.options = Options.of(options)

    def source(self, circuit: Circuit) -> str:
        return emit_script(circuit, self.options)

    def require(self) -> None:
        require_annarchy()

    def outputs(
        self, files: Mapping[str, str], inputs: Arrays, weights: Arrays
    ) -> dict[str, np.ndarray]:
        return run_script(files[SCRIPT], inputs, weights)
