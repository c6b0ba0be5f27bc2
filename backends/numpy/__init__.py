"""The NumPy backend: one readable standalone file that imports only numpy and the standard library.

A circuit with a transfer function that wants SciPy (`erf`, `gelu`) makes the file import that, too.

`cortico.backends.arrays` plans the program. `linear_maps` and `packing` take out what depends on
weights alone, `tiling` and `tile_code` make tiles of queries, `streaming` takes one token at a time,
`sharing` and `ranks` make it run on MPI ranks: `plan` brings them together. Of the file, `inputs` writes the
checks, `weights` the function `pack`, `step` that of one token, `emitter` the rest; `template` has the helpers.
`running` starts ranks. `network` has the file of a network, `past` what goes on from earlier tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from cortico.backends.arrays.backend import ArrayBackend, argument_names, compiled
from cortico.backends.arrays.network.running import GivenNetwork
from cortico.backends.extras import require_library
from cortico.backends.numpy.emitter import emit_source, what_ranks_share
from cortico.backends.numpy.network import emit_network
from cortico.backends.numpy.running import Options, require_mpi, run_on_ranks
from cortico.backends.transfers import of_circuit, scipy_import
from cortico.ir import Circuit
from cortico.ir.analysis.inputs import Arrays
from cortico.ir.network import Network

__all__ = ["NumpyBackend", "compile_source", "emit_source", "require_scipy"]


def require_scipy(circuits: Iterable[Circuit]) -> None:
    """UnsupportedError, with the command, where emitted code of circuits wants SciPy, and there is none."""
    if any(scipy_import(of_circuit(circuit)) for circuit in circuits):
        require_library("a transfer function of this circuit", "scipy", "erf", "SciPy")


class NumpyBackend(ArrayBackend):
    """Emits `attention.py`, and runs the emitted text directly."""

    name = "numpy"
    summary = "a standalone NumPy file"
    file = "attention.py"
    entry = "attention"
    network_file = "model.py"
    network_entry = "model"
    needs = "numpy"
    library = "NumPy"

    def __init__(self, **options: object) -> None:
        self.options = Options.of(options)

    def unsupported(self, circuit: Circuit) -> list[str]:
        problems = super().unsupported(circuit)
        if self.options.ranks > 1 and not problems and what_ranks_share(circuit) is None:
            problems.append("ranks > 1, but no areas meet in one sum after the tiles of queries")
        return problems

    def source(self, circuit: Circuit) -> str:
        return emit_source(circuit, on_ranks=self.options.ranks > 1)

    def outputs(self, entry: Any, weights: Arrays, inputs: Arrays, dtype: Any) -> Any:
        return entry(**inputs, weights=weights)

    def network_source(self, network: Network) -> str:
        return emit_network(network)

    def network_outputs(self, entry: Any, given: GivenNetwork) -> Any:
        require_scipy(given.network.blocks)
        return entry(**given.arguments, weights=given.weights, dtype=given.dtype)

    def results(self, circuit: Circuit, weights: Arrays, inputs: Arrays) -> Sequence[Any]:
        require_scipy([circuit])
        if self.options.ranks == 1:
            return super().results(circuit, weights, inputs)
        require_mpi()
        source = self.source(circuit)
        names = argument_names(circuit, source)
        given = {names[name]: array for name, array in inputs.items()}
        return run_on_ranks(source, given, weights, self.options.ranks)


def compile_source(source: str, filename: str = "<emitted by cortico>") -> Any:
    """The `attention` function of emitted source. Only ever called on text that cortico emitted."""
    return compiled(source, filename, "attention")
