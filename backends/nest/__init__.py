"""The NEST backend: one standalone script that runs the circuit on NEST's own rate neurons.

`emitter` writes the script around the parts in `template`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.backends.extras import require_extra
from cortico.backends.nest.emitter import SCRIPT, emit_script
from cortico.backends.nest.options import Options
from cortico.backends.script_backend import ScriptBackend
from cortico.backends.script_running import run_and_listen
from cortico.ir import Circuit
from cortico.ir.analysis.inputs import Arrays

__all__ = ["NestBackend", "Options", "emit_script"]


class NestBackend(ScriptBackend):
    """Emits a PyNEST script, and runs it in a process of its own."""

    name = "nest"
    summary = "a NEST script: built-in rate neurons that settle to attention"
    script = SCRIPT
    lacks = "which no rate neuron of NEST has"

    def __init__(self, **options: object) -> None:
        self.options = Options.of(options)

    def source(self, circuit: Circuit) -> str:
        return emit_script(circuit, self.options)

    def require(self) -> None:
        require_extra(self.name, "nest", "NEST")

    def outputs(
        self, files: Mapping[str, str], inputs: Arrays, weights: Arrays
    ) -> dict[str, np.ndarray]:
        return run_and_listen(files[SCRIPT], inputs, weights, "the NEST network")[0]
