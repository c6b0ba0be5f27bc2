"""Plasticity rules: the gradient of a parameter as a sum of products of rates."""

from __future__ import annotations

from dataclasses import dataclass

from cortico.ir import Circuit, Domain, TensorRef, Weight
from cortico.learning.loss import SquaredError


@dataclass(frozen=True)
class Term:
    """`weight · Σ pre · error · [domain]`, summed over all axes but those of `at`.

    `at` is the parameter as its synapses read it. Without `pre` it is the drive of a compartment.
    """

    at: TensorRef
    pre: str | None  #: presynaptic population
    error: str  #: population of error neurons, one per postsynaptic compartment
    weight: Weight  #: the gain of the synapses, and for biases by distance the distance
    domain: Domain


@dataclass(frozen=True)
class Rule:
    """`∂L/∂parameter` as a sum of terms; a step of learning goes against it."""

    parameter: str
    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Learning:
    """A circuit with error neurons, and a plasticity rule for each parameter that acts on its output."""

    circuit: Circuit
    rules: tuple[Rule, ...]
    loss: SquaredError
