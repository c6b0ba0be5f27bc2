"""Networks with other nodes, of which those that are alike share a circuit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cortico.ir import Circuit
from cortico.ir.network import Network, Node, network
from cortico.ir.rewrite import map_parameters
from cortico.ir.tensors import equal_arrays


def with_nodes(given: Network, nodes: Sequence[Node]) -> Network:
    """The network with other nodes in the places of its own; itself where all are the same objects."""
    if all(new is old for new, old in zip(nodes, given.nodes, strict=True)):
        return given
    return network(given.name, given.inputs, nodes, given.wires, given.outputs)


class Sharing:
    """Splits circuits with numbers into blocks and numbers of nodes: equal blocks are one."""

    def __init__(self) -> None:
        self._blocks: dict[Circuit, Circuit] = {}

    def node(self, node: Node, circuit: Circuit) -> Node:
        """The node with another circuit, which has all its numbers: those that the block had are the block's."""
        if circuit is node.whole:
            return node
        shared = {p.name: p.values for p in node.circuit.parameters if p.values is not None}
        own = {
            p.name: p.values
            for p in circuit.parameters
            if p.values is not None and not _same(shared.get(p.name), p.values)
        }
        block = map_parameters(circuit, lambda p: replace(p, values=None) if p.name in own else p)
        return Node(node.path, self._blocks.setdefault(block, block), own)


def _same(one: np.ndarray | None, other: np.ndarray) -> bool:
    return one is not None and equal_arrays(one, other)
