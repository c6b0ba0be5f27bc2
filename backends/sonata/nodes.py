"""`nodes.h5`: one node per neuron, with its type, its index tuple and its position."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cortico.backends.protocol import Progress
from cortico.backends.sonata.hdf5 import array, new_file
from cortico.backends.sonata.positions import Layout
from cortico.backends.sonata.types import NODE_POPULATION
from cortico.ir import Circuit, Population

if TYPE_CHECKING:
    import h5py

    from cortico.ir.neurons import NeuronBlock

#: The index along an axis that a neuron's population does not have.
NO_INDEX = -1


def write_nodes(circuit: Circuit, path: Path, block: int, progress: Progress) -> None:
    """Write every neuron, `block` at a time; node ids are those of `circuit.neurons()`."""
    view, layout = circuit.neurons(), Layout(circuit)
    numbers = {population.name: k for k, population in enumerate(circuit.populations)}
    with new_file(path) as (file, check):
        nodes = file.create_group(f"nodes/{NODE_POPULATION}")
        _create(nodes, circuit, view.size)
        for part in view.neurons(block):
            first, last = int(part.ids[0]), int(part.ids[-1]) + 1
            progress(f"writing neurons of {part.population.name}: {last:,} of {view.size:,}")
            _write(nodes, slice(first, last), part, numbers[part.population.name], layout)
            check()


def _create(nodes: h5py.Group, circuit: Circuit, size: int) -> None:
    array(nodes, "node_type_id", size, np.uint32)
    array(nodes, "node_group_id", size, np.uint32)  # all zero: left unwritten
    array(nodes, "node_group_index", size, np.uint64)
    group = nodes.create_group("0")
    for name in "xyz":
        array(group, name, size, np.float64)
    for axis in circuit.axes:
        if not axis.in_time:
            array(group, f"index_{axis.name}", size, np.int64, fill=NO_INDEX)
    for name, labels in _labels(circuit.populations).items():
        array(group, name, size, np.uint32)
        group.create_dataset(f"@library/{name}", data=list(dict.fromkeys(labels)), dtype=_text())


def _write(nodes: h5py.Group, place: slice, part: NeuronBlock, number: int, layout: Layout) -> None:
    population = part.population
    nodes["node_type_id"][place] = number
    nodes["node_group_index"][place] = part.ids
    group = nodes["0"]
    for name, values in zip("xyz", layout.of(population, part.indices, len(part.ids)), strict=True):
        group[name][place] = values
    for axis, index in part.indices.items():
        group[f"index_{axis}"][place] = index
    for name, (label,) in _labels([population]).items():
        group[name][place] = group[f"@library/{name}"].asstr()[:].tolist().index(label)


def _labels(populations: Sequence[Population]) -> dict[str, list[str]]:
    """The texts that say what each population is, for readers that know no node types."""
    return {
        "population": [p.name for p in populations],
        "region": [p.region.value for p in populations],
        "layer": [p.region.label for p in populations],
        "cell_class": [p.cell_class.value for p in populations],
    }


def _text() -> object:
    import h5py

    return h5py.string_dtype("utf-8")
