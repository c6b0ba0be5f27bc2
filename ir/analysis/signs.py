"""Signs of rates and of weights."""

from __future__ import annotations

from collections.abc import Hashable

from cortico.ir.analysis.constants import array_of
from cortico.ir.circuit import Circuit
from cortico.ir.population import Compartment, Effect, Population, Projection
from cortico.ir.tensors import InputKind, Weight
from cortico.ir.transfer import TRANSFERS


class Signs:
    """Which rates and currents of a circuit are surely not negative."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.values = {p.name: array_of(circuit, p.name) for p in circuit.parameters}
        self.masks = {t.name for t in circuit.inputs if t.kind is InputKind.MASK}
        #: All but those that may fall below zero: from rates that are not negative no step of a clock leads there.
        self.positive = {p.name for p in circuit.populations}
        while self._fall():
            pass

    def _fall(self) -> bool:
        """Take out what may fall below zero while the rest does not; whether a loop needs that once more."""
        falling = False
        for population in self.circuit.order_in_time:
            if population.name in self.positive and not self._never_negative(population):
                self.positive.remove(population.name)
                falling = True
        return falling and self.circuit.lives_in_time

    def _never_negative(self, population: Population) -> bool:
        transfer, own = TRANSFERS[population.transfer], population.integrates
        return (own is None or own.start >= 0) and (
            transfer.nonnegative
            or (
                transfer.is_identity
                and all(self.current_is_positive(population, c) for c in self._alone(population))
            )
        )

    def _alone(self, population: Population) -> list[Compartment]:
        """The compartments that have no twin, which hears the same: of both the product is a square."""
        alone: dict[Hashable, Compartment] = {}
        for compartment in population.compartments:
            heard = self.circuit.projections_onto(population.name, compartment.name)
            same = frozenset((p.pre, p.weight, p.domain, p.at, p.delay) for p in heard)
            key = (compartment.effect, compartment.drive, same, len(heard))
            if alone.pop(key, None) is None:
                alone[key] = compartment
        return list(alone.values())

    def current_is_positive(self, population: Population, compartment: Compartment) -> bool:
        """Whether the current of a compartment is surely never negative."""
        heard = self.circuit.projections_onto(population.name, compartment.name)
        return all(self._drive_is_positive(w) for w in compartment.drive) and all(
            p.pre in self.positive and self.signs_of(p.weight) <= {1} for p in heard
        )

    def _drive_is_positive(self, weight: Weight) -> bool:
        if weight.tensor and weight.tensor.name in self.masks:
            return weight.gain.coefficient >= 0
        return self.signs_of(weight) <= {1}

    def signs_of(self, weight: Weight) -> set[int]:
        """The signs that a weight has somewhere; both while its numbers are unknown."""
        outer = 1 if weight.gain.coefficient >= 0 else -1
        if weight.tensor is None:
            return {outer}
        values = self.values.get(weight.tensor.name)
        if values is None:
            return {1, -1}
        signs = ({1} if (values > 0).any() else set()) | ({-1} if (values < 0).any() else set())
        return {outer * sign for sign in signs} or {1}

    # ---- the circuit as a whole ----------------------------------------------------------------

    @property
    def conforms(self) -> bool:
        """Whether only readouts are signed, and every synapse has the sign of its cell class."""
        circuit = self.circuit
        read = {output.source.name for output in circuit.outputs}
        signed = [p.name for p in circuit.populations if p.name not in self.positive]
        return all(name in read and not circuit.projections_from(name) for name in signed) and all(
            self.synapse_conforms(p) for p in circuit.projections
        )

    def synapse_conforms(self, projection: Projection) -> bool:
        """Whether all weights excite, or all inhibit, as the class of the presynaptic cells does.

        A positive weight on a dividing compartment inhibits.
        """
        divides = self.circuit.divides(projection)
        inhibits = self.circuit.population(projection.pre).cell_class.inhibitory
        return self.signs_of(projection.weight) == {-1 if inhibits and not divides else 1} and (
            inhibits or not divides
        )

    @property
    def splittable(self) -> bool:
        """Whether all synapses have numbers, and all populations can be split."""
        known = (
            p.weight.tensor is None or self.values[p.weight.tensor.name] is not None
            for p in self.circuit.projections
        )
        return all(known) and all(map(self._can_split, self.circuit.populations))

    def _can_split(self, population: Population) -> bool:
        signed = [c for c in population.compartments if not self.current_is_positive(population, c)]
        factors = [c for c in population.compartments if c.effect is Effect.MULTIPLIES]
        inhibits = population.cell_class.inhibitory
        said = self.circuit.projections_from(population.name)
        transfer = TRANSFERS[population.transfer]
        return (
            (transfer.is_identity or transfer.nonnegative)
            and all(c.effect is Effect.MULTIPLIES for c in signed)
            and (transfer.is_identity or not signed or len(factors) == 1)
            and (not inhibits or population.name in self.positive)
            and (not inhibits or all(map(self.circuit.divides, said)))
        )
