"""Feedback of its own: tensors that bring errors back in place of the transposed forward ones.

`random` is feedback alignment (Lillicrap et al. 2016, doi 10.1038/ncomms13276): the tensors stay as
they are drawn. `learned` is Kolen and Pollack 1994 (as in Akrout et al. 2019, arXiv 1904.05391): W and
its feedback B change by the same products of rates and both decay, so that

    W(t) - B(t) = (1 - η · decay)^t (W(0) - B(0))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from cortico.ir import Circuit, Parameter, SpecError, TensorRef, Weight, rewrite
from cortico.ir.analysis.constants import values_of
from cortico.learning.rules import Feedback, Learning, Rule

#: `Rule.decay` of parameters whose feedback is learned; changed by the argument of `differentiate`.
DECAY = 0.01


class BackwardTensors:
    """The tensors that backward projections read, made as they are asked for."""

    def __init__(self, circuit: Circuit, feedback: Feedback) -> None:
        self.circuit, self.feedback = circuit, feedback
        self._own: dict[str, Parameter] = {}

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What the circuit gains."""
        return tuple(self._own.values())

    def backward(self, weight: Weight) -> Weight:
        """The weight of a projection backwards, from that of the projection forwards."""
        if self.feedback is Feedback.TRANSPOSED or weight.tensor is None:
            return weight
        tensor = self.circuit.tensor(weight.tensor.name)
        if not isinstance(tensor, Parameter) or tensor.formula is not None:
            return weight
        if tensor.name not in self._own:
            self._own[tensor.name] = Parameter(self._free_name(tensor.name), tensor.shape)
        return replace(weight, tensor=replace(weight.tensor, name=self._own[tensor.name].name))

    def _free_name(self, forward: str) -> str:
        name = feedback_name(forward)
        if any(t.name == name for t in self.circuit.inputs + self.circuit.parameters):
            raise SpecError(f"circuit {self.circuit.name!r} has a tensor {name!r} already")
        return name

    def rules(self, rules: Iterable[Rule], decay: float) -> tuple[Rule, ...]:
        """The rules of all parameters, with those of learned feedback behind those of its forward tensor."""
        found: list[Rule] = []
        for rule in rules:
            own = self._own.get(rule.parameter)
            if own is None or self.feedback is not Feedback.LEARNED:
                found.append(rule)
            else:
                found += [replace(rule, decay=decay), _renamed(rule, own.name, decay)]
        return tuple(found)


def feedback_name(parameter: str) -> str:
    """The tensor that brings errors back where `parameter` brings rates forth."""
    return f"{parameter}_feedback"


def _renamed(rule: Rule, parameter: str, decay: float) -> Rule:
    terms = (replace(term, at=TensorRef(parameter, term.at.axes)) for term in rule.terms)
    return Rule(parameter, tuple(terms), decay)


def feedback_of(learning: Learning) -> dict[str, str]:
    """Forward parameter to the tensor of its own that brings errors back; empty for `transposed`."""
    names = {p.name for p in learning.circuit.parameters}
    if learning.feedback is Feedback.TRANSPOSED:
        return {}
    return {name: feedback_name(name) for name in names if feedback_name(name) in names}


def draw_feedback(
    learning: Learning, seed: int = 0, like: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Numbers for the feedback tensors: normal, with the spread of the forward tensor.

    `like` has the forward tensors by name, those stored in the circuit are known without. SpecError
    when a forward tensor has no numbers.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[str, np.ndarray] = {}
    for forward, name in sorted(feedback_of(learning).items()):
        values = (like or {}).get(forward, values_of(learning.circuit, forward))
        if values is None:
            raise SpecError(f"{name} is drawn like {forward}, which has no numbers")
        numbers = rng.standard_normal(values.shape) * float(np.std(values))
        drawn[name] = numbers.astype(values.dtype)
    return drawn


def with_values(learning: Learning, values: Mapping[str, np.ndarray]) -> Learning:
    """The same with numbers stored in parameters. SpecError for unknown names and other shapes."""
    known = {p.name: p for p in learning.circuit.parameters}
    for name, array in values.items():
        if name not in known or known[name].shape != array.shape:
            raise SpecError(f"the circuit has no parameter {name!r} of shape {array.shape}")
    return replace(learning, circuit=rewrite.with_values(learning.circuit, values))
