"""What the script of a model's page knows: levels, blocks and wires by path, and each distinct circuit once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from cortico.anatomy import Audit
from cortico.ir import Circuit
from cortico.ir.network import Network, Node, Port
from cortico.ir.network.sizes import sizes_of_nodes
from cortico.ir.paths import level_of
from cortico.ir.rewrite import map_axes
from cortico.page.data import Record, page_data
from cortico.pictures.blocks import block_circuit
from cortico.pictures.repeats import runs
from cortico.report.words import number, quantity


def drawn_circuits(network: Network, sizes: Mapping[str, int]) -> dict[str, Circuit]:
    """Each distinct circuit by its name, with the network's sizes where all that share it have the same."""
    found = {}
    for circuit, nodes in network.blocks.items():
        alike = _has_one_size(network, nodes)
        placed = block_circuit(network, nodes[0].path, sizes) if alike else circuit
        found[network.block_names[circuit]] = replace(placed, name=network.block_names[circuit])
    return found


def _has_one_size(network: Network, nodes: Sequence[Node]) -> bool:
    """Whether the symbols of nodes that share a circuit are the same in the network."""
    first, *others = (sizes_of_nodes(network)[node.path] for node in nodes)
    return all(other == first for other in others)


def model_data(network: Network, sizes: Mapping[str, int], audits: Mapping[str, Audit]) -> Record:
    """Everything that the script shows, by name; `audits` are of the distinct circuits."""
    flat = network.flatten().bind(**sizes)
    return {
        "name": network.name,
        "inputs": [str(tensor.name) for tensor in network.inputs],
        "outputs": {o.name: str(o.source) for o in network.outputs},
        "levels": {level.path: _level(flat, level.path, level.nodes) for level in network.levels},
        "nodes": {node.path: _node(network, flat, node) for node in network.nodes},
        "drawn": {path: first for run in runs(network) for path, first in run.drawn.items()},
        "blocks": {
            n: page_data(a.circuit, a, None, ()) | _layers(a.circuit) for n, a in audits.items()
        },
    }


def _level(flat: Circuit, path: str, nodes: Sequence[Node]) -> Record:
    return {"nodes": [node.path for node in nodes], **_counts(flat, nodes)}


def _counts(flat: Circuit, nodes: Iterable[Node]) -> Record:
    """Of the cells of some blocks, and of the synapses onto them."""
    counts, paths = flat.counts(), [node.path for node in nodes]
    own = {p.name: p for p in flat.populations if p.path in paths}
    parameters = sum(node.circuit.counts().parameters for node in nodes)
    return {
        "neurons": quantity(counts.neurons_in(own.values()), "neuron"),
        "synapses": quantity(
            counts.synapses_in(p for p in flat.projections if p.post in own), "synapse"
        ),
        "parameters": quantity(parameters, "parameter"),
    }


def _node(network: Network, flat: Circuit, node: Node) -> Record:
    alike = _has_one_size(network, network.blocks[node.circuit])
    sizes = {} if alike else sizes_of_nodes(network)[node.path]
    return {
        "block": network.block_names[node.circuit],
        "level": level_of(node.path),
        "sizes": [f"{own} = {extent}" for own, extent in sizes.items() if own != extent],
        "hears": [
            [t.name, *_end(network.source_of[Port(t.name, node.path)])] for t in node.circuit.inputs
        ],
        "feeds": list(_feeds(network, node.path)),
        **_counts(flat, (node,)),
    }


def _end(port: Port) -> tuple[str, str]:
    return port.path, port.name


def _feeds(network: Network, path: str) -> Iterator[tuple[str, str, str]]:
    """Each output with the path and the input that hear it; no path where the network gives it."""
    for wire in network.wires:
        if wire.source.path == path:
            yield wire.source.name, *_end(wire.target)
    for output in network.outputs:
        if output.source.path == path:
            yield output.source.name, "", output.name


def _layers(circuit: Circuit) -> Record:
    """The populations of an area by layer, with the neurons of each in one area, and the thalamic ones."""
    counts = circuit.counts()
    areas = [axis.name for axis in circuit.axes if axis.role == "area"]
    one = map_axes(circuit, lambda a: replace(a, extent=1) if a.name in areas else a).counts()
    area = next(iter(circuit.areas), None)
    layers = {} if area is None else area.layers
    return {
        "layers": {
            str(region.label): [[p.name, number(one.neurons_of[p.name])] for p in of]
            for region, of in layers.items()
        },
        "thalamus": [
            [p.name, number(counts.neurons_of[p.name])]
            for p in circuit.populations
            if not p.region.in_cortex
        ],
    }
