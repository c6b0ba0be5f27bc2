"""Networks: circuits at paths, joined by wires. `docs/ir.md` explains what they mean.

network     a checked network of nodes and wires
flatten     one circuit of all of it
part_up_to  a node and all that it hears from
circuit_at  the circuit of a node, with its numbers; placed: any circuit of it
part_of     nodes at some paths; changed_parts: those in which two networks differ
"""

from cortico.ir.network.checks import check_network, network, port
from cortico.ir.network.flattening import flatten
from cortico.ir.network.network import Level, Network, NetworkOutput, Node, Port, Wire
from cortico.ir.network.parts import changed_parts, circuit_at, part_of, part_up_to, placed

__all__ = [
    "Level",
    "Network",
    "NetworkOutput",
    "Node",
    "Port",
    "Wire",
    "changed_parts",
    "check_network",
    "circuit_at",
    "flatten",
    "network",
    "part_of",
    "part_up_to",
    "placed",
    "port",
]
