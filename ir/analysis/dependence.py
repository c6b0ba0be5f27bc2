"""Along which axes rates and currents can differ."""

from __future__ import annotations

from collections.abc import Mapping

from cortico.ir.analysis import once
from cortico.ir.circuit import Circuit
from cortico.ir.domain import Domain, bound_axes, conjunction, implies
from cortico.ir.population import Compartment, Population, Projection

#: Population to axes along which its rate can differ.
_Found = Mapping[str, set[str]]


@once
def rate_axes(circuit: Circuit) -> _Found:
    """Population to its axes along which its rate can differ within its domain."""
    found: dict[str, set[str]] = {}
    for each in circuit.order:
        currents = (_current_axes(circuit, each, c, found) for c in each.compartments)
        found[each.name] = set().union(*currents)
    return found


def current_axes(circuit: Circuit, population: Population, compartment: Compartment) -> set[str]:
    """Axes of `population` along which the current of a compartment can differ."""
    return _current_axes(circuit, population, compartment, rate_axes(circuit))


def own_axes(circuit: Circuit, population: Population, compartment: Compartment) -> set[str]:
    """Axes of `population` that cells need which take over the synapses of a compartment.

    These are the axes along which its current can differ, and those of what it hears: without one of
    them the synapses would sum along it, even where all its indices are alike.
    """
    hears = circuit.projections_onto(population.name, compartment.name)
    heard = {axis for p in hears for axis in circuit.heard(p).axes}
    return current_axes(circuit, population, compartment) | (heard & set(population.axes))


def term_axes(circuit: Circuit, projection: Projection) -> set[str]:
    """Axes of the target along which the current of one projection can differ."""
    return _term_axes(circuit, projection, rate_axes(circuit))


def extra_bounds(circuit: Circuit, projection: Projection) -> Domain:
    """Bounds on the synapses of a projection that its target's domain does not imply."""
    post, pre = circuit.population(projection.post), circuit.heard(projection)
    bounds = conjunction(pre.domain, projection.domain)
    return tuple(bound for bound in bounds if not implies(post.domain, bound))


def _current_axes(
    circuit: Circuit, population: Population, compartment: Compartment, found: _Found
) -> set[str]:
    hears = circuit.projections_onto(population.name, compartment.name)
    drives = {axis for weight in compartment.drive for axis in weight.axes}
    return drives.union(*(_term_axes(circuit, p, found) for p in hears))


def _term_axes(circuit: Circuit, projection: Projection, found: _Found) -> set[str]:
    tied = bound_axes(extra_bounds(circuit, projection))
    post = circuit.population(projection.post)
    names = circuit.read_as(projection)
    differs = {names[axis] for axis in found[projection.pre]}
    return (differs | set(projection.weight.axes) | tied) & set(post.axes)
