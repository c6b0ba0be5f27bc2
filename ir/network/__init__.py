"""Networks: circuits at paths, joined by wires. `docs/ir.md` explains what they mean.

network     a checked network of nodes and wires
flatten     one circuit of all of it
"""

from cortico.ir.network.checks import check_network, network, port
from cortico.ir.network.flattening import flatten
from cortico.ir.network.network import Level, Network, NetworkOutput, Node, Port, Wire

__all__ = [
    "Level",
    "Network",
    "NetworkOutput",
    "Node",
    "Port",
    "Wire",
    "check_network",
    "flatten",
    "network",
    "port",
]
