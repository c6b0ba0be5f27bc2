"""Currents with names: what compartments hear through learned synapses, in cells of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cortico.ir import (
    Circuit,
    Compartment,
    Gain,
    Parameter,
    Population,
    Projection,
    Weight,
)
from cortico.ir.rewrite import fresh
from cortico.learning.cells import excitatory
from cortico.learning.rules import Learning

#: The derivative of the loss by the output, y - target for the squared error.
ERROR = "e"

#: What error neurons hear through weights.
DELTA = "δ"

#: What a compartment hears: presynaptic populations, at which axes, and weights, without gain when it is one alone.
_Heard = tuple[tuple[tuple[str, tuple[str, ...], Weight], ...], tuple[Weight, ...]]


class Currents:
    """Cells for what compartments hear through learned synapses; compartments that hear the same share
    them. Then a circuit's equations name keys, queries, values and δ."""

    def __init__(self, learning: Learning, circuit: Circuit) -> None:
        self.old = circuit
        self.errors = {each.name for each in learning.errors}
        self.names: dict[str, str] = {}  #: population to the name of its rates
        self.backward: list[str] = []
        self.found: dict[_Heard, Population] = {}
        self.links: list[Projection] = []
        self.moved: set[str] = set()

    def circuit(self) -> Circuit:
        """The same circuit with these cells between learned synapses and compartments."""
        populations = tuple(self._population(p) for p in self.old.populations)
        kept = (p for p in self.old.projections if p.name not in self.moved)
        return replace(
            self.old,
            populations=(*populations, *self.found.values()),
            projections=(*kept, *self.links, *self._inputs()),
        )

    def _inputs(self) -> Iterator[Projection]:
        for (heard, _), population in self.found.items():
            for number, (pre, at, weight) in enumerate(heard):
                name = f"{population.name}_input_{number}"
                yield Projection(name, pre, population.name, "basal", weight, at=at)

    def _population(self, population: Population) -> Population:
        parts = tuple(self._compartment(population, c) for c in population.compartments)
        return replace(population, compartments=parts)

    def _compartment(self, population: Population, compartment: Compartment) -> Compartment:
        heard = self.old.projections_onto(population.name, compartment.name)
        if not heard or not all(self._is_learned(p.weight) and not p.domain for p in heard):
            return compartment
        if not all(map(self._is_learned, compartment.drive)):
            return compartment
        alone = len(heard) == 1 and not compartment.drive
        gain = heard[0].weight.gain if alone else Gain()
        weights = [replace(p.weight, gain=Gain()) if alone else p.weight for p in heard]
        pairs = tuple((p.pre, p.at, weight) for p, weight in zip(heard, weights, strict=True))
        cells = self._cells(population, (pairs, compartment.drive), heard[0])
        name = f"{heard[0].name}_current"
        self.links.append(replace(heard[0], name=name, pre=cells, weight=Weight(gain=gain), at=()))
        self.moved.update(p.name for p in heard)
        return replace(compartment, drive=())

    def _is_learned(self, weight: Weight) -> bool:
        tensor = self.old.tensor(weight.tensor.name) if weight.tensor else None
        return isinstance(tensor, Parameter) and tensor.formula is None

    def _cells(self, post: Population, heard: _Heard, first: Projection) -> str:
        if heard not in self.found:
            name = self._free_name(DELTA if first.pre in self.errors else first.name[0], first)
            pairs, drive = heard
            met = {a for w in (*drive, *(w for *_, w in pairs)) for a in w.axes}
            met |= {a for pre, at, _ in pairs for a in at or self.old.population(pre).axes}
            axes = tuple(axis for axis in post.axes if axis in met)
            basal = Compartment("basal", drive=drive)
            cells = f"{name}_current"
            self.found[heard] = Population(cells, axes, post.region, excitatory(post), (basal,))
            self.names[cells] = name
            if first.pre in self.errors:
                self.backward.append(cells)
        return self.found[heard].name

    def _free_name(self, wish: str, projection: Projection) -> str:
        taken = {t.name for t in self.old.inputs + self.old.parameters}
        taken |= {a.name for a in self.old.axes} | {*self.names.values(), ERROR}
        return fresh(projection.name if wish in taken and wish != DELTA else wish, taken)
