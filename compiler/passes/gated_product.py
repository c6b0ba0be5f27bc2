"""Products gated by sums of products, `Σ (Σ S) D`: what `reassociate` looks for and takes apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod

from cortico.ir import (
    Circuit,
    Compartment,
    Domain,
    Effect,
    Gain,
    Population,
    Projection,
    Unfold,
    Weight,
)
from cortico.ir.analysis.dependence import own_axes
from cortico.ir.domain import bound_axes, conjunction
from cortico.ir.rewrite import fresh, map_axes, replace_projections

#: A compartment and the population it belongs to.
Part = tuple[Population, Compartment]


@dataclass(frozen=True)
class GatedProduct:
    """Deep cells that multiply a sum of the products of superficial cells, and are summed in turn."""

    deep: Population
    superficial: Population
    relays: tuple[Population, ...]  #: what stands between the two and only passes sums on
    gate: Projection  #: onto the deep cells, with the gain of the whole way
    domain: Domain  #: where superficial cells reach deep cells
    summed: tuple[str, ...]  #: axes of deep cells whose indices their only reader sums alike

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes of deep cells, then those that the gate sums."""
        deep = self.deep.axes
        return (*deep, *(axis for axis in self.superficial.axes if axis not in deep))

    @property
    def parts(self) -> list[Part]:
        """All compartments but the gate's: the factors."""
        parts = [(self.superficial, c) for c in self.superficial.compartments]
        others = (c for c in self.deep.compartments if c.name != self.gate.compartment)
        return [*parts, *((self.deep, c) for c in others)]


def gated_products(circuit: Circuit) -> Iterator[GatedProduct]:
    """Every place where products gate products, with nothing else in the way."""
    for gate in circuit.projections:
        path = _path_back(circuit, gate)
        if not _is_gated_product(circuit, path) or not _others_are_plain(circuit, path):
            continue
        deep = circuit.population(gate.post)
        yield GatedProduct(
            deep,
            circuit.population(path[-1].pre),
            tuple(circuit.population(p.pre) for p in path[:-1]),
            replace(gate, weight=Weight(gain=prod((p.weight.gain for p in path), start=Gain()))),
            conjunction(*(circuit.synapse_domain(p) for p in path)),
            _summed_alike(circuit, deep),
        )


def _path_back(circuit: Circuit, gate: Projection) -> list[Projection]:
    """`gate` and the projections before it, back through populations that only pass a current on."""
    path = [gate]
    while True:
        pre = circuit.population(path[-1].pre)
        heard = circuit.projections_onto(pre.name)
        drives = any(c.drive for c in pre.compartments)
        if pre.transfer != "identity" or len(pre.compartments) > 1 or len(heard) != 1 or drives:
            return path
        if pre.compartments[0].effect is not Effect.MULTIPLIES or len(_consumers(circuit, pre)) > 1:
            return path
        path.append(heard[0])


def _is_gated_product(circuit: Circuit, path: list[Projection]) -> bool:
    """Whether a sum of products is all that gates other products, and nobody else reads either."""
    gate = path[0]
    deep, superficial = circuit.population(gate.post), circuit.population(path[-1].pre)
    shared = set(deep.axes) & set(superficial.axes)
    return (
        all(p.weight.tensor is None and not p.at for p in path)
        and circuit.projections_onto(deep.name, gate.compartment) == (gate,)
        and not deep.compartment(gate.compartment).drive
        and all(_is_product(p) and len(_consumers(circuit, p)) == 1 for p in (deep, superficial))
        # The gate sums something, but nothing that the deep cells keep apart.
        and bool(set(superficial.axes) - shared)
        and all(shared <= set(circuit.population(p.pre).axes) for p in path)
        and all(set(circuit.population(p.pre).axes) <= set(deep.axes) for p in path[:-1])
    )


def _others_are_plain(circuit: Circuit, path: list[Projection]) -> bool:
    """Whether synapses that get other ends keep what they sum, and have no domain of their own."""
    ends = (circuit.population(path[0].post), circuit.population(path[-1].pre))
    axes = {axis for end in ends for axis in end.axes}
    others = [p for end in ends for p in circuit.projections_onto(end.name) if p != path[0]]
    readers = circuit.projections_from(ends[0].name)
    gone = axes - set(ends[0].axes)
    return all(
        not p.domain
        and not circuit.population(p.pre).domain
        and axes.isdisjoint(circuit.summed_axes(p))
        for p in others
    ) and all(gone.isdisjoint(circuit.population(p.post).axes) and not p.at for p in readers)


def _is_product(population: Population) -> bool:
    multiplies = all(c.effect is Effect.MULTIPLIES for c in population.compartments)
    return population.transfer == "identity" and multiplies and len(population.compartments) > 1


def _consumers(circuit: Circuit, population: Population) -> list[object]:
    """All that reads the rates of a population: projections and outputs."""
    outputs = [o for o in circuit.outputs if o.source.name == population.name]
    return [*circuit.projections_from(population.name), *outputs]


def _summed_alike(circuit: Circuit, deep: Population) -> tuple[str, ...]:
    """The axes that the only reader of `deep` sums without weighing their indices differently."""
    (reader,) = circuit.projections_from(deep.name) or (None,)
    if reader is None:
        return ()
    seen = {*circuit.population(reader.post).axes, *reader.weight.axes}
    seen |= bound_axes(reader.domain)
    return tuple(axis for axis in deep.axes if axis not in seen)


def varying_axes(circuit: Circuit, parts: Iterable[Part]) -> set[str]:
    """The axes along which any of the factors differs."""
    return {axis for part in parts for axis in own_axes(circuit, *part)}


def renamed(compartments: Iterable[Compartment]) -> tuple[Compartment, ...]:
    """The compartments, those that share a name with one before numbered."""
    found: list[Compartment] = []
    for compartment in compartments:
        name = fresh(compartment.name, [c.name for c in found])
        found.append(replace(compartment, name=name))
    return tuple(found)


def moved(
    circuit: Circuit, parts: list[Part], target: Population, skip: int
) -> Iterator[Projection]:
    """The synapses of `parts` on the compartments of `target`, which follow `skip` others."""
    for (population, old), new in zip(parts, target.compartments[skip:], strict=True):
        for projection in circuit.projections_onto(population.name, old.name):
            yield replace(projection, post=target.name, compartment=new.name)


def rebuilt(
    circuit: Circuit,
    match: GatedProduct,
    superficial: tuple[Population, ...],
    deep: Population,
    synapses: Iterable[Projection],
) -> Circuit:
    """The circuit with other populations, and `synapses` onto them, in the place of a match."""
    gone = (match.superficial, *match.relays, match.deep)
    old = [p for population in gone for p in circuit.projections_onto(population.name)]
    swap: dict[str, tuple[Population, ...]] = {relay.name: () for relay in match.relays}
    swap |= {match.superficial.name: superficial, deep.name: (deep,)}
    populations = (new for p in circuit.populations for new in swap.get(p.name, (p,)))
    return replace_projections(replace(circuit, populations=tuple(populations)), old, synapses)


def unfolded(circuit: Circuit, names: Iterable[str], unfold: Unfold) -> Circuit:
    """The circuit with these axes in space or in time."""
    chosen = set(names)
    return map_axes(circuit, lambda a: replace(a, unfold=unfold) if a.name in chosen else a)
