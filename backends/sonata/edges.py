"""`edges.h5`: one edge per synapse, with its type and its weight, and an index by target where it is cheap."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cortico.backends.protocol import Progress
from cortico.backends.sonata.hdf5 import array, new_file
from cortico.backends.sonata.target_index import TargetIndex, indexable
from cortico.backends.sonata.types import EDGE_POPULATION, NODE_POPULATION
from cortico.ir import Circuit

if TYPE_CHECKING:
    import h5py

    from cortico.ir.neurons import SynapseBlock

_ENDS = ("source_node_id", "target_node_id")


def write_edges(circuit: Circuit, path: Path, block: int, progress: Progress) -> None:
    """Write every synapse, `block` at a time, projection by projection."""
    total = int(circuit.counts().synapses)
    numbers = {projection.name: k for k, projection in enumerate(circuit.projections)}
    with new_file(path) as (file, check):
        edges = file.create_group(f"edges/{EDGE_POPULATION}")
        _create(edges, total)
        index = _target_index(circuit, edges, block)
        first = 0
        for part in circuit.neurons().synapses(block):
            last = first + len(part.pre)
            progress(f"writing synapses of {part.projection.name}: {last:,} of {total:,}")
            _write(edges, slice(first, last), part, numbers[part.projection.name])
            if index:
                index.add_synapses(part, first)
            first = last
            check()


def _target_index(circuit: Circuit, edges: h5py.Group, block: int) -> TargetIndex | None:
    """The index by target with its neurons, for edges to come; None where it is not cheap."""
    if not indexable(circuit):
        return None
    index = TargetIndex(circuit, edges)
    for part in circuit.neurons().neurons(block):
        index.add_neurons(part.population.name, part.ids)
    return index


def _create(edges: h5py.Group, size: int) -> None:
    for name in _ENDS:
        array(edges, name, size, np.uint64).attrs["node_population"] = NODE_POPULATION
    array(edges, "edge_type_id", size, np.uint32)
    array(edges, "edge_group_id", size, np.uint32)  # all zero: left unwritten
    array(edges, "edge_group_index", size, np.uint64)
    array(edges.create_group("0"), "syn_weight", size, np.float64)


def _write(edges: h5py.Group, place: slice, part: SynapseBlock, number: int) -> None:
    for name, ids in zip(_ENDS, (part.pre, part.post), strict=True):
        edges[name][place] = ids.view(np.uint64)
    edges["edge_type_id"][place] = number
    edges["edge_group_index"][place] = np.arange(place.start, place.stop, dtype=np.uint64)
    edges["0/syn_weight"][place] = part.weight
