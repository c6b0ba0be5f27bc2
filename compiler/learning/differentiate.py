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

from dataclasses import dataclass, replace

import numpy as np

from cortico.ir import (
    Circuit,
    Compartment,
    Domain,
    Effect,
    Formula,
    Gain,
    Input,
    Parameter,
    Population,
    Projection,
    SpecError,
    TensorRef,
    Weight,
    check,
)
from cortico.ir.circuit import Output
from cortico.learning.cells import excitatory
from cortico.learning.loss import SquaredError
from cortico.learning.rules import Learning, Rule, Term

_MINUS = Gain(-1.0)


def differentiate(circuit: Circuit, loss: SquaredError = SquaredError()) -> Learning:
    """The circuit with a target input, error neurons and plasticity rules.

    SpecError for circuits with several outputs, and for names that are taken.
    """
    return _Differentiation(circuit, loss).learning()


class _Differentiation:
    def __init__(self, circuit: Circuit, loss: SquaredError) -> None:
        if len(circuit.outputs) != 1:
            raise SpecError(f"circuit {circuit.name!r} has {len(circuit.outputs)} outputs, not one")
        if any(t.name == loss.target for t in (*circuit.inputs, *circuit.parameters)):
            raise SpecError(f"circuit {circuit.name!r} has a tensor {loss.target!r} already")
        self.old, self.loss = circuit, loss
        self.output = circuit.outputs[0]
        self.populations: list[Population] = []
        self.projections: list[Projection] = []
        self.terms: dict[str, list[Term]] = {}
        self.errors: dict[tuple[str, str], str] = {}
        self.units: dict[str, tuple[Parameter, Parameter]] = {}

    def learning(self) -> Learning:
        self.output_error()
        for population in reversed(self.old.order):
            self.errors_of(population)
        populations = (*self.old.populations, *self.populations)
        found = replace(
            self.old,
            inputs=(*self.old.inputs, self.target()),
            parameters=(*self.old.parameters, *(p for pair in self.units.values() for p in pair)),
            populations=populations,
            projections=(*self.old.projections, *self.projections),
            outputs=(*self.old.outputs, Output("error", TensorRef(self.error, self.at))),
        )
        check(found)
        rules = tuple(
            Rule(p.name, tuple(self.terms[p.name]))
            for p in self.old.parameters
            if p.name in self.terms
        )
        return Learning(found, rules, self.loss)

    # ---- errors ----------------------------------------------------------------------------------

    @property
    def at(self) -> tuple[str, ...]:
        """The axes of the output."""
        return self.output.source.axes

    def target(self) -> Input:
        return Input(self.loss.target, tuple(self.old.axis(axis).extent for axis in self.at))

    def output_error(self) -> None:
        """Error neurons of the output: the loss by what the circuit gives."""
        source = self.old.population(self.output.source.name)
        self.error = self.fresh(f"{source.name}_error")
        basal = Compartment("basal", drive=self.loss.error_drive(self.at))
        self.populations.append(
            Population(self.error, self.at, source.region, excitatory(source), (basal,))
        )
        self.project(source.name, self.error, "basal", Weight())

    def errors_of(self, population: Population) -> None:
        """Error neurons and rule terms of every compartment that learns, or that something before does."""
        for compartment in population.compartments:
            if self.learns(population, compartment):
                name = self.compartment_error(population, compartment)
                self.errors[population.name, compartment.name] = name
                self.add_terms(population, compartment, name)

    def learns(self, population: Population, compartment: Compartment) -> bool:
        """Whether a parameter acts on a compartment, directly or through what it hears."""
        heard = self.old.projections_onto(population.name, compartment.name)
        weights = [*compartment.drive, *(p.weight for p in heard)]
        return any(self.trained(weight) for weight in weights) or any(
            self.learns(self.old.population(p.pre), c)
            for p in heard
            for c in self.old.population(p.pre).compartments
        )

    def trained(self, weight: Weight) -> TensorRef | None:
        """The plain parameter that a weight is made of; None for inputs and rotations."""
        tensor = self.old.tensor(weight.tensor.name) if weight.tensor else None
        if weight.tensor is None or not isinstance(tensor, Parameter):
            return None
        if tensor.formula is None:
            return weight.tensor
        if tensor.formula.kind != "distance":
            return None
        return TensorRef(tensor.formula.arguments[0], weight.tensor.axes[:-2])

    def compartment_error(self, population: Population, compartment: Compartment) -> str:
        """Add the error neurons of one compartment."""
        name = self.fresh(f"{population.name}_{compartment.name}_error")
        others = [c for c in population.compartments if c is not compartment]
        divides = compartment.effect is Effect.DIVIDES
        # the slope of 1/x is -1/x²: a dividing compartment divides twice
        copies = [(c, f"own_{c.name}") for c in others]
        copies += [(compartment, f"own_{compartment.name}_{k}") for k in (1, 2) if divides]
        slopes = self.slope(population)
        parts = [Compartment("error"), *(replace(c, name=own) for c, own in copies)]
        parts += [c for c, _ in slopes]
        self.populations.append(
            Population(
                name,
                population.axes,
                population.region,
                excitatory(population),
                tuple(parts),
                domain=population.domain,
            )
        )
        self.hear_errors(population, name, _MINUS if divides else Gain())
        for each, own in copies:
            for projection in self.old.projections_onto(population.name, each.name):
                self.copy(projection, name, own)
        for part, weight in slopes:
            if weight is not None:
                self.project(population.name, name, part.name, weight)
        return name

    def slope(self, population: Population) -> list[tuple[Compartment, Weight | None]]:
        """Compartments that multiply with φ' of the population's argument, and what they hear of it.

        exp' = exp, tanh' = (1 - tanh)(1 + tanh), sqrt' = 1/(2 sqrt), relu' is 1 where relu is not 0.
        """
        one = (Weight(),)
        match population.transfer:
            case "identity":
                return []
            case "exp":
                return [(Compartment("slope"), Weight())]
            case "tanh":
                return [
                    (Compartment("below_one", drive=one), Weight(gain=_MINUS)),
                    (Compartment("above_minus_one", drive=one), Weight()),
                ]
            case "sqrt":
                return [(Compartment("slope", Effect.DIVIDES), Weight(gain=Gain(2.0)))]
            case "relu":  # r / r is 1 where r is not 0, and x / 0 is 0
                return [
                    (Compartment("fires"), Weight()),
                    (Compartment("fires_at", Effect.DIVIDES), Weight()),
                ]
        raise SpecError(f"no derivative of {population.transfer!r} is known")

    def hear_errors(self, population: Population, name: str, sign: Gain) -> None:
        """Project onto error neurons the errors of all that the population projects to."""
        if population.name == self.output.source.name:
            self.project(self.error, name, "error", Weight(gain=sign))
        for projection in self.old.projections_from(population.name):
            error = self.errors.get((projection.post, projection.compartment))
            if error is not None:
                weight = replace(projection.weight, gain=sign * projection.weight.gain)
                self.project(error, name, "error", weight, projection.domain)

    # ---- rules -----------------------------------------------------------------------------------

    def add_terms(self, population: Population, compartment: Compartment, error: str) -> None:
        for weight in compartment.drive:
            self.add_term(weight, None, error, ())
        for projection in self.old.projections_onto(population.name, compartment.name):
            self.add_term(projection.weight, projection.pre, error, projection.domain)

    def add_term(self, weight: Weight, pre: str | None, error: str, domain: Domain) -> None:
        at = self.trained(weight)
        if at is not None:
            assert weight.tensor is not None
            is_plain = at == weight.tensor
            factor = Weight(None if is_plain else self.unit_distance(weight.tensor), weight.gain)
            self.terms.setdefault(at.name, []).append(Term(at, pre, error, factor, domain))

    def unit_distance(self, ref: TensorRef) -> TensorRef:
        """The distance that a bias by distance has for slopes of one."""
        if ref.name not in self.units:
            bias = self.old.tensor(ref.name)
            assert isinstance(bias, Parameter) and bias.formula is not None
            slopes = self.old.tensor(bias.formula.arguments[0])
            ones = np.ones([int(side) for side in slopes.shape])
            flat = Parameter(f"{slopes.name}_of_one", slopes.shape, ones)
            unit = replace(
                bias, name=f"{ref.name}_of_one", formula=Formula("distance", (flat.name,))
            )
            self.units[ref.name] = flat, unit
        return replace(ref, name=self.units[ref.name][1].name)

    # ---- adding ----------------------------------------------------------------------------------

    def fresh(self, name: str) -> str:
        taken = {p.name for p in (*self.old.populations, *self.populations)}
        candidate, number = name, 2
        while candidate in taken:
            candidate, number = f"{name}_{number}", number + 1
        return candidate

    def project(
        self, pre: str, post: str, compartment: str, weight: Weight, domain: Domain = ()
    ) -> None:
        taken = {p.name for p in (*self.old.projections, *self.projections)}
        name, number = f"{pre}_to_{post}", 2
        while name in taken:
            name, number = f"{pre}_to_{post}_{number}", number + 1
        self.projections.append(Projection(name, pre, post, compartment, weight, domain))

    def copy(self, projection: Projection, post: str, compartment: str) -> None:
        """The same synapses onto another population."""
        self.project(projection.pre, post, compartment, projection.weight, projection.domain)
