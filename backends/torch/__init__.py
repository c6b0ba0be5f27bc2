"""The PyTorch backend: one standalone file with an `nn.Module`, which imports only PyTorch.

`cortico.backends.arrays` plans the program and finds attention in it, `layers` makes linear layers of
products with weights, `state` says what the module keeps, `emitter` writes the file.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from cortico.backends.arrays.planner import tensor_names
from cortico.backends.inputs import bind_symbols, stored_values
from cortico.backends.torch.emitter import emit_module
from cortico.ir import Circuit, InputKind, UnsupportedError

__all__ = ["TorchBackend", "compile_module", "emit_module"]

#: Most axes for which einsum has letters.
_MOST_AXES = 52


class TorchBackend:
    """Emits `attention_torch.py`, and runs the emitted text directly."""

    name = "torch"
    summary = "a standalone PyTorch module, ready for autograd"

    def unsupported(self, circuit: Circuit) -> list[str]:
        if len(circuit.axes) > _MOST_AXES:
            return [f"{len(circuit.axes)} axes, einsum has letters for {_MOST_AXES}"]
        return []

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        return {"attention_torch.py": emit_module(circuit)}

    def run(
        self,
        circuit: Circuit,
        inputs: Mapping[str, np.ndarray],
        parameters: Mapping[str, np.ndarray] | None = None,
    ) -> dict[str, np.ndarray]:
        """Output name to array, on the CPU; float32 inputs are computed in float32, all others in float64."""
        if importlib.util.find_spec("torch") is None:
            raise UnsupportedError("backend 'torch' needs PyTorch: pip install 'cortico[torch]'")
        import torch

        weights = stored_values(circuit, bind_symbols(circuit, inputs), parameters)
        names = tensor_names(circuit)
        rates = [t.name for t in circuit.inputs if t.kind is InputKind.RATE]
        single = bool(rates) and all(inputs[name].dtype == np.float32 for name in rates)
        module = compile_module(emit_module(circuit))(
            weights, dtype=torch.float32 if single else torch.float64
        )
        given = {names[name]: torch.asarray(array, copy=True) for name, array in inputs.items()}
        with torch.no_grad():
            result = module(**given)
        outputs = result if isinstance(result, tuple) else (result,)
        arrays = [output.detach().numpy() for output in outputs]
        return dict(zip((o.name for o in circuit.outputs), arrays, strict=True))


def compile_module(source: str, filename: str = "<emitted by cortico>") -> Any:
    """The class `Attention` of emitted source. Only ever called on text that cortico emitted."""
    namespace: dict[str, Any] = {"__name__": "attention_torch", "__file__": filename}
    exec(compile(source, filename, "exec"), namespace)
    return namespace["Attention"]
