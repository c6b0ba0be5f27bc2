"""Weights and gradients between a spec and its circuit, as far as a learner has them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.lowering import layouts
from cortico.spec import AttentionSpec
from cortico.spec.weights import Weights


def spec_weights(spec: AttentionSpec, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays shaped like the circuit's parameters (weights, gradients) as the spec's tensors, new ones.

    Names that are no tensors of the spec are left out.
    """
    known = {name: layout for name, layout in layouts(spec).items() if name in arrays}
    return {
        name: np.array(layout.to_spec(arrays[name]), order="C") for name, layout in known.items()
    }


def parameter_arrays(spec: AttentionSpec, weights: Weights) -> dict[str, np.ndarray]:
    """Tensors of a spec, all or some, in the circuit's order; each array is new and contiguous."""
    known = {name: layout for name, layout in layouts(spec).items() if name in weights}
    return {
        name: np.array(layout.to_circuit(weights[name]), order="C")
        for name, layout in known.items()
    }
