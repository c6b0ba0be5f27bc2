"""The NIR backend: circuits that are an affine map of each token, as a graph that SNN tools read.

NIR (Pedersen et al. 2024, doi 10.1038/s41467-024-52259-9) has no node that multiplies two streams, so a
circuit is expressed when all but one compartment of each cell is constant: linear attention whose keys
and values are frozen (`cortico.freeze`). `affine` says what is, `graph` makes the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cortico.backends.extras import require_extra
from cortico.backends.hdf5 import new_disk_file
from cortico.backends.nir.affine import obstacles
from cortico.backends.nir.options import Options
from cortico.backends.protocol import Progress
from cortico.ir import Circuit, InputKind
from cortico.ir.analysis.inputs import infinite_weights

__all__ = ["NirBackend", "Options"]

FILE = "attention.nir"


class NirBackend:
    """Writes `attention.nir`."""

    name = "nir"
    summary = "a NIR graph of Affine and LI nodes, for circuits whose memory is frozen"

    def __init__(self, **options: object) -> None:
        self.options = Options.of(options)

    def unsupported(self, circuit: Circuit) -> list[str]:
        return [*obstacles(circuit, self.options.limit), *infinite_weights(circuit)]

    def write(self, circuit: Circuit, folder: Path, progress: Progress) -> Sequence[str]:
        """One HDF5 file, which `nir.read` reads."""
        require_extra(self.name, "nir")
        import nir

        from cortico.backends.nir.graph import nir_graph

        progress("writing the NIR graph")
        graph = nir_graph(_of_rates(circuit), self.options)
        with new_disk_file(folder / FILE) as file:
            nir.write(file, graph)
        return (FILE,)


def _of_rates(circuit: Circuit) -> Circuit:
    """The circuit that is given tokens as what they read as: the nodes of a graph know numbers only as rates."""
    kinds = {InputKind.TOKEN: InputKind.RATE}
    inputs = (replace(t, kind=kinds.get(t.kind, t.kind)) for t in circuit.inputs)
    return replace(circuit, inputs=tuple(inputs))
