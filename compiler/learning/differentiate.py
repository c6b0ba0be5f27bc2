"""Differentiation of circuits: error neurons, and for every parameter a plasticity rule.

For each compartment c of a population with rate φ(Π I / Π D) a population of error neurons

    δ_c = (Σ over targets of weight · δ_target) · φ' · Π of the other I / Π D        c multiplies
    δ_c = -(Σ …) · φ' · Π I / Π D / I_c                                             c divides

hears the errors of all that its population projects to, through the same weights backwards, and has
copies of the other compartments of its population. The gradient of a weight is then a sum of products
of the presynaptic rate and the postsynaptic error: Hebbian by construction (Granier & Senn, arXiv
2504.06354; that error neurons are cells of their own, beside those they serve, is our assumption).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from cortico.ir import (
    Circuit,
    Compartment,
    Domain,
    Effect,
    Formula,
    Gain,
    Input,
    Output,
    Parameter,
    Population,
    Projection,
    SpecError,
    TensorRef,
    UnsupportedError,
    Weight,
    check,
)
from cortico.ir.analysis.inputs import token_inputs
from cortico.ir.domain import rename
from cortico.ir.rewrite import fresh, reachable_from, weights_onto
from cortico.learning.cells import MINUS, excitatory, slope
from cortico.learning.feedback import DECAY, BackwardTensors
from cortico.learning.loss import SQUARED_ERROR, SquaredError
from cortico.learning.rules import ErrorNeurons, Feedback, Learning, Rule, Term, learned_tensor

#: The compartment of error neurons that errors arrive at.
_HEARS = "error"


def differentiate(
    circuit: Circuit,
    loss: SquaredError = SQUARED_ERROR,
    feedback: Feedback | str = Feedback.TRANSPOSED,
    decay: float = DECAY,
) -> Learning:
    """The circuit with a target input, error neurons and plasticity rules.

    `feedback` is what projections that bring errors back carry in place of a parameter; `decay` is
    that of parameters whose feedback is learned. SpecError for circuits with several outputs, and for
    names that are taken.
    """
    if feedback not in list(Feedback):
        choices = ", ".join(Feedback)
        raise SpecError(f"feedback must be one of {choices}, found {feedback!r}")
    return _Differentiation(circuit, loss, Feedback(feedback)).learning(decay)


class _Differentiation:
    def __init__(self, circuit: Circuit, loss: SquaredError, feedback: Feedback) -> None:
        if len(circuit.outputs) != 1:
            raise SpecError(f"circuit {circuit.name!r} has {len(circuit.outputs)} outputs, not one")
        if any(t.name == loss.target for t in circuit.inputs + circuit.parameters):
            raise SpecError(f"circuit {circuit.name!r} has a tensor {loss.target!r} already")
        if ids := token_inputs(circuit):
            raise UnsupportedError(
                f"circuit {circuit.name!r} has the input {next(iter(ids))!r} of tokens: only circuits whose "
                "inputs are rates learn"
            )
        self.old, self.loss = circuit, loss
        self.output = circuit.outputs[0].source
        self.backwards = BackwardTensors(circuit, feedback)
        self.populations: list[Population] = []
        self.projections: list[Projection] = []
        self.errors: dict[tuple[str, str], ErrorNeurons] = {}
        self.terms: dict[str, list[Term]] = {}
        self.distances: dict[str, tuple[Parameter, Parameter]] = {}
        self.live = self.learning_compartments()

    def learning(self, decay: float) -> Learning:
        self.output_error = self.add_output_error()
        for population in reversed(self.old.order):
            if self.is_heard(population):
                for compartment in population.compartments:
                    if (population.name, compartment.name) in self.live:
                        self.add_errors(population, compartment)
        found = self.circuit()
        check(found)
        known = (p.name for p in self.old.parameters if p.name in self.terms)
        rules = (Rule(name, tuple(self.terms[name])) for name in known)
        return Learning(
            found,
            self.backwards.rules(rules, decay),
            self.loss,
            tuple(self.errors.values()),
            self.output_error,
            self.backwards.feedback,
        )

    def circuit(self) -> Circuit:
        distances = (p for pair in self.distances.values() for p in pair)
        target = tuple(self.old.axis(axis).extent for axis in self.output.axes)
        return replace(
            self.old,
            inputs=(*self.old.inputs, Input(self.loss.target, target)),
            parameters=(*self.old.parameters, *distances, *self.backwards.parameters),
            populations=(*self.old.populations, *self.populations),
            projections=(*self.old.projections, *self.projections),
            outputs=(
                *self.old.outputs,
                Output("error", replace(self.output, name=self.output_error)),
            ),
        )

    # ---- what learns -----------------------------------------------------------------------------

    def learning_compartments(self) -> set[tuple[str, str]]:
        """Compartments that a parameter acts on, directly or through what they hear."""
        ends = [(p, c) for p in self.old.populations for c in p.compartments]
        learns = {(p.name, c.name) for p, c in ends if self._is_learned(p, c)}
        reached = set(reachable_from(self.old, (population for population, _ in learns)))
        behind = (p for p in self.old.projections if p.pre in reached)
        return learns | {(p.post, p.compartment) for p in behind}

    def _is_learned(self, population: Population, compartment: Compartment) -> bool:
        weights = weights_onto(self.old, population, compartment.name)
        return any(learned_tensor(self.old, weight) for weight in weights)

    def is_heard(self, population: Population) -> bool:
        """Whether a population acts on the output; asked when that of all it projects to is known."""
        targets = self.old.projections_from(population.name)
        return population.name == self.output.name or any(
            (target.post, target.compartment) in self.errors for target in targets
        )

    # ---- error neurons ---------------------------------------------------------------------------

    def add_output_error(self) -> str:
        """Add error neurons of the output: the loss by what the circuit gives."""
        source = self.old.population(self.output.name)
        name = self.free_population(f"{source.name}_error")
        basal = Compartment("basal", drive=self.loss.error_drive(self.output.axes))
        cells = excitatory(source)
        self.populations.append(Population(name, self.output.axes, source.region, cells, (basal,)))
        self.project(source.name, name, "basal")
        return name

    def add_errors(self, population: Population, compartment: Compartment) -> None:
        """Add the error neurons of one compartment, and the rule terms of its synapses."""
        name = self.free_population(f"{population.name}_{compartment.name}_error")
        copies = tuple(self.copied_compartments(population, compartment))
        self.populations.append(_error_neurons(population, name, copies))
        self.hear_errors(
            population, name, MINUS if compartment.effect is Effect.DIVIDES else Gain()
        )
        for original, own in copies:
            self.hear_the_same(population, original, name, own)
        for factor in slope(population.transfer):
            self.project(population.name, name, factor.compartment.name, factor.weight)
        originals = tuple((own, original.name) for original, own in copies)
        found = ErrorNeurons(name, population.name, compartment.name, _HEARS, originals)
        self.errors[population.name, compartment.name] = found
        self.add_terms(population, compartment, name)

    def copied_compartments(
        self, population: Population, compartment: Compartment
    ) -> Iterator[tuple[Compartment, str]]:
        """The compartments whose currents are factors of the slope, each with a name for its copy."""
        for other in population.compartments:
            if other is not compartment:
                yield other, f"own_{other.name}"
        if compartment.effect is Effect.DIVIDES:  # the slope of 1/x is -1/x²
            yield compartment, f"own_{compartment.name}_1"
            yield compartment, f"own_{compartment.name}_2"

    def hear_errors(self, population: Population, name: str, sign: Gain) -> None:
        """Project onto error neurons the errors of all that the population projects to."""
        if population.name == self.output.name:
            self.project(self.output_error, name, _HEARS, Weight(gain=sign))
        for projection in self.old.projections_from(population.name):
            target = self.errors.get((projection.post, projection.compartment))
            if target is not None:
                weight = self.backwards.backward(projection.weight)
                weight = replace(weight, gain=sign * weight.gain)
                self.hear_back(projection, target.name, name, weight)

    def hear_back(self, projection: Projection, target: str, name: str, weight: Weight) -> None:
        """Project errors of a target onto those of its source, all axes read as the source was, backwards."""
        back = _axes_back(self.old, projection)
        own = self.old.population(projection.post).axes
        at = tuple(back.get(axis, axis) for axis in own)
        if weight.tensor:
            axes = tuple(back.get(axis, axis) for axis in weight.axes)
            weight = replace(weight, tensor=replace(weight.tensor, axes=axes))
        domain = rename(projection.domain, back)
        self.project(target, name, _HEARS, weight, domain, () if at == own else at)

    def hear_the_same(
        self, population: Population, original: Compartment, post: str, copy: str
    ) -> None:
        """Give a copied compartment the synapses of the original."""
        for p in self.old.projections_onto(population.name, original.name):
            self.project(p.pre, post, copy, p.weight, p.domain, p.at)

    # ---- rules -----------------------------------------------------------------------------------

    def add_terms(self, population: Population, compartment: Compartment, error: str) -> None:
        for weight in compartment.drive:
            self.add_term(weight, None, error)
        for projection in self.old.projections_onto(population.name, compartment.name):
            self.add_term(projection.weight, projection, error)

    def add_term(self, weight: Weight, synapses: Projection | None, error: str) -> None:
        at = learned_tensor(self.old, weight)
        if at is None or weight.tensor is None:
            return
        factor = None if at == weight.tensor else self.unit_distance(weight.tensor)
        pre, domain, pre_at = (
            (synapses.pre, synapses.domain, synapses.at) if synapses else (None, (), ())
        )
        term = Term(at, pre, error, Weight(factor, weight.gain), domain, pre_at)
        self.terms.setdefault(at.name, []).append(term)

    def unit_distance(self, ref: TensorRef) -> TensorRef:
        """The distance that a bias by distance has for slopes of one."""
        if ref.name not in self.distances:
            bias = self.old.tensor(ref.name)
            assert isinstance(bias, Parameter) and bias.formula is not None
            slopes = self.old.tensor(bias.formula.arguments[0])
            shape = [int(side) for side in slopes.shape]
            ones = Parameter(f"{slopes.name}_of_one", slopes.shape, np.ones(shape))
            formula = Formula("distance", (ones.name,))
            unit = replace(bias, name=f"{ref.name}_of_one", formula=formula)
            self.distances[ref.name] = ones, unit
        return replace(ref, name=self.distances[ref.name][1].name)

    # ---- adding ----------------------------------------------------------------------------------

    def free_population(self, name: str) -> str:
        return fresh(name, {p.name for p in (*self.old.populations, *self.populations)})

    def project(
        self,
        pre: str,
        post: str,
        compartment: str,
        weight: Weight = Weight(),
        domain: Domain = (),
        at: tuple[str, ...] = (),
    ) -> None:
        taken = {p.name for p in (*self.old.projections, *self.projections)}
        name = fresh(f"{pre}_to_{post}", taken)
        self.projections.append(Projection(name, pre, post, compartment, weight, domain, at))


def _axes_back(circuit: Circuit, projection: Projection) -> dict[str, str]:
    """Each axis that a source is read at, and the one of its own; and the other way where both are taken.

    Of keys relay[j, m] for relay over [i, m], j becomes i, and i, which the query has, becomes j.
    """
    forth = circuit.read_as(projection)
    back = {read: own for own, read in forth.items()}
    for own in forth.keys() - back.keys():
        end = own
        while end in forth:
            end = forth[end]
        back[own] = end
    return back


def _error_neurons(
    population: Population, name: str, copies: Iterable[tuple[Compartment, str]]
) -> Population:
    """Neurons that multiply the errors they hear with copied compartments and the slope of φ."""
    parts = [Compartment(_HEARS)]
    parts += [replace(original, name=own) for original, own in copies]
    parts += [factor.compartment for factor in slope(population.transfer)]
    return replace(
        population,
        name=name,
        cell_class=excitatory(population),
        compartments=tuple(parts),
        transfer="identity",
    )
