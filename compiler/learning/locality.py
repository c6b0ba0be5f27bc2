"""Where a plasticity rule finds what it needs: in the synapse, in its neuron, later, or elsewhere.

A rule is a sum of products of a presynaptic rate and an error. For each the report says, from the
circuit alone:

* third factors: what multiplies the error in the error neuron, beside the errors that it hears;
* trace: axes in time that the synapse must remember its product over, because the error comes later;
* shared: axes in space of cells that have the same weight: their changes must be added up;
* transported: tensors that bring the errors back and are also weights of synapses forwards;
* copied: learned tensors that the error neurons read once more for their own factors.

An error is late when a sum over an axis in time lies on its way, as that of a memory over the queries
does. A trace makes up for that when what comes late is one number for each weight, the same for all
tokens that the synapse has heard: Σ_j pre_j f_j E is (Σ_j pre_j f_j) · E. Else the rule is not local in
time: each token would need an error of its own, or one of each of the cells that share the weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from cortico.ir import Circuit, Effect, Parameter, Projection, TensorRef, Weight
from cortico.ir.rewrite import weights_onto
from cortico.learning.rules import Learning, Term


class Timing(StrEnum):
    """When the factors of a rule are there."""

    LOCAL = "local three-factor"  #: all at the same step
    TRACE = "needs trace"  #: the error comes later, and the synapse has kept a trace
    NOT_LOCAL = "not local in time"  #: the error comes later, and no trace of the synapse will do


TRANSPORT = "needs transport"


@dataclass(frozen=True)
class RuleLocality:
    """What one set of plastic synapses needs. Tensors and rates are as the rule reads them."""

    parameter: TensorRef
    pre: TensorRef | None  #: presynaptic rate; None for what drives a compartment by itself
    post: str  #: the compartment that the synapses end on, `population.compartment`
    error: TensorRef
    third: tuple[str, ...]
    accumulated: tuple[str, ...]  #: axes in time that the weight sums its changes over
    trace: tuple[str, ...]
    shared: tuple[str, ...]
    transported: tuple[str, ...]
    copied: tuple[str, ...]
    timing: Timing

    @property
    def labels(self) -> tuple[str, ...]:
        """`local three-factor` alone, or all that the rule needs beyond it."""
        if not self.transported:
            return (self.timing.value,)
        needs = () if self.timing is Timing.LOCAL else (self.timing.value,)
        return (*needs, TRANSPORT)

    def record(self) -> dict[str, Any]:
        """The same as JSON has it."""
        names = ("parameter", "pre", "error")
        texts = {name: getattr(self, name) and str(getattr(self, name)) for name in names}
        return {**asdict(self), **texts, "labels": self.labels}

    def __str__(self) -> str:
        """One plain sentence."""
        change = f"{self.error}, the error of {self.post}"
        change = f"{self.pre} times {change}" if self.pre else change
        third = f", which is multiplied by {', '.join(self.third)}" if self.third else ""
        return f"{self.parameter} changes by {change}{third}; {'; '.join(self._needs())}."

    def _needs(self) -> Iterator[str]:
        if self.timing is Timing.LOCAL:
            yield "all are there at the same time"
        elif self.timing is Timing.TRACE:
            yield f"the error comes later, so the synapse keeps a trace over {_listed(self.trace)}"
        else:
            yield "the error comes later, and no trace of the synapse makes up for it"
        if self.transported:
            yield f"errors come back through the weights {_listed(self.transported)} of other synapses"
        if self.copied:
            yield f"error neurons have copies of {_listed(self.copied)}"
        if self.shared:
            yield f"cells over {_listed(self.shared)} share the weight and add up their changes"


def locality(learning: Learning) -> tuple[RuleLocality, ...]:
    """One report for each term of each rule, in their order."""
    survey = _Survey(learning)
    return tuple(survey.report(term) for rule in learning.rules for term in rule.terms)


class _Survey:
    def __init__(self, learning: Learning) -> None:
        self.learning = learning
        self.circuit: Circuit = learning.circuit
        self.errors = {each.name: each for each in learning.errors}
        self.learned = {rule.parameter for rule in learning.rules}

    def report(self, term: Term) -> RuleLocality:
        error = self.errors[term.error]
        late = self.timing(term)
        summed = tuple(a for a in self.axes(term) if a not in term.at.axes)
        return RuleLocality(
            term.at,
            self.rate(term.pre, term.pre_at) if term.pre is not None else None,
            f"{error.population}.{error.compartment}",
            TensorRef(error.name, self.circuit.population(error.name).axes),
            tuple(self.third(error.name)),
            tuple(a for a in summed if self.in_time(a)),
            self.times(term) if late is Timing.TRACE else (),
            tuple(a for a in summed if not self.in_time(a)),
            tuple(dict.fromkeys(self.transported(error.name))),
            tuple(dict.fromkeys(self.copied(error.name))),
            late,
        )

    # ---- axes ------------------------------------------------------------------------------------

    def rate(self, population: str, at: tuple[str, ...] = ()) -> TensorRef:
        return TensorRef(population, at or self.circuit.population(population).axes)

    def in_time(self, axis: str) -> bool:
        return self.circuit.axis(axis).in_time

    def axes(self, term: Term) -> tuple[str, ...]:
        """The axes that number the synapses of a term, each set of them once."""
        pre = self.rate(term.pre, term.pre_at).axes if term.pre is not None else ()
        return tuple(dict.fromkeys((*self.rate(term.error).axes, *pre)))

    def times(self, term: Term) -> tuple[str, ...]:
        return tuple(axis for axis in self.axes(term) if self.in_time(axis))

    # ---- time ------------------------------------------------------------------------------------

    def timing(self, term: Term) -> Timing:
        """Whether all factors of a term are there at once; else whether a trace makes up for it."""
        times = set(self.times(term))
        of_error = {a for a in self.rate(term.error).axes if self.in_time(a)}
        read = self.rate(term.pre, term.pre_at).axes if term.pre else ()
        of_pre = set(filter(self.in_time, read)) if term.pre else of_error
        if of_pre and of_pre < of_error:  # a rate of one step, and errors of many
            return Timing.NOT_LOCAL
        late = [p for p in self.heard(term.error) if self.is_late(p)]
        if not times or (not late and of_pre in (of_error, set())):
            return Timing.LOCAL
        fit = all(self.is_one_for_all(p, times, term) for p in late)
        return Timing.TRACE if fit else Timing.NOT_LOCAL

    def is_late(self, projection: Projection) -> bool:
        """Whether a sum over an axis in time lies on the way of the errors that a projection brings."""
        summed = any(map(self.in_time, self.circuit.summed_axes(projection)))
        return summed or any(map(self.is_late, self.heard(projection.pre)))

    def is_one_for_all(self, projection: Projection, times: set[str], term: Term) -> bool:
        """Whether late errors are the same for all `times`, and each weight hears one of them."""
        brought = self.circuit.heard(projection).axes
        in_space = {axis for axis in brought if not self.in_time(axis)}
        return not times & set(brought) and in_space <= set(term.at.axes)

    # ---- the way of the errors ---------------------------------------------------------------------

    def heard(self, error: str) -> tuple[Projection, ...]:
        """The projections that bring errors to error neurons."""
        if error not in self.errors:
            return ()
        return self.circuit.projections_onto(error, self.errors[error].hears_errors)

    @cached_property
    def forward(self) -> set[str]:
        """The tensors of synapses that bring no errors."""
        own = {*self.errors, self.learning.output_error}
        forth = (p for p in self.circuit.projections if p.pre not in own and p.post not in own)
        return {p.weight.tensor.name for p in forth if p.weight.tensor}

    def transported(self, error: str) -> Iterator[str]:
        """The weights of synapses forwards that errors have come through, the last first."""
        for projection in self.heard(error):
            tensor = projection.weight.tensor
            if tensor and tensor.name in self.forward and self.is_plain(tensor.name):
                yield tensor.name
            yield from self.transported(projection.pre)

    def copied(self, error: str) -> Iterator[str]:
        """The learned tensors that error neurons read for their own factors, on all the way."""
        for weight in self.factors(error):
            if weight.tensor and weight.tensor.name in self.learned:
                yield weight.tensor.name
        for projection in self.heard(error):
            yield from self.copied(projection.pre)

    def is_plain(self, tensor: str) -> bool:
        found = self.circuit.tensor(tensor)
        return isinstance(found, Parameter) and found.formula is None

    # ---- factors of error neurons ------------------------------------------------------------------

    def factors(self, error: str) -> Iterator[Weight]:
        """The weights of all compartments of error neurons that hear no errors."""
        if error not in self.errors:
            return
        population = self.circuit.population(error)
        for compartment in population.compartments:
            if compartment.name != self.errors[error].hears_errors:
                yield from weights_onto(self.circuit, population, compartment.name)

    def third(self, error: str) -> Iterator[str]:
        """What multiplies with errors in error neurons, a text for each compartment."""
        for compartment in self.circuit.population(error).compartments:
            if compartment.name == self.errors[error].hears_errors:
                continue
            heard = self.circuit.projections_onto(error, compartment.name)
            parts = [_product(p.weight, p.pre) for p in heard]
            parts += [_product(weight) for weight in compartment.drive]
            text = " + ".join(parts)
            divides = compartment.effect is Effect.DIVIDES
            yield f"1/{text}" if divides and len(parts) == 1 else f"1/({text})" if divides else text


def _product(weight: Weight, rate: str = "") -> str:
    """`W_V core_source`, without indices and gains."""
    names = (weight.tensor.name if weight.tensor else "", rate)
    return " ".join(name for name in names if name) or str(weight)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
