"""A part of a network: a network of its own, or the circuit of one node."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from cortico.ir.circuit import Circuit
from cortico.ir.errors import CircuitError, bullet_list
from cortico.ir.network.checks import network
from cortico.ir.network.network import Network, NetworkOutput, Port, Wire
from cortico.ir.network.sizes import shapes_of_ports, sizes_of_nodes, with_sizes
from cortico.ir.paths import prefix
from cortico.ir.tensors import Input


def circuit_at(made: Network, path: str) -> Circuit:
    """The circuit of the node at a path, called as that, with its numbers and the sizes that it has in the network.

    CircuitError where there is no such node.
    """
    return placed(made, path, made[path].whole)


def placed(made: Network, path: str, circuit: Circuit) -> Circuit:
    """A circuit of the node at a path, as a pass has it or without numbers, called and sized as `circuit_at` does."""
    return replace(with_sizes(circuit, sizes_of_nodes(made)[path]), name=path)


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


def part_of(made: Network, paths: Collection[str], deaf: Collection[str] = ()) -> Network:
    """The nodes at some paths: what they hear from others are inputs, what is heard elsewhere are outputs.

    Elsewhere is not at the paths `deaf`. Both are called by the path and the name of what gives them: `layer_0_attention_y`.
    """
    shapes, own = shapes_of_ports(made), {Port(tensor.name): tensor for tensor in made.inputs}
    nodes = [node for node in made.nodes if node.path in paths]
    outside = dict.fromkeys(
        w.source for w in made.wires if w.target.path in paths and w.source.path not in paths
    )
    inputs = [own.get(port) or Input(_name(port), shapes[port]) for port in outside]
    heard = [wire.source for wire in made.wires if wire.target.path not in {*paths, *deaf}]
    heard += [output.source for output in made.outputs]
    given = dict.fromkeys(port for port in heard if port.path in paths)
    outputs = [NetworkOutput(_name(port), port) for port in given]
    return network(made.name, inputs, nodes, _wires_into(made, paths), outputs)


def changed_parts(before: Network, after: Network) -> Iterator[tuple[Network, Network]]:
    """The connected parts in which two networks differ, each as it is before and after, with one interface.

    A part holds nodes that changed, and those that they no longer hear. Where parts give the same for all
    inputs, the networks do: nothing else heard what is gone. CircuitError where networks differ in more than
    nodes, nodes that are gone, and wires that ended at such.
    """
    there = {node.path: node.whole for node in after.nodes}
    gone = {node.path for node in before.nodes if node.path not in there}
    changed = {n.path for n in before.nodes if n.path not in gone and there[n.path] != n.whole}
    _require_alike(before, after, changed | gone)
    cut = set(before.wires) - set(after.wires)
    fed = {w.source.path for w in cut if w.target.path in changed} - {""}
    for paths in _connected(before, changed | fed):
        part = part_of(before, paths, gone - fed)
        nodes = [node for node in after.nodes if node.path in paths]
        wires = _wires_into(after, paths)
        yield part, network(part.name, part.inputs, nodes, wires, part.outputs)


def _wires_into(made: Network, paths: Collection[str]) -> list[Wire]:
    """The wires that end at some nodes; those from elsewhere begin at an input."""
    inner = (wire for wire in made.wires if wire.target.path in paths)
    return [w if w.source.path in paths else Wire(Port(_name(w.source)), w.target) for w in inner]


def _name(port: Port) -> str:
    return prefix(port.path) + port.name


def _require_alike(before: Network, after: Network, changed: Collection[str]) -> None:
    known = {node.path for node in before.nodes}
    wires = set(before.wires) - set(after.wires)
    problems = [f"{n.path} is new" for n in after.nodes if n.path not in known]
    problems += [f"wire {wire} is new" for wire in after.wires if wire not in set(before.wires)]
    problems += [f"wire {wire} is gone" for wire in wires if wire.target.path not in changed]
    if (before.inputs, before.outputs) != (after.inputs, after.outputs):
        problems.append("inputs or outputs of the network are others")
    if problems:
        raise CircuitError(f"networks differ in more than their nodes:{bullet_list(problems)}")


def _connected(made: Network, paths: Collection[str]) -> Iterator[set[str]]:
    """The paths in groups that wires join."""
    import networkx as nx  # here, as it takes long to import

    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(node.path for node in made.nodes if node.path in paths)
    graph.add_edges_from(
        (w.source.path, w.target.path)
        for w in made.wires
        if {w.source.path, w.target.path} <= set(paths)
    )
    yield from nx.connected_components(graph)
