"""Which 0/1 inputs silence a population: where they are 0, so are its rates, whatever else is."""

from __future__ import annotations

from dataclasses import replace

from cortico.ir.circuit import Circuit
from cortico.ir.population import Compartment, Effect, Population, Projection
from cortico.ir.tensors import Input, InputKind, TensorRef, Weight


class Silence:
    """The inputs that silence each population of a circuit, read off its synapses and never off rates.

    So it can be asked while rates are being planned: those of a gradient circuit wait for one another.
    """

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._by: dict[str, list[TensorRef]] = {}
        for population in circuit.order:  # each after what it hears: no chain is too long
            self._by[population.name] = self._of(population)

    def of_all_that_hear(self, population: Population) -> list[TensorRef]:
        """Inputs over axes of `population` that silence every population that hears it."""
        heard: list[list[TensorRef]] = []
        for projection in self._circuit.projections_from(population.name):
            post = self._circuit.population(projection.post)
            others = [c for c in post.compartments if c.name != projection.compartment]
            heard.append([ref for c in others for ref in self._through(post, c)])
        return [ref for ref in _in_all(heard) if set(ref.axes) <= set(population.axes)]

    def _of(self, population: Population) -> list[TensorRef]:
        parts = population.compartments if population.transfer == "identity" else ()
        return list(dict.fromkeys(ref for part in parts for ref in self._through(population, part)))

    def _through(self, population: Population, compartment: Compartment) -> list[TensorRef]:
        """Those over axes of the population where the compartment multiplies with 0."""
        if compartment.effect is Effect.DIVIDES:
            return []
        synapses = self._circuit.projections_onto(population.name, compartment.name)
        heard = [self._of_source(p) for p in synapses]
        heard += [self._of_drive(weight) for weight in compartment.drive]
        return [ref for ref in _in_all(heard) if set(ref.axes) <= set(population.axes)]

    def _of_source(self, projection: Projection) -> list[TensorRef]:
        """Those that silence a source, at the axes that it is read at."""
        names = self._circuit.read_as(projection)
        found = self._by[projection.pre]
        return [replace(ref, axes=tuple(names[axis] for axis in ref.axes)) for ref in found]

    def _of_drive(self, drive: Weight) -> list[TensorRef]:
        """The 0/1 input that drives a compartment, if it is one."""
        tensor = self._circuit.tensor(drive.tensor.name) if drive.tensor else None
        is_gate = isinstance(tensor, Input) and tensor.kind is InputKind.MASK
        return [drive.tensor] if drive.tensor and is_gate else []


def _in_all(lists: list[list[TensorRef]]) -> list[TensorRef]:
    """What all lists hold, in the order of the first."""
    first, *others = lists or [[]]
    return [ref for ref in first if all(ref in other for other in others)]
