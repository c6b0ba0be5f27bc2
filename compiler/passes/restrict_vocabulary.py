"""The network of a model for some tokens only: cells of tokens that do not occur are silent, and need not be built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortico.ir import Circuit, InputKind, Parameter, SpecError
from cortico.ir.analysis.inputs import no_tokens
from cortico.ir.arguments import kind
from cortico.ir.errors import CircuitError, named
from cortico.ir.network import Network, Node, Port, network
from cortico.ir.rewrite import map_parameters, weights_of, with_extent
from cortico.passes.copied_heads import sides_along


@dataclass(frozen=True)
class Restricted:
    """A network that knows some tokens only, and which these are: input name to their old numbers, rising."""

    network: Network
    kept: Mapping[str, np.ndarray]

    @kind
    def renumbered(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs of the whole network as those of this one. SpecError for a token that was left out."""
        return {
            name: self._numbers(name, np.asarray(given)) if name in self.kept else given
            for name, given in inputs.items()
        }

    def _numbers(self, name: str, ids: np.ndarray) -> np.ndarray:
        kept = self.kept[name]
        others = ids[~np.isin(ids, kept)]
        if others.size:
            raise SpecError(
                f"{named(name)} has token {others.flat[0]}, expected one of the {len(kept)} tokens to which "
                f"network {named(self.network.name)} was restricted"
            )
        return np.searchsorted(kept, ids)


@kind
def restrict_vocabulary(given: Network, inputs: Mapping[str, Any]) -> Restricted:
    """The network without the cells of tokens that do not occur in `inputs`, arrays of whole numbers by name.

        Σ_v 1[v = token of i] W[v, m]   over all v   =   over the v that occur

    Exact for inputs of these tokens, which `renumbered` translates; readouts keep all tokens. SpecError for an
    input that is no array of token numbers.
    """
    tokens = {t.name: t for t in given.inputs if t.kind is InputKind.TOKEN and t.name in inputs}
    for name, tensor in tokens.items():
        for problem in no_tokens(tensor, np.asarray(inputs[name])):
            raise SpecError(problem)
    kept = {name: np.unique(np.asarray(inputs[name])) for name in tokens}
    nodes = [_restricted(given, node, kept) for node in given.nodes]
    shapes = {n: (*tensor.shape[:-1], len(kept[n])) for n, tensor in tokens.items()}
    changed = [replace(t, shape=shapes.get(t.name, t.shape)) for t in given.inputs]
    return Restricted(network(given.name, changed, nodes, given.wires, given.outputs), kept)


def _restricted(given: Network, node: Node, kept: Mapping[str, np.ndarray]) -> Node:
    """A node of which each input of tokens knows those that are kept."""
    for tensor in node.circuit.inputs:
        source = given.source_of[Port(tensor.name, node.path)]
        if tensor.kind is InputKind.TOKEN and not source.path and source.name in kept:
            node = _with_tokens(node, tensor.name, kept[source.name])
    return node


def _with_tokens(node: Node, name: str, kept: np.ndarray) -> Node:
    """A node with the rows of its tables at `kept` alone."""
    circuit = node.circuit
    reads = {w.tensor.axes[-1] for w in weights_of(circuit) if w.tensor and w.tensor.name == name}
    values = dict(node.values)
    for axis in reads:
        sides = {n: side for n, side in sides_along(circuit, axis).items() if n != name}
        _refuse_outputs(circuit, axis, node.path)
        circuit = map_parameters(circuit, lambda p, sides=sides: _cut(p, sides, kept))  # type: ignore[misc]
        circuit = with_extent(circuit, axis, len(kept))
        values |= {n: values[n].take(kept, axis=side) for n, side in sides.items() if n in values}
    inputs = tuple(
        replace(t, shape=(*t.shape[:-1], len(kept))) if t.name == name else t
        for t in circuit.inputs
    )
    return Node(node.path, replace(circuit, inputs=inputs), values)


def _cut(parameter: Parameter, sides: Mapping[str, int], kept: np.ndarray) -> Parameter:
    """A parameter with the rows of tokens that are kept."""
    if parameter.name not in sides:
        return parameter
    side, shape = sides[parameter.name], parameter.shape
    values = None if parameter.values is None else parameter.values.take(kept, axis=side)
    return replace(parameter, shape=(*shape[:side], len(kept), *shape[side + 1 :]), values=values)


def _refuse_outputs(circuit: Circuit, axis: str, path: str) -> None:
    """CircuitError where a block gives the cells of tokens themselves to the outside."""
    for output in circuit.outputs:
        if axis in output.source.axes:
            raise CircuitError(f"{path}: output {named(output.name)} is over the tokens themselves")
