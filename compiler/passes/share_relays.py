"""share-relays: compute once, relay to many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cortico.ir import (
    CellClass,
    Circuit,
    Compartment,
    Population,
    Projection,
    Region,
)
from cortico.ir.analysis.dependence import own_axes
from cortico.ir.domain import bound_axes, restrict
from cortico.ir.rewrite import fresh_name, map_compartment, replace_population, replace_projections
from cortico.passes.base import Pass, nominal


@dataclass(frozen=True)
class ShareRelays(Pass):
    """Compute once what many neurons compute alike, and relay it to them.

    In front of a compartment whose current is the same along some axes of its population:

        I[h,i,j,a] = Σ_m W[h,a,m] r[j,m]   ->   relay[h,j,a] = Σ_m W[h,a,m] r[j,m],  I = relay[h,j,a]

    and behind a population that is summed along axes that the weight does not have:

        y[m] = Σ_{j,c} W[m,c] r[j,c]       ->   collect[c] = Σ_j r[j,c],  y[m] = Σ_c W[m,c] collect[c]

    Synapses fall from n²·d·D to n·d·D + n²·d. Each step is taken only where it lowers the number of
    synapses (symbolic sizes count as 1024). That relays are L4 cells, and collectors cells of the
    class they collect, is our assumption.
    """

    name = "share-relays"
    after = ("drop-softmax-shift", "move-value-bias", "reassociate")

    def run(self, circuit: Circuit) -> Circuit:
        changed = True
        while changed:
            changed = False
            for candidate in _candidates(circuit):
                if _saves(circuit, candidate):
                    circuit, changed = candidate, True
                    break
        return circuit


def _saves(before: Circuit, after: Circuit) -> bool:
    """Whether `after` has fewer synapses. Only the projections in which they differ are counted."""
    same = set(before.projections) & set(after.projections)
    new, old = (
        replace(c, projections=tuple(p for p in c.projections if p not in same))
        for c in (after, before)
    )
    return bool(nominal(new).counts().synapses < nominal(old).counts().synapses)


def _candidates(circuit: Circuit) -> Iterator[Circuit]:
    for population in circuit.populations:
        for compartment in population.compartments:
            hears = circuit.projections_onto(population.name, compartment.name)
            if hears and own_axes(circuit, population, compartment) < set(population.axes):
                yield _relayed(circuit, population, compartment)
    for projection in circuit.projections:
        free = _free_summed_axes(circuit, projection)
        if free and projection.weight.tensor:
            yield _collected(circuit, projection, free)


def _relayed(circuit: Circuit, population: Population, compartment: Compartment) -> Circuit:
    """The circuit with a relay population in front of one compartment."""
    varying = own_axes(circuit, population, compartment)
    axes = tuple(axis for axis in population.axes if axis in varying)
    synapses = circuit.projections_onto(population.name, compartment.name)
    name = synapses[0].name if len(synapses) == 1 else f"{population.name}_{compartment.name}"
    relay = fresh_name(circuit, f"{name}_relay")
    cells = Population(
        relay,
        axes,
        Region.L4 if population.region.in_cortex else population.region,
        CellClass.STELLATE if population.region.in_cortex else CellClass.RELAY,
        (Compartment("basal", drive=compartment.drive),),
        domain=restrict(population.domain, axes),
    )
    moved = [replace(p, post=relay, compartment="basal") for p in synapses]
    link = Projection(relay, relay, population.name, compartment.name)
    result = replace_population(circuit, population.name, cells, population)
    result = map_compartment(
        result, population.name, compartment.name, lambda c: replace(c, drive=())
    )
    return replace_projections(result, synapses, [*moved, link])


def _free_summed_axes(circuit: Circuit, projection: Projection) -> tuple[str, ...]:
    """Axes that a projection sums though neither its weight nor its own domain depends on them."""
    used = {*projection.weight.axes, *bound_axes(projection.domain)}
    return tuple(axis for axis in circuit.summed_axes(projection) if axis not in used)


def _collected(circuit: Circuit, projection: Projection, free: tuple[str, ...]) -> Circuit:
    """The circuit with a population that sums `free` before the projection weighs the rest."""
    pre = circuit.heard(projection)
    axes = tuple(axis for axis in pre.axes if axis not in free)
    name = fresh_name(circuit, f"{pre.name}_sum")
    cells = Population(
        name,
        axes,
        pre.region,
        pre.cell_class,
        (Compartment("basal"),),
        domain=restrict(pre.domain, axes),
    )
    post = circuit.population(projection.post)
    result = replace_population(circuit, post.name, cells, post)
    gather = Projection(name, pre.name, name, "basal", at=projection.at)
    rest = replace(projection, pre=name, at=())
    return replace_projections(result, [projection], [gather, rest])
