"""One block to its circuit: attention in its microcircuit, or what stands around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cortico.ir import Circuit
from cortico.ir.arguments import kind
from cortico.ir.rewrite import with_values
from cortico.lowering.blocks import lower_dense, lower_feed_forward, lower_norm, lower_residual
from cortico.lowering.ends import lower_embedding, lower_pooling
from cortico.lowering.mask_circuit import lower_to_mask_circuit
from cortico.lowering.memory_circuit import lower_to_memory_circuit
from cortico.spec import AttentionSpec, Microcircuit
from cortico.spec.blocks import Dense, Embedding, FeedForward, Norm, Pooling, Residual
from cortico.spec.weights import Given, Weights, given_weights
from cortico.spec.wiring import Block

LOWERINGS: Mapping[Microcircuit, Callable[[AttentionSpec, Weights | None], Circuit]] = {
    Microcircuit.MASK: lower_to_mask_circuit,
    Microcircuit.MEMORY: lower_to_memory_circuit,
}

_BLOCKS: Mapping[type, Callable[[Any], Circuit]] = {
    Norm: lower_norm,
    FeedForward: lower_feed_forward,
    Dense: lower_dense,
    Embedding: lower_embedding,
    Residual: lower_residual,
    Pooling: lower_pooling,
}


@kind
def lower(spec: Block, weights: Given | None = None) -> Circuit:
    """The circuit of a block. Without `weights` its parameters stay symbolic.

    Raises SpecError when the weights do not fit the spec.
    """
    if weights is not None:
        weights = given_weights(spec, weights)
    if isinstance(spec, AttentionSpec):
        return LOWERINGS[spec.microcircuit](spec, weights)
    circuit = _BLOCKS[type(spec)](spec)
    return circuit if weights is None else with_values(circuit, weights)
