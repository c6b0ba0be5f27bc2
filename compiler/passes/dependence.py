"""What a rate or a current may depend on, and whether a weight is a known number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cortico.ir import Circuit, Compartment, Domain, Gain, Parameter, Population, Projection, Weight
from cortico.ir.domain import conjunction, implies


def rate_axes(circuit: Circuit, population: Population) -> set[str]:
    """Axes of `population` along which its rate can differ within its domain."""
    found: dict[str, set[str]] = {}
    for each in circuit.order:
        currents = [_current_axes(circuit, each, c, found) for c in each.compartments]
        found[each.name] = set().union(*currents)
    return found[population.name]


def current_axes(circuit: Circuit, population: Population, compartment: Compartment) -> set[str]:
    """Axes of `population` along which the current of a compartment can differ."""
    found = {p.pre: set(_rate_axes_of(circuit, p)) for p in _onto(circuit, population, compartment)}
    return _current_axes(circuit, population, compartment, found)


def term_axes(circuit: Circuit, projection: Projection) -> set[str]:
    """Axes of the target along which the current of one projection can differ."""
    return _term_axes(circuit, projection, _rate_axes_of(circuit, projection))


def extra_bounds(circuit: Circuit, projection: Projection) -> Domain:
    """Bounds on the synapses of a projection that its target's domain does not imply."""
    post, pre = circuit.population(projection.post), circuit.population(projection.pre)
    bounds = conjunction(pre.domain, projection.domain)
    return tuple(bound for bound in bounds if not implies(post.domain, bound))


def bound_axes(domain: Domain) -> set[str]:
    """The axes that a domain ties."""
    return {axis for bound in domain for axis in (bound.left, bound.right)}


def is_output(circuit: Circuit, population: str) -> bool:
    """Whether the outside reads the rates of a population."""
    return any(output.source.name == population for output in circuit.outputs)


def reads(circuit: Circuit) -> Iterator[Weight]:
    """Every weight of the circuit: drives first, then projections."""
    for population in circuit.populations:
        for compartment in population.compartments:
            yield from compartment.drive
    yield from (projection.weight for projection in circuit.projections)


def values_of(circuit: Circuit, name: str) -> np.ndarray | None:
    """The stored array of a parameter; None for inputs, formulas and symbolic parameters."""
    tensor = circuit.tensor(name)
    return tensor.values if isinstance(tensor, Parameter) else None


def number_of(circuit: Circuit, gain: Gain) -> float | None:
    """A gain as a number; None while it depends on a symbolic size."""
    extents = {axis: circuit.axis(axis).extent for axis, _ in gain.sizes}
    sizes = {axis: extent for axis, extent in extents.items() if isinstance(extent, int)}
    return gain.value(sizes) if len(sizes) == len(extents) else None


def _rate_axes_of(circuit: Circuit, projection: Projection) -> set[str]:
    return rate_axes(circuit, circuit.population(projection.pre))


def _onto(
    circuit: Circuit, population: Population, compartment: Compartment
) -> tuple[Projection, ...]:
    return circuit.projections_onto(population.name, compartment.name)


def _current_axes(
    circuit: Circuit, population: Population, compartment: Compartment, found: dict[str, set[str]]
) -> set[str]:
    axes = {axis for weight in compartment.drive for axis in weight.axes}
    for projection in _onto(circuit, population, compartment):
        axes |= _term_axes(circuit, projection, found[projection.pre])
    return axes


def _term_axes(circuit: Circuit, projection: Projection, rate: set[str]) -> set[str]:
    tied = bound_axes(extra_bounds(circuit, projection))
    post = circuit.population(projection.post)
    return (rate | set(projection.weight.axes) | tied) & set(post.axes)
