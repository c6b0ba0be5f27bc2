"""Show a compiled model: its levels and blocks as a tree, each distinct block once, and counts of the levels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.console
    import rich.tree

    from cortico.cli.show import Arguments
    from cortico.ir import Circuit
    from cortico.ir.network import Network, Node

    Level = tuple[str, tuple[Node, ...]]


def show_model(arguments: Arguments) -> int:
    """Print what was asked for of a model, of one of its nodes, or of a population or neuron with all that it hears."""
    from cortico.cli.console import console
    from cortico.cli.models import read_network
    from cortico.cli.show import show_neuron, show_population
    from cortico.ir import CircuitError, SpecError

    network, out = read_network(arguments.circuit), console()
    try:
        network = network.bind(**dict(arguments.bind))
        flat = network.flatten() if arguments.node is None else _seen_from(network, arguments.node)
    except CircuitError as error:
        raise SpecError(str(error)) from None
    if arguments.population is not None:
        show_population(flat, arguments.population, out)
    elif arguments.neuron is not None:
        arguments.refuse("--neuron, whose name begins with the path", "node")
        show_neuron(flat, arguments.neuron, out)
    elif arguments.node is not None:
        _show_node(arguments, network, out)
    elif arguments.text:
        print(network, end="")
    else:
        _show_network(network, out)
    return 0


def _seen_from(network: Network, path: str) -> Circuit:
    """The flat circuit in which the parts of one node are called as in its own circuit."""
    from dataclasses import replace

    from cortico.ir.paths import prefix
    from cortico.ir.rewrite import rename

    own, mark = network[path].circuit, prefix(path)
    parts = (own.populations, own.axes, own.parameters)
    populations, axes, tensors = ({mark + p.name: p.name for p in kind} for kind in parts)
    flat = rename(network.flatten(), populations=populations, axes=axes, tensors=tensors)
    here = set(populations.values())
    shorter = (
        replace(p, name=p.name.removeprefix(mark)) if p.post in here else p
        for p in flat.projections
    )
    return replace(flat, projections=tuple(shorter))


def _show_node(arguments: Arguments, network: Network, out: rich.console.Console) -> None:
    """The circuit of a node as any circuit."""
    from cortico.cli.show import show_circuit
    from cortico.ir.network import circuit_at

    assert arguments.node is not None
    circuit = circuit_at(network, arguments.node)
    if arguments.text:
        print(circuit, end="")
    else:
        show_circuit(circuit, out)


def _show_network(network: Network, out: rich.console.Console) -> None:
    from cortico.cli.console import print_table
    from cortico.report.networks import level_table

    out.print(_tree(network))
    print_table(level_table(network), out)


def _tree(network: Network) -> rich.tree.Tree:
    """Levels with their blocks, of those that are alike the first; then the distinct blocks."""
    from rich.text import Text
    from rich.tree import Tree

    from cortico.report.words import one_line

    root = Tree(Text(one_line(network.name), style="bold"))
    for levels in _alike(network):
        path, nodes = levels[0]
        branch = root.add(Text(_called([path for path, _ in levels]))) if path else root
        for node in nodes:
            branch.add(Text(_told(network, node, path)))
    blocks = root.add(f"{len(network.blocks)} distinct blocks")
    for node in (nodes[0] for nodes in network.blocks.values()):
        _add_block(blocks, network, node)
    return root


def _alike(network: Network) -> Iterator[list[Level]]:
    """Levels in a row whose blocks are the same; nodes between levels by themselves."""
    from cortico.ir.paths import level_of

    groups = groupby(network.nodes, key=lambda node: level_of(node.path) or "")
    levels = [(path, tuple(nodes)) for path, nodes in groups]
    for _, alike in groupby(levels, key=lambda level: _blocks(*level)):
        yield list(alike)


def _blocks(path: str, nodes: tuple[Node, ...]) -> list[object]:
    """Names of the nodes of a level within it, and their circuits."""
    stack = path.rpartition("[")[0]
    return [stack, *((node.path.removeprefix(path), node.circuit) for node in nodes)]


def _called(paths: list[str]) -> str:
    """`layer[0] … layer[29], 30 levels alike`."""
    if len(paths) == 1:
        return paths[0]
    return f"{paths[0]} … {paths[-1]}, {len(paths)} levels alike"


def _told(network: Network, node: Node, level: str) -> str:
    """Name within the level, block, and areas where it has several."""
    name = node.path.removeprefix(f"{level}.") if level else node.path
    areas = len(node.circuit.areas)
    heads = f", {areas} areas" if areas > 1 else ""
    return f"{name}: {network.block_names[node.circuit]}{heads}"


def _add_block(branch: rich.tree.Tree, network: Network, node: Node) -> None:
    """A distinct block: how often it is there, counts of each, and its cells."""
    from rich.text import Text

    from cortico.cli.show import add_regions
    from cortico.ir.network import circuit_at
    from cortico.report.words import quantity

    name, times = network.block_names[node.circuit], len(network.blocks[node.circuit])
    circuit = circuit_at(network, node.path)
    counts = circuit.counts()
    each = ", ".join(
        quantity(count, noun)
        for count, noun in (
            (counts.neurons, "neuron"),
            (counts.synapses, "synapse"),
            (counts.parameters, "parameter"),
        )
    )
    add_regions(branch.add(Text(f"{name}: {quantity(times, 'node')}, each {each}")), circuit)
