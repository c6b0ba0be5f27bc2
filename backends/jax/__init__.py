"""The JAX backend: one standalone file with a pure function, which imports only JAX and NumPy.

`cortico.backends.arrays` plans the program and finds attention in it, `emitter` writes the file,
`template` has the helpers: attention by blocks, sums over the past by scanning, sharding over devices.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cortico.backends.arrays.planner import tensor_names
from cortico.backends.inputs import bind_symbols, stored_values
from cortico.backends.jax.emitter import emit_function
from cortico.ir import Circuit, InputKind, UnsupportedError

__all__ = ["JaxBackend", "compile_function", "emit_function"]

#: Most axes for which einsum has letters.
_MOST_AXES = 52


class JaxBackend:
    """Emits `attention_jax.py`, and runs the emitted text directly."""

    name = "jax"
    summary = "a standalone JAX function, ready for jit, grad, vmap and many devices"

    def unsupported(self, circuit: Circuit) -> list[str]:
        if len(circuit.axes) > _MOST_AXES:
            return [f"{len(circuit.axes)} axes, einsum has letters for {_MOST_AXES}"]
        return []

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        return {"attention_jax.py": emit_function(circuit)}

    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, np.ndarray],
        parameters: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to array; float32 inputs are computed in float32, all others in float64."""
        if importlib.util.find_spec("jax") is None:
            raise UnsupportedError("backend 'jax' needs JAX: pip install 'cortico[jax]'")
        import jax

        weights = stored_values(circuit, bind_symbols(circuit, inputs), parameters)
        names = tensor_names(circuit)
        rates = [t.name for t in circuit.inputs if t.kind is InputKind.RATE]
        single = bool(rates) and all(inputs[name].dtype == np.float32 for name in rates)
        dtype = np.float32 if single else np.float64
        given = {names[n]: a.astype(dtype) if n in rates else a for n, a in inputs.items()}
        with jax.enable_x64(True):
            result = jax.jit(compile_function(emit_function(circuit)))(weights, **given)
            outputs = result if isinstance(result, tuple) else (result,)
            arrays = [np.asarray(output, dtype) for output in outputs]
        return dict(zip((o.name for o in circuit.outputs), arrays, strict=True))


def compile_function(source: str, filename: str = "<emitted by cortico>") -> Callable[..., Any]:
    """The function `attention` of emitted source. Only ever called on text that cortico emitted."""
    namespace: dict[str, Any] = {"__name__": "attention_jax", "__file__": filename}
    exec(compile(source, filename, "exec"), namespace)
    function: Callable[..., Any] = namespace["attention"]
    return function
