"""What the backends share that emit a script of cells for a simulator, and run it in a process of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from cortico.backends.cell_script import axes_in_time
from cortico.backends.script_parts import unwritable
from cortico.backends.transfers import unspelled
from cortico.ir import Circuit
from cortico.ir.analysis.inputs import Arrays, bind_symbols, stored_values


class ScriptBackend(ABC):
    """Emits one script, and runs it in a process of its own."""

    name: str
    summary: str
    script: str  #: the name of the emitted file
    lacks: str  #: what is said of a transfer function that the simulator cannot have

    @abstractmethod
    def source(self, circuit: Circuit) -> str:
        """The text of the script."""

    @abstractmethod
    def require(self) -> None:
        """UnsupportedError, in one line, when the simulator or what it needs is missing."""

    @abstractmethod
    def outputs(
        self, files: Mapping[str, str], inputs: Arrays, weights: Arrays
    ) -> dict[str, np.ndarray]:
        """What the script among emitted files gives, by name."""

    def unsupported(self, circuit: Circuit) -> list[str]:
        missing = unspelled(circuit, self.name, self.lacks)
        return [*axes_in_time(circuit), *missing, *unwritable(circuit)]

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        return {self.script: self.source(circuit)}

    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, np.ndarray],
        parameters: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to float64 array; the examples of a batch are simulated one after another."""
        self.require()
        weights = stored_values(circuit, bind_symbols(circuit, inputs), parameters)
        return self.outputs(self.emit(circuit), inputs, weights)
