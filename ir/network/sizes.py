"""Which sizes the symbols of a node's circuit have in the network: found along the wires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cortico.ir.axes import Extent
from cortico.ir.circuit import Circuit
from cortico.ir.errors import CircuitError, shown
from cortico.ir.network.network import Network, Node, Port
from cortico.ir.tensors import Shape

Sizes = Mapping[str, Extent]


def sizes_of_nodes(network: Network) -> dict[str, dict[str, Extent]]:
    """Path to what each symbol of the node's circuit is: a number, or a symbol of the network's inputs.

    CircuitError where two wires say different things, or where what is fed has another shape.
    """
    return _followed(network)[0]


def shapes_of_ports(network: Network) -> dict[Port, Shape]:
    """The shape of every input of the network and of every output of a node, in the network's symbols."""
    return _followed(network)[1]


def _followed(network: Network) -> tuple[dict[str, dict[str, Extent]], dict[Port, Shape]]:
    """Sizes of nodes and shapes of ports, found along the wires."""
    shapes: dict[Port, Shape] = {Port(tensor.name): tensor.shape for tensor in network.inputs}
    found: dict[str, dict[str, Extent]] = {}
    for node in network.order:
        sizes: dict[str, Extent] = {}
        for tensor in node.circuit.inputs:
            target = Port(tensor.name, node.path)
            source = network.source_of[target]
            if not _fits(tensor.shape, shapes[source], sizes):
                raise CircuitError(
                    f"network {shown(network.name)}: {source} is {_text(shapes[source])}, but {target} "
                    f"expects {_text(resolved(tensor.shape, sizes))}"
                )
        found[node.path] = sizes
        shapes |= _outputs(node, sizes)
    return found, shapes


def resolved(shape: Shape, sizes: Sizes) -> Shape:
    """A shape with symbols replaced by what they are; those that are not known stay."""
    return tuple(sizes.get(side, side) if isinstance(side, str) else side for side in shape)


def with_sizes(circuit: Circuit, sizes: Sizes) -> Circuit:
    """A circuit with symbols replaced by what they are; those that are not known stay."""
    return replace(
        circuit,
        axes=tuple(replace(a, extent=resolved((a.extent,), sizes)[0]) for a in circuit.axes),
        inputs=tuple(replace(t, shape=resolved(t.shape, sizes)) for t in circuit.inputs),
        parameters=tuple(replace(p, shape=resolved(p.shape, sizes)) for p in circuit.parameters),
    )


def output_shape(circuit: Circuit, name: str) -> Shape:
    """The shape of an output, in the circuit's own symbols."""
    (output,) = (each for each in circuit.outputs if each.name == name)
    return tuple(circuit.axis(axis).extent for axis in output.source.axes)


def _outputs(node: Node, sizes: Sizes) -> dict[Port, Shape]:
    return {
        Port(output.name, node.path): resolved(output_shape(node.circuit, output.name), sizes)
        for output in node.circuit.outputs
    }


def _fits(expected: Shape, given: Shape, sizes: dict[str, Extent]) -> bool:
    """Whether a shape is the expected one, where symbols that are new become its sides."""
    if len(expected) != len(given):
        return False
    return all(
        (sizes.setdefault(side, other) if isinstance(side, str) else side) == other
        for side, other in zip(expected, given, strict=True)
    )


def _text(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"
