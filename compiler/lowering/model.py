"""A whole model as a network: each block's circuit at its path, wires between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from cortico.ir import Circuit
from cortico.ir.arguments import kind
from cortico.ir.network import Network, Node, network
from cortico.ir.rewrite import with_values
from cortico.ir.tensors import Input
from cortico.lowering.block import lower
from cortico.lowering.layout import circuit_weights
from cortico.spec import AttentionSpec
from cortico.spec.model import ModelSpec
from cortico.spec.model_weights import GivenModel, given_model
from cortico.spec.weights import Weights
from cortico.spec.wiring import Block, Wiring, wiring


@kind
def lower_model(spec: ModelSpec, weights: GivenModel | None = None) -> Network:
    """The network of a model. Without `weights`, by path, the parameters of its blocks stay open.

    Equal blocks share a circuit. Raises SpecError for weights that do not fit, by path.
    """
    plan = wiring(spec)
    given = None if weights is None else given_model(spec, weights)
    lowering = _Lowering()
    nodes = [
        lowering.node(path, block, None if given is None else given[path])
        for path, block in plan.blocks.items()
    ]
    return network(spec.name, tuple(_inputs(plan, nodes)), nodes, plan.wires, plan.outputs)


class _Lowering:
    """Lowers each distinct block once."""

    def __init__(self) -> None:
        self._circuits: dict[tuple[Block, bytes], Circuit] = {}

    def node(self, path: str, block: Block, weights: Weights | None) -> Node:
        """The block at a path, with its weights where there are any."""
        if not isinstance(block, AttentionSpec):
            return Node(path, self._circuit(block), weights or {})
        block = replace(block, name="attention")
        if weights is None:
            return Node(path, self._circuit(block))
        values = circuit_weights(block, weights)
        frequencies = values.pop("frequencies", None)
        return Node(path, self._circuit(block, frequencies), values)

    def _circuit(self, block: Block, frequencies: np.ndarray | None = None) -> Circuit:
        """Its circuit; how keys and queries turn is a constant of the circuit."""
        key = (block, b"" if frequencies is None else frequencies.tobytes())
        if key not in self._circuits:
            circuit = lower(block)
            if frequencies is not None:
                circuit = with_values(circuit, {"frequencies": frequencies})
            self._circuits[key] = circuit
        return self._circuits[key]


def _inputs(plan: Wiring, nodes: Sequence[Node]) -> Iterator[Input]:
    """What is given from outside, as the first block that hears it declares it."""
    circuits: Mapping[str, Circuit] = {node.path: node.circuit for node in nodes}
    seen: dict[str, Input] = {}
    for source, target in plan.wires:
        path, _, name = target.rpartition(".")
        if "." not in source and source not in seen:
            tensor = next(each for each in circuits[path].inputs if each.name == name)
            number = _number_of_tokens(source)
            shape = (number if isinstance(side, str) else side for side in tensor.shape)
            seen[source] = replace(tensor, name=source, shape=tuple(shape))
    yield from seen.values()


def _number_of_tokens(source: str) -> str:
    """The symbol of an input of the model: tokens of each stack, and of a context, have a size of their own."""
    whose = source.partition("_")[0]
    return f"n_{whose}" if whose in ("decoder", "context") else "n"
