"""The PyTorch backend: one standalone file with an `nn.Module`, which imports only PyTorch.

`cortico.backends.arrays` plans the program and finds attention in it, `layers` makes linear layers of
products with weights, `state` says what the module keeps, `emitter` writes the file, `template` has the helpers; `network` is the same
for networks.
"""

from __future__ import annotations

from typing import Any

from cortico.backends.arrays.backend import ArrayBackend, compiled
from cortico.backends.torch.emitter import emit_module
from cortico.backends.torch.network import emit_network
from cortico.ir import Circuit
from cortico.ir.analysis.inputs import Arrays
from cortico.ir.network import Network

__all__ = ["TorchBackend", "compile_module", "emit_module", "emit_network"]


class TorchBackend(ArrayBackend):
    """Emits `attention_torch.py`, and runs the emitted text directly, on the CPU."""

    name = "torch"
    summary = "a standalone PyTorch module, ready for autograd"
    file = "attention_torch.py"
    entry = "Attention"
    network_file = "model_torch.py"
    network_entry = "Model"
    needs = "torch"
    library = "PyTorch"

    def source(self, circuit: Circuit) -> str:
        return emit_module(circuit)

    def outputs(self, entry: Any, weights: Arrays, inputs: Arrays, dtype: Any) -> Any:
        return _called(entry, weights, inputs, dtype)

    def network_source(self, network: Network) -> str:
        return emit_network(network)


def _called(entry: Any, weights: Arrays, inputs: Arrays, dtype: Any) -> tuple[Any, ...]:
    """What a module of the class `entry` gives, as arrays."""
    import torch

    module = entry(weights, dtype=getattr(torch, dtype.__name__))
    given = {name: torch.asarray(array.copy()) for name, array in inputs.items()}
    with torch.no_grad():
        result = module(**given)
    several = result if isinstance(result, tuple) else (result,)
    return tuple(output.detach().numpy() for output in several)


def compile_module(source: str, filename: str = "<emitted by cortico>") -> Any:
    """The class `Attention` of emitted source. Only ever called on text that cortico emitted."""
    return compiled(source, filename, "Attention")
