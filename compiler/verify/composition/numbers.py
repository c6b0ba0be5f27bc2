"""Whether every number of a model's weights stands at its block, entry by entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from cortico.ir import Parameter
from cortico.ir.network import Network, Node
from cortico.spec import ModelSpec
from cortico.spec.weights import required_shapes
from cortico.verify.composition.terms import Term
from cortico.verify.equations.reference import Textbook, book

Arrays = Mapping[str, np.ndarray]


def own_weights(
    spec: ModelSpec, terms: Mapping[str, Term], given: Mapping[str, Arrays]
) -> dict[str, Arrays]:
    """The tensors of each block by its path; a tied readout has the table of the stack's tokens as its matrix."""
    found: dict[str, Arrays] = {path: given.get(path, {}) for path in terms}
    if spec.readout is not None and spec.readout.tied:
        embedding = "decoder.embedding" if spec.encoder is not None else "embedding"
        found["readout"] = {**found["readout"], "W": found[embedding]["W_token"]}
    return found


def misplaced(
    terms: Mapping[str, Term],
    nodes: Mapping[str, str],
    weights: Mapping[str, Arrays],
    network: Network,
) -> list[str]:
    """Which tensors of which blocks do not stand at their nodes with all their numbers; a line each.

    `nodes` are paths of nodes by those of the blocks that they stand for, `weights` the tensors of each block.
    """
    found: list[str] = []
    for path, node in nodes.items():
        found += _misplaced(terms[path], network[node], weights[path])
    return found


def _misplaced(term: Term, node: Node, weights: Arrays) -> Iterator[str]:
    for parameter in node.circuit.parameters:
        if parameter.formula is not None:
            continue
        expected = _expected(term, parameter, weights)
        stored = node.values.get(parameter.name, parameter.values)
        if expected is None:
            yield f"{node.path}: {parameter.name} is no tensor of {term}"
        elif stored is None:
            yield f"{node.path}: {parameter.name} has no numbers"
        elif not np.array_equal(stored, expected):
            yield f"{node.path}: {parameter.name} is not that of {term}"


def _expected(term: Term, parameter: Parameter, weights: Arrays) -> np.ndarray | None:
    """The numbers of a parameter, as the textbook arranges the block's tensors; None for another parameter."""
    page, name = book(term.block), parameter.name
    if isinstance(page, Textbook) and name == "frequencies" and page.spec.rotary:
        return page.frequencies(weights.get("rotary_frequencies"))
    if name not in required_shapes(term.block):
        return None
    return page.arranged(name, np.asarray(weights[name]))


def with_numbers(
    terms: Mapping[str, Term],
    nodes: Mapping[str, str],
    weights: Mapping[str, Arrays],
    network: Network,
) -> Network:
    """The network with the weights of its blocks at all parameters that have no numbers."""
    blocks = {node: path for path, node in nodes.items()}

    def filled(node: Node) -> Node:
        path = blocks.get(node.path)
        if path is None:
            return node
        open_ = (p for p in node.circuit.parameters if p.name in node.open)
        found = {p.name: _expected(terms[path], p, weights[path]) for p in open_}
        return replace(node, values={n: array for n, array in found.items() if array is not None})

    return replace(network, nodes=tuple(map(filled, network.nodes)))
