"""The rates of populations that fire the same whatever arrives, and what they send."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from cortico.backends.reference import currents, interpret
from cortico.ir import Circuit, Compartment, Population, Projection
from cortico.ir.analysis.constants import has_numbers, is_known
from cortico.ir.analysis.inputs import Arrays
from cortico.ir.domain import bound_axes
from cortico.ir.rewrite import without_unused


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
    told_apart = {
        *circuit.heard(projection).axes,
        *projection.weight.axes,
        *bound_axes(projection.domain),
    }
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
    part = replace(circuit, populations=tuple(populations), projections=tuple(projections))
    return without_unused(replace(part, inputs=(), outputs=()))
