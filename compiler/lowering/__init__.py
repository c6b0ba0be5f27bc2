"""Lowering: from a spec and its weights to a circuit, one file per microcircuit of the paper."""

from collections.abc import Callable, Mapping

from cortico.ir import Circuit
from cortico.ir.arguments import kind
from cortico.lowering.layout import circuit_weights, layouts
from cortico.lowering.mask_circuit import lower_to_mask_circuit
from cortico.lowering.memory_circuit import lower_to_memory_circuit
from cortico.spec import AttentionSpec, Microcircuit
from cortico.spec.weights import Given, Weights, given_weights

LOWERINGS: Mapping[Microcircuit, Callable[[AttentionSpec, Weights | None], Circuit]] = {
    Microcircuit.MASK: lower_to_mask_circuit,
    Microcircuit.MEMORY: lower_to_memory_circuit,
}


@kind
def lower(spec: AttentionSpec, weights: Given | None = None) -> Circuit:
    """The circuit of `spec`'s microcircuit. Without `weights` its parameters stay symbolic.

    Raises SpecError when the weights do not fit the spec.
    """
    if weights is not None:
        weights = given_weights(spec, weights)
    return LOWERINGS[spec.microcircuit](spec, weights)


__all__ = ["LOWERINGS", "circuit_weights", "layouts", "lower"]
