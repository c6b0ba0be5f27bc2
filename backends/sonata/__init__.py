"""The SONATA backend: all neurons and synapses of a circuit as HDF5 files that the field's tools read.

Format: Dai et al. 2020, doi 10.1371/journal.pcbi.1007696. `nodes` and `edges` write the two HDF5 files
block by block, `types` the tables and the configuration, `positions` says where neurons are drawn.

A reader gets structure, weights and positions. No simulator tried runs rate neurons from SONATA. What
SONATA has no words for (index relations, drives, transfer functions) stays in the circuit's own text,
which lies in the same folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cortico.backends.extras import require_extra
from cortico.backends.protocol import Progress
from cortico.backends.sonata.types import CONFIG, EDGE_TYPES, EDGES, NODE_TYPES, NODES, write_tables
from cortico.ir import Circuit, Parameter
from cortico.ir.limits import SIZE
from cortico.ir.options import OptionSet, whole
from cortico.ir.tensors import TensorRef

__all__ = ["CONFIG", "SonataBackend"]

#: Neurons or synapses in memory at once.
BLOCK = 1 << 18


@dataclass(frozen=True)
class Options(OptionSet):
    """How files are written: `block` neurons or synapses at once."""

    owner = "backend sonata"

    block: Annotated[int, whole(1, SIZE, "a positive integer")] = BLOCK


class SonataBackend:
    """Writes `circuit_config.json`, nodes and edges."""

    name = "sonata"
    in_time = True
    summary = "SONATA files: every neuron and synapse, with positions, for viewers and analysis"

    def __init__(self, **options: object) -> None:
        self.block = Options.of(options).block

    def unsupported(self, circuit: Circuit) -> list[str]:
        return list(_unsupported(circuit))

    def write(self, circuit: Circuit, folder: Path, progress: Progress) -> Sequence[str]:
        """The files in constant memory, besides the circuit's own parameters."""
        require_extra(self.name, "h5py")
        from cortico.backends.sonata.edges import write_edges
        from cortico.backends.sonata.nodes import write_nodes

        write_nodes(circuit, folder / NODES, self.block, progress)
        write_edges(circuit, folder / EDGES, self.block, progress)
        write_tables(circuit, folder)
        return (CONFIG, NODES, NODE_TYPES, EDGES, EDGE_TYPES)


def _unsupported(circuit: Circuit) -> Iterator[str]:
    for symbol in circuit.symbols:
        yield f"size {symbol!r} has no number: every neuron is written (compile with --tokens)"
    for name, reads in _weights(circuit).items():
        tensor = circuit.tensor(name)
        if not isinstance(tensor, Parameter):
            yield f"weight {name!r} is an input, which has no number before the circuit runs"
        elif _symbolic(circuit, tensor):
            yield f"weight {name!r} has no numbers (compile with --weights)"
        for axis in sorted({a for read in reads for a in read.axes if circuit.axis(a).in_time}):
            yield f"weight {name!r} changes along axis {axis!r}, which is in time"


def _weights(circuit: Circuit) -> dict[str, list[TensorRef]]:
    """The tensors that are weights of synapses, and where they are read."""
    reads: dict[str, list[TensorRef]] = {}
    for projection in circuit.projections:
        if projection.weight.tensor is not None:
            reads.setdefault(projection.weight.tensor.name, []).append(projection.weight.tensor)
    return reads


def _symbolic(circuit: Circuit, parameter: Parameter) -> bool:
    arguments = parameter.formula.arguments if parameter.formula else ()
    parts = list(map(circuit.tensor, arguments)) or [parameter]
    return any(isinstance(part, Parameter) and part.values is None for part in parts)
