"""A network as one circuit: blocks side by side, wires as synapses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cortico.ir.circuit import Circuit, Output
from cortico.ir.invariants import check
from cortico.ir.network.network import Network, Node, Port
from cortico.ir.network.sizes import Sizes, sizes_of_nodes, with_sizes
from cortico.ir.paths import prefix
from cortico.ir.population import Compartment, Population, Projection
from cortico.ir.rewrite import fresh, map_populations, rename
from cortico.ir.tensors import TensorRef, Weight


def flatten(network: Network) -> Circuit:
    """One circuit of all nodes of a network.

    Every name of a node's circuit gets its path in front (`layer_3_attention_deep`), and populations
    know the path. A drive that reads what another node gives becomes synapses from the population that
    gives it, read at the axes of the drive, with the drive's gain.
    """
    sizes = sizes_of_nodes(network)
    parts = {node.path: _placed(node, sizes[node.path]) for node in network.nodes}
    wired = [_wired(network, node, parts) for node in network.nodes]
    circuit = Circuit(
        network.name,
        tuple(axis for part in wired for axis in part.axes),
        network.inputs,
        tuple(parameter for part in wired for parameter in part.parameters),
        tuple(population for part in wired for population in part.populations),
        tuple(projection for part in wired for projection in part.projections),
        tuple(Output(o.name, _given(parts, o.source)) for o in network.outputs),
    )
    check(circuit)
    return circuit


def _placed(node: Node, sizes: Sizes) -> Circuit:
    """The circuit of a node with its numbers, its path before each name, and its sizes in the network."""
    mark = prefix(node.path)
    circuit = with_sizes(node.whole, sizes)

    def names(those: Iterator[str]) -> dict[str, str]:
        return {name: mark + name for name in those}

    circuit = rename(
        circuit,
        populations=names(p.name for p in circuit.populations),
        axes=names(axis.name for axis in circuit.axes),
        tensors=names(p.name for p in circuit.parameters),
    )
    circuit = map_populations(circuit, lambda p: replace(p, path=node.path))
    projections = (replace(p, name=mark + p.name) for p in circuit.projections)
    return replace(circuit, projections=tuple(projections))


def _given(parts: dict[str, Circuit], source: Port) -> TensorRef:
    """The population that a node gives as an output, and the order of its axes."""
    return next(o.source for o in parts[source.path].outputs if o.name == source.name)


def _wired(network: Network, node: Node, parts: dict[str, Circuit]) -> Circuit:
    """The circuit of a node as the network feeds it: its inputs are those of the network, or synapses."""
    circuit = parts[node.path]
    sources = {t.name: network.source_of[Port(t.name, node.path)] for t in circuit.inputs}
    inner = {name: source for name, source in sources.items() if source.path}
    for name, source in inner.items():
        given = _given(parts, source)
        circuit = _heard(circuit, name, given, parts[source.path].population(given.name).axes)
    outer = {name: source.name for name, source in sources.items() if not source.path}
    return rename(circuit, tensors=outer)


def _heard(circuit: Circuit, name: str, given: TensorRef, own: tuple[str, ...]) -> Circuit:
    """The circuit with synapses in place of the drives that read the input `name`.

    `given` is the population that gives it and the order of its axes there; `own` are its axes in its order.
    """
    taken = {projection.name for projection in circuit.projections}
    heard: list[Projection] = []
    for population, compartment, weight in _drives(circuit, name):
        assert weight.tensor is not None
        read_at = dict(zip(given.axes, weight.tensor.axes, strict=True))
        called = fresh(f"{population.name}_{name}", taken)
        taken.add(called)
        ends = (given.name, population.name, compartment.name)
        at = tuple(read_at[axis] for axis in own)
        heard.append(Projection(called, *ends, Weight(None, weight.gain), at=at))
    circuit = map_populations(circuit, lambda p: _without(p, name))
    inputs = tuple(tensor for tensor in circuit.inputs if tensor.name != name)
    return replace(circuit, inputs=inputs, projections=(*heard, *circuit.projections))


def _drives(circuit: Circuit, name: str) -> Iterator[tuple[Population, Compartment, Weight]]:
    """The drives that read an input."""
    for population in circuit.populations:
        for compartment in population.compartments:
            for weight in compartment.drive:
                if weight.tensor is not None and weight.tensor.name == name:
                    yield population, compartment, weight


def _without(population: Population, name: str) -> Population:
    """The population without drives that read an input."""

    def kept(drive: tuple[Weight, ...]) -> tuple[Weight, ...]:
        return tuple(w for w in drive if w.tensor is None or w.tensor.name != name)

    parts = (replace(c, drive=kept(c.drive)) for c in population.compartments)
    return replace(population, compartments=tuple(parts))
