"""What the backends share that write a program of arrays into one Python file, and run its text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cortico.backends.arrays.planner import tensor_names
from cortico.backends.extras import require_extra
from cortico.backends.inputs import Arrays, bind_symbols, stored_values
from cortico.ir import Circuit, InputKind

#: Most axes for which einsum has letters.
_MOST_AXES = 52


class ArrayBackend(ABC):
    """Emits one file, and runs the emitted text directly."""

    name: str
    summary: str
    file: str  #: the name of the emitted file
    entry: str  #: what it defines: a function of inputs, or the class of one
    needs: str  #: the module that it imports
    library: str  #: what that is called

    @abstractmethod
    def source(self, circuit: Circuit) -> str:
        """The text of the file."""

    @abstractmethod
    def outputs(self, entry: Any, weights: Arrays, inputs: Arrays, dtype: Any) -> Any:
        """What the file's `entry` gives: an array, or a tuple of them. `dtype` is the precision."""

    def unsupported(self, circuit: Circuit) -> list[str]:
        if len(circuit.axes) > _MOST_AXES:
            return [f"{len(circuit.axes)} axes, einsum has letters for {_MOST_AXES}"]
        return []

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        return {self.file: self.source(circuit)}

    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, np.ndarray],
        parameters: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to array; float32 inputs are computed in float32, all others in float64."""
        require_extra(self.name, self.needs, self.library)
        weights = stored_values(circuit, bind_symbols(circuit, inputs), parameters)
        names = tensor_names(circuit)
        arguments = {names[name]: array for name, array in inputs.items()}
        result = self.results(circuit, weights, arguments)
        return dict(zip((o.name for o in circuit.outputs), result, strict=True))

    def results(self, circuit: Circuit, weights: Arrays, inputs: Arrays) -> Sequence[Any]:
        """The outputs in their order; `inputs` by the names that the file gives them."""
        names = tensor_names(circuit)
        rates = [names[t.name] for t in circuit.inputs if t.kind is InputKind.RATE]
        single = bool(rates) and all(inputs[name].dtype == np.float32 for name in rates)
        entry = compiled(self.source(circuit), self.file, self.entry)
        result = self.outputs(entry, weights, inputs, np.float32 if single else np.float64)
        return result if isinstance(result, tuple) else (result,)


def compiled(source: str, filename: str, entry: str) -> Any:
    """What emitted source defines as `entry`. Only ever called on text that cortico emitted."""
    namespace: dict[str, Any] = {"__name__": filename.removesuffix(".py"), "__file__": filename}
    exec(compile(source, filename, "exec"), namespace)
    return namespace[entry]
