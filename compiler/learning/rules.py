"""Plasticity rules: the gradient of a parameter as a sum of products of rates."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cortico.ir import Circuit, Domain, Parameter, TensorRef, Weight
from cortico.ir.analysis.constants import stored_of
from cortico.learning.loss import SquaredError


class Feedback(StrEnum):
    """What synapses that bring errors back carry, where the synapses forward carry a parameter W."""

    TRANSPOSED = "transposed"  #: W itself, read the other way round: weight transport
    RANDOM = "random"  #: a tensor of their own that stays as it is: feedback alignment
    LEARNED = "learned"  #: a tensor of their own that learns by the rule of W: Kolen and Pollack


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
    pre_at: tuple[str, ...] = ()  #: the axes that `pre` is read at, where they are not its own


@dataclass(frozen=True)
class Rule:
    """`∂L/∂parameter` as a sum of terms; a step of learning goes against it.

    A step of rate η is `W -= η (gradient + decay · W)`.
    """

    parameter: str
    terms: tuple[Term, ...]
    decay: float = 0.0


@dataclass(frozen=True)
class ErrorNeurons:
    """The population `name` of ∂L/∂(current of a compartment), one for each neuron that has it."""

    name: str
    population: str
    compartment: str
    hears_errors: str  #: the compartment of the error neurons that errors arrive at
    copies: tuple[
        tuple[str, str], ...
    ] = ()  #: compartments that are copies, each with its original


@dataclass(frozen=True)
class Learning:
    """A circuit with error neurons, and a plasticity rule for each parameter that acts on its output."""

    circuit: Circuit
    rules: tuple[Rule, ...]
    loss: SquaredError
    errors: tuple[ErrorNeurons, ...] = ()
    output_error: str = ""  #: the population of ∂L/∂output
    feedback: Feedback = Feedback.TRANSPOSED

    def rule(self, parameter: str) -> Rule:
        """The rule of a parameter. KeyError when it has none."""
        for rule in self.rules:
            if rule.parameter == parameter:
                return rule
        raise KeyError(parameter)


def learned_tensor(circuit: Circuit, weight: Weight) -> TensorRef | None:
    """The parameter that a weight is made of and that learns; None for inputs and rotations.

    Of a bias by distance, it is the slopes.
    """
    tensor = circuit.tensor(weight.tensor.name) if weight.tensor else None
    if not isinstance(tensor, Parameter) or (tensor.formula and tensor.formula.kind != "distance"):
        return None
    return stored_of(circuit, weight)
