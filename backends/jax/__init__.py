"""The JAX backend: one standalone file with a pure function, which imports only JAX and NumPy.

`cortico.backends.arrays` plans the program and finds attention in it, `emitter` writes the file,
`template` has the helpers: attention by blocks, sums over the past by scanning, sharding over devices. `network` is the
same for networks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cortico.backends.arrays.backend import ArrayBackend, compiled
from cortico.backends.jax.emitter import emit_function
from cortico.backends.jax.network import emit_network
from cortico.ir import Circuit
from cortico.ir.analysis.inputs import Arrays
from cortico.ir.network import Network

__all__ = ["JaxBackend", "compile_function", "emit_function", "emit_network"]


class JaxBackend(ArrayBackend):
    """Emits `attention_jax.py`, and runs the emitted text directly."""

    name = "jax"
    summary = "a standalone JAX function, ready for jit, grad, vmap and many devices"
    file = "attention_jax.py"
    entry = "attention"
    network_file = "model_jax.py"
    network_entry = "model"
    needs = "jax"
    library = "JAX"

    def source(self, circuit: Circuit) -> str:
        return emit_function(circuit)

    def outputs(self, entry: Any, weights: Arrays, inputs: Arrays, dtype: Any) -> Any:
        return _called(entry, weights, inputs, dtype)

    def network_source(self, network: Network) -> str:
        return emit_network(network)


def _called(entry: Any, weights: Arrays, inputs: Arrays, dtype: Any) -> tuple[Any, ...]:
    """What a function gives, compiled, as arrays."""
    import jax

    given = {n: a.astype(dtype) if a.dtype.kind == "f" else a for n, a in inputs.items()}
    with jax.enable_x64(True):
        result = jax.jit(entry)(weights, **given)
        several = result if isinstance(result, tuple) else (result,)
        return tuple(np.asarray(output, dtype) for output in several)


def compile_function(source: str, filename: str = "<emitted by cortico>") -> Any:
    """The function `attention` of emitted source. Only ever called on text that cortico emitted."""
    return compiled(source, filename, "attention")
