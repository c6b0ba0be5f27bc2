"""The NumPy backend: one readable standalone file that imports only numpy.

`cortico.backends.arrays` plans the program, `emitter` writes the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cortico.backends.arrays.planner import tensor_names
from cortico.backends.inputs import bind_symbols, stored_values
from cortico.backends.numpy.emitter import emit_source
from cortico.ir import Circuit

#: Most axes for which einsum has letters.
_MOST_AXES = 52


class NumpyBackend:
    """Emits `attention.py`, and runs the emitted text directly."""

    name = "numpy"
    summary = "a standalone NumPy file"

    def unsupported(self, circuit: Circuit) -> list[str]:
        if len(circuit.axes) > _MOST_AXES:
            return [f"{len(circuit.axes)} axes, einsum has letters for {_MOST_AXES}"]
        return []

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        return {"attention.py": emit_source(circuit)}

    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, np.ndarray],
        parameters: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to array; float32 inputs are computed in float32."""
        weights = stored_values(circuit, bind_symbols(circuit, inputs), parameters)
        names = tensor_names(circuit)
        arguments = {names[name]: array for name, array in inputs.items()}
        result = compile_source(emit_source(circuit))(**arguments, weights=weights)
        outputs = result if isinstance(result, tuple) else (result,)
        return dict(zip((o.name for o in circuit.outputs), outputs, strict=True))


def compile_source(source: str, filename: str = "<emitted by cortico>") -> Callable[..., Any]:
    """The `attention` function of emitted source. Only ever called on text that cortico emitted."""
    namespace: dict[str, Any] = {"__name__": "attention", "__file__": filename}
    exec(compile(source, filename, "exec"), namespace)
    function: Callable[..., Any] = namespace["attention"]
    return function
