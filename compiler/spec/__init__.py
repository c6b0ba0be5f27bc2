"""Specs: what is to be computed, said without neurons, and the weights that it is computed with.

A spec is a frozen dataclass that refuses what cannot be (SpecError names every problem). Its weights are
arrays by name, of the shapes that `cortico.spec.weights.required_shapes` gives.
"""

from cortico.spec.attention import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    Microcircuit,
    NormKind,
    NormOver,
    Nucleus,
    PositionBias,
    QueryKeyNorm,
    Rotary,
    RotaryStyle,
    Thalamus,
)

__all__ = [
    "AttentionSpec",
    "Bias",
    "Kernel",
    "Mask",
    "Microcircuit",
    "NormKind",
    "NormOver",
    "Nucleus",
    "PositionBias",
    "QueryKeyNorm",
    "Rotary",
    "RotaryStyle",
    "Thalamus",
]
