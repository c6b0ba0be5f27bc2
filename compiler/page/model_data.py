"""What the script of a model's page knows: levels, blocks and wires by path, and each distinct circuit once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from cortico.anatomy import Audit
from cortico.ir import Circuit, Population, Projection
from cortico.ir.network import Network, Node, Port
from cortico.ir.network.sizes import sizes_of_nodes
from cortico.ir.paths import level_of
from cortico.ir.rewrite import map_axes
from cortico.page.data import Record, page_data
from cortico.pictures.blocks import block_circuit
from cortico.pictures.repeats import runs
from cortico.report.words import number, quantity


class ModelData:
    """A network with numbers for some of its symbols, and what a page says of it."""

    def __init__(self, network: Network, numbers: Mapping[str, int]) -> None:
        self.network, self.numbers = network, numbers
        self.flat = network.flatten().bind(**numbers)
        self._sizes = sizes_of_nodes(network)
        self._own: dict[str, list[Population]] = {}
        for population in self.flat.populations:
            self._own.setdefault(population.path, []).append(population)
        self._onto: dict[str, list[Projection]] = {}
        for projection in self.flat.projections:
            path = self.flat.population(projection.post).path
            self._onto.setdefault(path, []).append(projection)

    @cached_property
    def circuits(self) -> dict[str, Circuit]:
        """Each distinct circuit by its name, with the network's sizes where all that share it have the same."""
        found = {}
        for circuit, name in self.network.block_names.items():
            first, *_ = self.network.blocks[circuit]
            placed = block_circuit(self.network, first.path, self.numbers)
            found[name] = replace(placed if name in self._of_one_size else circuit, name=name)
        return found

    @cached_property
    def _of_one_size(self) -> set[str]:
        """The circuits whose symbols are the same in the network wherever they stand."""
        shared = self.network.blocks.items()
        return {
            self.network.block_names[circuit]
            for circuit, (first, *others) in shared
            if all(self._sizes[node.path] == self._sizes[first.path] for node in others)
        }

    def record(self, audits: Mapping[str, Audit]) -> Record:
        """Everything that the script shows, by name; `audits` are of the distinct circuits."""
        network = self.network
        drawn = (pair for run in runs(network) for pair in run.drawn.items())
        return {
            "name": network.name,
            "inputs": [tensor.name for tensor in network.inputs],
            "outputs": {output.name: str(output.source) for output in network.outputs},
            "levels": dict(self._levels()),
            "nodes": {node.path: self._node(node) for node in network.nodes},
            "drawn": dict(drawn),
            "blocks": {
                name: page_data(found.circuit, found, None, ()) | _layers(found.circuit)
                for name, found in audits.items()
            },
        }

    def _levels(self) -> Iterator[tuple[str, Record]]:
        for level in self.network.levels:
            paths = [node.path for node in level.nodes]
            yield level.path, {"nodes": paths, **self._counts(level.nodes)}

    def _node(self, node: Node) -> Record:
        block, sizes = self.network.block_names[node.circuit], self._sizes[node.path].items()
        ports = [Port(tensor.name, node.path) for tensor in node.circuit.inputs]
        return {
            "block": block,
            "level": level_of(node.path),
            "sizes": [f"{own} = {it}" for own, it in sizes if own != it]
            * (block not in self._of_one_size),
            "hears": [[port.name, *_end(self.network.source_of[port])] for port in ports],
            "feeds": self._feeds.get(node.path, []),
            **self._counts([node]),
        }

    @cached_property
    def _feeds(self) -> dict[str, list[tuple[str, str, str]]]:
        """Of each block each output, with the path and the input that hear it; no path where the network gives it."""
        ends = [(wire.source, _end(wire.target)) for wire in self.network.wires]
        ends += [(output.source, ("", output.name)) for output in self.network.outputs]
        found: dict[str, list[tuple[str, str, str]]] = {}
        for source, end in ends:
            found.setdefault(source.path, []).append((source.name, *end))
        return found

    def _counts(self, nodes: Sequence[Node]) -> Record:
        """Of the cells of some blocks, and of the synapses onto them."""
        counts = self.flat.counts()
        own = (p for node in nodes for p in self._own.get(node.path, ()))
        onto = (p for node in nodes for p in self._onto.get(node.path, ()))
        parameters = sum(node.circuit.counts().parameters for node in nodes)
        return {
            "neurons": quantity(counts.neurons_in(own), "neuron"),
            "synapses": quantity(counts.synapses_in(onto), "synapse"),
            "parameters": quantity(parameters, "parameter"),
        }


def _end(port: Port) -> tuple[str, str]:
    return port.path, port.name


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
