"""Which populations fire the same whatever arrives, and at what rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from cortico.backends.inputs import Arrays
from cortico.backends.reference import currents, interpret
from cortico.ir import Circuit, Compartment, Parameter, Population, Projection, Weight


def constant_populations(circuit: Circuit) -> frozenset[str]:
    """Populations whose rates are known numbers: no input, symbol or symbolic weight reaches them."""
    found: frozenset[str] = frozenset()
    for population in circuit.order:
        weights = [w for c in population.compartments for w in c.drive]
        hears = circuit.projections_onto(population.name)
        weights += [projection.weight for projection in hears]
        if (
            has_numbers(circuit, population.axes)
            and all(is_known(circuit, weight) for weight in weights)
            and all(projection.pre in found for projection in hears)
        ):
            found |= {population.name}
    return found


def is_known(circuit: Circuit, weight: Weight) -> bool:
    """Whether a weight is made of known numbers only."""
    if not has_numbers(circuit, [*weight.axes, *(axis for axis, _ in weight.gain.sizes)]):
        return False
    if weight.tensor is None:
        return True
    tensor = circuit.tensor(weight.tensor.name)
    if not isinstance(tensor, Parameter):
        return False
    if tensor.formula is None:
        return tensor.values is not None
    arguments = (circuit.tensor(name) for name in tensor.formula.arguments)
    return all(isinstance(a, Parameter) and a.values is not None for a in arguments)


def has_numbers(circuit: Circuit, axes: Iterable[str]) -> bool:
    """Whether the sizes of axes are numbers, not symbols."""
    return all(isinstance(circuit.axis(axis).extent, int) for axis in axes)


def constant_rates(circuit: Circuit, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The rates of constant populations, float64, each over its axes."""
    kept = set(names)
    populations = tuple(p for p in circuit.populations if p.name in kept)
    projections = tuple(p for p in circuit.projections if p.post in kept)
    return interpret(_only(circuit, populations, projections), {})


def constant_current(
    circuit: Circuit, projection: Projection, rates: Arrays
) -> tuple[tuple[str, ...], np.ndarray] | None:
    """What synapses of constant cells add to a compartment: axes of the target, and an array.

    `rates` are those of the constant populations. None where it depends on a size that is a symbol.
    """
    pre, post = circuit.population(projection.pre), circuit.population(projection.post)
    tied = {axis for bound in projection.domain for axis in (bound.left, bound.right)}
    told_apart = {*pre.axes, *projection.weight.axes, *tied}
    axes = tuple(axis for axis in post.axes if axis in told_apart)
    if not has_numbers(circuit, axes) or not is_known(circuit, projection.weight):
        return None
    part = Compartment(projection.compartment)
    target = replace(post, axes=axes, domain=(), compartments=(part,))
    alone = _only(circuit, (pre, target), (projection,))
    return axes, currents(alone, rates, target, {})[part.name]


def _only(
    circuit: Circuit, populations: Sequence[Population], projections: Sequence[Projection]
) -> Circuit:
    """A part of a circuit, with the axes and parameters that it reads, and no inputs or outputs."""
    weights = [w for p in populations for c in p.compartments for w in c.drive]
    weights += [projection.weight for projection in projections]
    axes = {axis for population in populations for axis in population.axes}
    axes |= {axis for w in weights for axis in (*w.axes, *(a for a, _ in w.gain.sizes))}
    read = {weight.tensor.name for weight in weights if weight.tensor}
    read |= {
        a for p in circuit.parameters if p.formula and p.name in read for a in p.formula.arguments
    }
    return replace(
        circuit,
        axes=tuple(axis for axis in circuit.axes if axis.name in axes),
        inputs=(),
        parameters=tuple(p for p in circuit.parameters if p.name in read),
        populations=tuple(populations),
        projections=tuple(projections),
        outputs=(),
    )
