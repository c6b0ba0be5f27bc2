"""Tensors of a spec and parameters of its circuit: the same numbers in another order.

A lowered circuit has heads split into groups and members, and rotated features into planes.
`circuit_weights` goes there, `spec_weights` comes back, bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.lowering import circuit_weights
from cortico.spec import AttentionSpec
from cortico.weights import Weights, required_shapes


def spec_weights(spec: AttentionSpec, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays shaped like the circuit's parameters (weights, gradients) as the spec's tensors.

    The inverse of `circuit_weights`; names that are no tensors of the spec are left out.
    """
    found = {}
    for name, places in _places(spec).items():
        if name in arrays:
            found[name] = np.empty(places.size, arrays[name].dtype)
            found[name][places.ravel()] = arrays[name].ravel()
            found[name] = found[name].reshape([int(side) for side in required_shapes(spec)[name]])
    return found


def parameter_arrays(spec: AttentionSpec, weights: Weights) -> dict[str, np.ndarray]:
    """Tensors of a spec, all or some, in the circuit's order; each array is new and contiguous."""
    found = {}
    for name, places in _places(spec).items():
        if name in weights:
            array = np.ascontiguousarray(weights[name]).ravel()[places.ravel()]
            found[name] = array.reshape(places.shape)
    return found


def _places(spec: AttentionSpec) -> dict[str, np.ndarray]:
    """For each tensor, which of the spec's numbers stands at each place of the circuit's array."""
    shapes = {n: [int(side) for side in shape] for n, shape in required_shapes(spec).items()}
    numbers = {n: np.arange(np.prod(s), dtype=np.float64).reshape(s) for n, s in shapes.items()}
    lowered = circuit_weights(spec, numbers)
    return {name: lowered[name].astype(np.intp) for name in shapes}
