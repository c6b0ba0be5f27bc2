"""A part of a network: a network of its own, or the circuit of one node."""

from __future__ import annotations

from dataclasses import replace

from cortico.ir.circuit import Circuit
from cortico.ir.network.checks import network
from cortico.ir.network.network import Network, NetworkOutput, Port
from cortico.ir.network.sizes import sizes_of_nodes, with_sizes
from cortico.ir.rewrite import with_values


def circuit_at(made: Network, path: str) -> Circuit:
    """The circuit of the node at a path, called as that, with its numbers and the sizes that it has in the network.

    CircuitError where there is no such node.
    """
    node = made[path]
    circuit = with_sizes(with_values(node.circuit, node.values), sizes_of_nodes(made)[path])
    return replace(circuit, name=path)


def part_up_to(made: Network, path: str) -> Network:
    """The node at a path, and all that it hears from, directly or not.

    Outputs are what it gives, by name, and what other nodes give it, under the names of its inputs; only
    inputs of the network that these nodes hear are left. CircuitError where there is no such node.
    """
    last = made[path].circuit
    needed, waiting = {path}, [path]
    while waiting:
        here = waiting.pop()
        before = {w.source.path for w in made.wires if w.target.path == here} - {"", *needed}
        needed |= before
        waiting += before
    wires = [wire for wire in made.wires if wire.target.path in needed]
    heard = {wire.source for wire in wires}
    given = [NetworkOutput(output.name, Port(output.name, path)) for output in last.outputs]
    feeds = {tensor.name: made.source_of[Port(tensor.name, path)] for tensor in last.inputs}
    given += [NetworkOutput(name, source) for name, source in feeds.items() if source.path]
    inputs = [tensor for tensor in made.inputs if Port(tensor.name) in heard]
    return network(made.name, inputs, [n for n in made.nodes if n.path in needed], wires, given)
