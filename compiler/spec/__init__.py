"""Specs: what is to be computed, said without neurons, and the weights that it is computed with.

A spec is a frozen dataclass that refuses what cannot be (SpecError names every problem). Its weights are
arrays by name, of the shapes that `cortico.spec.weights.required_shapes` gives.
"""

from cortico.spec.attention import (
    AttentionSpec,
    Bias,
    Feedback,
    Kernel,
    Mask,
    Microcircuit,
    Normalisation,
    NormKind,
    NormOver,
    Nucleus,
    PositionBias,
    QueryKeyNorm,
    Rotary,
    RotaryStyle,
    Thalamus,
)
from cortico.spec.blocks import (
    Dense,
    Embedding,
    FeedForward,
    Norm,
    Pool,
    Pooling,
    Residual,
    Site,
    Way,
)
from cortico.spec.model import Branch, Layer, ModelSpec, Readout, Sentence, Stack, Step

__all__ = [
    "AttentionSpec",
    "Bias",
    "Branch",
    "Dense",
    "Embedding",
    "FeedForward",
    "Feedback",
    "Kernel",
    "Layer",
    "Mask",
    "Microcircuit",
    "ModelSpec",
    "Norm",
    "NormKind",
    "NormOver",
    "Normalisation",
    "Nucleus",
    "Pool",
    "Pooling",
    "PositionBias",
    "QueryKeyNorm",
    "Readout",
    "Residual",
    "Rotary",
    "RotaryStyle",
    "Sentence",
    "Site",
    "Stack",
    "Step",
    "Thalamus",
    "Way",
]
