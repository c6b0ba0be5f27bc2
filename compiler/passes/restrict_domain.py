"""restrict-domain: neurons that are silent or unread need not exist."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from cortico.ir import Bound, Circuit, Domain, Population, Projection
from cortico.ir.analysis.readers import is_output
from cortico.ir.analysis.zeros import keeps_zero
from cortico.ir.counts import Count
from cortico.ir.domain import conjunction, implies, rename, restrict
from cortico.ir.invariants import domains_fit_axes
from cortico.ir.rewrite import map_projections, replace_population
from cortico.passes.base import Pass


@dataclass(frozen=True)
class RestrictDomain(Pass):
    """Give a population the domain outside of which it is silent, or nobody listens.

    Forward, for φ(0) = 0 and a compartment c without drive whose synapses all end inside D:

        r[i,j] = φ(… Σ_(pre) w · rate · [(i,j) ∈ D] …)   ->   r[i,j] = φ(…) · [(i,j) ∈ D]

    (c may divide as well: x/0 is 0). Backward, for a population that is no output and of which
    every consumer reads only D, whatever its transfer function:

        y = Σ w · r[i,j] · [(i,j) ∈ D]   ->   y = Σ w · (r[i,j] · [(i,j) ∈ D])

    So causal and windowed masks written on synapses remove microcolumns. Of several synapses onto a
    compartment, or several consumers, the loosest bound counts. A bound that would tie more than
    two axes together is left where it is. Bounds of synapses that the domain of an end implies go.
    """

    name = "restrict-domain"
    in_time = True

    def run(self, circuit: Circuit) -> Circuit:
        previous = None
        while previous is not circuit:
            previous = circuit
            for population in previous.populations:
                circuit = _restricted(circuit, circuit.population(population.name))
        return _without_implied_bounds(circuit)

    def cost(self, circuit: Circuit) -> Count:
        return circuit.counts().neurons


def _restricted(circuit: Circuit, population: Population) -> Circuit:
    """The circuit with every bound that holds for `population` in its domain."""
    for bound in (*_silent_outside(circuit, population), *_unread_outside(circuit, population)):
        now = circuit.population(population.name)
        if implies(now.domain, bound):
            continue
        narrow = replace(now, domain=conjunction(now.domain, (bound,)))
        candidate = replace_population(circuit, now.name, narrow)
        if not any(domains_fit_axes(candidate)):
            circuit = candidate
    return circuit


def _silent_outside(circuit: Circuit, population: Population) -> Domain:
    """Bounds outside of which the rate is zero because a compartment hears nothing."""
    if not keeps_zero(population):
        return ()
    found: list[Bound] = []
    for compartment in population.compartments:
        synapses = circuit.projections_onto(population.name, compartment.name)
        if not compartment.drive:
            heard = [(*p.domain, *circuit.heard(p).domain) for p in synapses]
            found += _loosest(restrict(conjunction(d), population.axes) for d in heard)
    return tuple(found)


def _unread_outside(circuit: Circuit, population: Population) -> Domain:
    """Bounds outside of which no consumer reads the population; none for an output."""
    if is_output(circuit, population.name):
        return ()
    consumers = circuit.projections_from(population.name)
    return _loosest(_read_inside(circuit, p) for p in consumers)


def _read_inside(circuit: Circuit, projection: Projection) -> Domain:
    """The bounds inside which a source is read, on its own axes."""
    own = {read: axis for axis, read in circuit.read_as(projection).items()}
    bounds = conjunction(projection.domain, circuit.population(projection.post).domain)
    return rename(restrict(bounds, own), own)


def _loosest(domains: Iterable[Domain]) -> Domain:
    """The tightest bounds that contain the union of `domains`: pairs of axes that all of them bound."""
    offsets = [{(b.left, b.right): b.offset for b in domain} for domain in domains]
    if not offsets:
        return ()
    shared = [pair for pair in offsets[0] if all(pair in other for other in offsets)]
    return tuple(Bound(*pair, max(other[pair] for other in offsets)) for pair in shared)


def _without_implied_bounds(circuit: Circuit) -> Circuit:
    """The circuit without bounds of projections that the domain of either end implies."""

    def needed(projection: Projection, bound: Bound) -> bool:
        ends = (circuit.heard(projection), circuit.population(projection.post))
        return not any(implies(end.domain, bound) for end in ends)

    kept = {p.name: tuple(b for b in p.domain if needed(p, b)) for p in circuit.projections}
    if all(kept[p.name] == p.domain for p in circuit.projections):
        return circuit
    return map_projections(circuit, lambda p: replace(p, domain=kept[p.name]))
