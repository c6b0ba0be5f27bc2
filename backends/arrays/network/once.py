"""What a network hears once: all that does not depend on the tokens that its outputs are of, as an encoder does not.

It is found along wires from the inputs, whatever these are called.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cortico.ir import Circuit, Extent, Input
from cortico.ir.network import Network, Node, Port
from cortico.ir.network.sizes import shapes_of_ports


@dataclass(frozen=True)
class HeardOnce:
    """`clock` is the number of the tokens that may come part by part; without one, nothing is heard once."""

    network: Network
    clock: Extent | None

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """Inputs over other tokens, or over none."""
        clocked = self.clock is not None
        return tuple(t for t in self.network.inputs if clocked and self.clock not in t.shape)

    @cached_property
    def ports(self) -> frozenset[Port]:
        """These inputs, and what is computed of them alone."""
        found = {Port(tensor.name) for tensor in self.inputs}
        for node in self.network.order:
            if all(source in found for source in self._sources(node).values()):
                found |= {Port(output.name, node.path) for output in node.circuit.outputs}
        return frozenset(found)

    @cached_property
    def nodes(self) -> frozenset[str]:
        """Paths of the nodes that compute it."""
        return frozenset(port.path for port in self.ports if port.path)

    @cached_property
    def blocks(self) -> dict[Circuit, frozenset[str]]:
        """Of blocks that other nodes have, the inputs that hear this alone, at all of these nodes."""
        found: dict[Circuit, frozenset[str]] = {}
        for node in self.network.nodes:
            if node.path not in self.nodes:
                sources = self._sources(node).items()
                heard = frozenset(name for name, source in sources if source in self.ports)
                found[node.circuit] = found.get(node.circuit, heard) & heard
        return found

    def _sources(self, node: Node) -> dict[str, Port]:
        """What feeds each input of a node."""
        names = (tensor.name for tensor in node.circuit.inputs)
        return {name: self.network.source_of[Port(name, node.path)] for name in names}


def heard_once(network: Network) -> HeardOnce:
    """What of a network does not depend on the tokens that all of its outputs are of."""
    shapes = shapes_of_ports(network)
    clocks = {shapes[output.source][0] for output in network.outputs}
    clock = clocks.pop() if len(clocks) == 1 else None
    return HeardOnce(network, clock if isinstance(clock, str) else None)
