"""merge-duplicates: what is computed twice is computed once."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, replace

from cortico.ir import Circuit, Parameter, Population, Projection
from cortico.ir.counts import Count
from cortico.ir.rewrite import (
    rename,
    replace_population,
    replace_projections,
    without_unused_tensors,
)
from cortico.passes.base import Pass, last, nominal
from cortico.passes.copied_heads import head_splits

Names = dict[str, str]


@dataclass(frozen=True)
class MergeDuplicates(Pass):
    """Equal parameters, populations and synapses become one; copied heads are computed once.

        V = W                                  ->   V is W
        r = φ(I), s = φ(I)                     ->   s is r
        I = g w r + g' w r                     ->   I = (g + g') w r
        W[h] = W'[h // n], k[h] = W[h] x       ->   k[g] = W'[g] x, read by all heads (g, r)

    Populations are equal when axes, place, class, transfer, domain, drives and synapses are. Heads
    are copies when the slices of every tensor a population reads along an area axis are equal,
    number by number, in blocks of n: the axis is split into groups and members, and grouped-query
    attention is found by itself. Only a population that is no output and of which all consumers
    have that axis loses it, and only where that lowers neurons plus synapses. Tensors without
    values are never taken for equal, and inputs and outputs keep their shapes.
    """

    name = "merge-duplicates"
    after = ("share-relays",)

    def run(self, circuit: Circuit) -> Circuit:
        return last(circuit, self.stages(circuit))

    def stages(self, circuit: Circuit) -> Iterator[Circuit]:
        """Tensors, populations, projections and heads, in turn until none merges."""
        previous = None
        while previous is not circuit:
            previous = circuit
            for rewrite in (_one_tensor, _one_population, _one_projection, _one_head_per_group):
                merged = rewrite(circuit)
                if merged is not circuit:
                    yield merged
                    circuit = merged

    def cost(self, circuit: Circuit) -> Count:
        return circuit.counts().synapses + circuit.counts().neurons


# ---- equal tensors, populations, projections -------------------------------------------------------


def _one_tensor(circuit: Circuit) -> Circuit:
    """Parameters with equal values, or the same formula, become the first of them."""
    names: Names = {}
    first: list[Parameter] = []
    for parameter in circuit.parameters:
        twin = next((p for p in first if _same_numbers(p, parameter)), None)
        if twin is None:
            first.append(parameter)
        else:
            names[parameter.name] = twin.name
    if not names:
        return circuit
    return without_unused_tensors(rename(replace(circuit, parameters=tuple(first)), tensors=names))


def _same_numbers(one: Parameter, other: Parameter) -> bool:
    if one.values is None and one.formula is None:
        return False
    return replace(one, name=other.name) == other


def _one_population(circuit: Circuit) -> Circuit:
    """The first population that is equal to an earlier one leaves its consumers to it."""
    known: dict[Hashable, str] = {}
    for population in circuit.populations:
        twin = known.setdefault(_identity(circuit, population), population.name)
        if twin != population.name:
            return _one_population(_merged(circuit, twin, population.name))
    return circuit


def _identity(circuit: Circuit, population: Population) -> Hashable:
    """All that decides the rates of a population, but for its name and the order of terms."""
    parts = []
    for c in population.compartments:
        synapses = [
            (p.source, p.weight, p.domain)
            for p in circuit.projections_onto(population.name, c.name)
        ]
        parts.append((c.name, c.effect, _bag(c.drive), _bag(synapses)))
    return replace(population, name="", compartments=()), tuple(parts)


def _bag(items: Iterable[object]) -> Hashable:
    """`items` in any order, each as often as it occurs."""
    return tuple(sorted(map(repr, items)))


def _merged(circuit: Circuit, kept: str, gone: str) -> Circuit:
    circuit = replace_projections(circuit, circuit.projections_onto(gone), ())
    return rename(replace_population(circuit, gone), populations={gone: kept})


def _one_projection(circuit: Circuit) -> Circuit:
    """Synapses between the same ends that differ by a constant gain at most become one."""
    kept: dict[Hashable, Projection] = {}
    for p in circuit.projections:
        key: Hashable = (
            p.source,
            p.post,
            p.compartment,
            p.domain,
            p.weight.tensor,
            p.weight.gain.sizes,
        )
        twin = kept.get(key)
        coefficient = p.weight.gain.coefficient + (twin.weight.gain.coefficient if twin else 0.0)
        if not math.isfinite(coefficient):
            key, twin = p.name, None  # too large a sum: it stays two projections
        kept[key] = _with_coefficient(twin, coefficient) if twin else p
    if len(kept) == len(circuit.projections):
        return circuit
    return replace(circuit, projections=tuple(kept.values()))


def _with_coefficient(projection: Projection, coefficient: float) -> Projection:
    gain = replace(projection.weight.gain, coefficient=coefficient)
    return replace(projection, weight=replace(projection.weight, gain=gain))


# ---- copied heads -----------------------------------------------------------------------------------


def _one_head_per_group(circuit: Circuit) -> Circuit:
    """The cheapest split of an area axis into groups and members, if one lowers the cost."""
    found = [circuit, *(split.apply() for split in head_splits(circuit))]
    return min(found, key=lambda c: MergeDuplicates().cost(nominal(c)))
