"""Passes over networks: each block is taken through them, and blocks that come out alike share a circuit again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cortico.ir import Circuit
from cortico.ir.network import Network, Node, network
from cortico.ir.rewrite import map_parameters, with_values
from cortico.ir.tensors import equal_arrays
from cortico.passes.base import Pass
from cortico.passes.manager import MeaningCheck, Step, run_passes


def run_on_blocks(
    given: Network,
    passes: Sequence[Pass],
    meaning: MeaningCheck | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> tuple[Network, dict[str, list[Step]]]:
    """The network after all passes on each of its blocks with its numbers; and every step, by path.

    A block without numbers of its own goes through them once for all nodes that share it. PassError as
    `run_passes` has it.
    """
    work = _Work(passes, meaning)
    nodes = []
    for node in given.nodes:
        progress(f"running passes on {node.path}")
        nodes.append(work.after(node))
    if all(new is old for new, old in zip(nodes, given.nodes, strict=True)):
        return given, work.steps
    return network(given.name, given.inputs, nodes, given.wires, given.outputs), work.steps


@dataclass
class _Work:
    passes: Sequence[Pass]
    meaning: MeaningCheck | None
    steps: dict[str, list[Step]] = field(default_factory=dict)
    _done: dict[Circuit, tuple[Circuit, list[Step]]] = field(default_factory=dict)
    _blocks: dict[Circuit, Circuit] = field(default_factory=dict)

    def after(self, node: Node) -> Node:
        """The node after all passes."""
        if node.values:
            whole = with_values(node.circuit, node.values)
            circuit, self.steps[node.path] = run_passes(whole, self.passes, self.meaning)
            return node if circuit is whole else self._split(node, circuit)
        if node.circuit not in self._done:
            self._done[node.circuit] = run_passes(node.circuit, self.passes, self.meaning)
        circuit, self.steps[node.path] = self._done[node.circuit]
        return node if circuit is node.circuit else Node(node.path, circuit)

    def _split(self, node: Node, circuit: Circuit) -> Node:
        """A node of a circuit with all its numbers: those that the block had are the block's."""
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
