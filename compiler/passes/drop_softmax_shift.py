"""drop-softmax-shift: what a query adds to all its scores alike has no effect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cortico.ir import Circuit, Compartment, Effect, Population, Projection
from cortico.ir.analysis.dependence import current_axes, extra_bounds, term_axes
from cortico.ir.analysis.readers import is_output
from cortico.ir.analysis.softmax import ShiftGroup, shift_groups
from cortico.ir.domain import bound_axes
from cortico.ir.rewrite import replace_drive, replace_projections, without_unused_tensors
from cortico.ir.transfer import TRANSFERS
from cortico.passes.base import Pass


@dataclass(frozen=True)
class DropSoftmaxShift(Pass):
    """Remove what adds the same to a query's scores over all keys.

    Mask cells `e[i,j] = exp(s[i,j])` behind a pool `z[i] = Σ_j e[i,j]` that divides all they do keep
    every output when their exponents are shifted by any function of i:

        exp(s[i,j] + t[i]) / Σ_j exp(s[i,j] + t[i]) = exp(s[i,j]) / Σ_j exp(s[i,j])

    So terms of the score that do not depend on j go: the key bias, since in
    `s[i,j] = Σ_a q[i,a] · (k[j,a] + b_K[a])` the part `Σ_a q[i,a] b_K[a]` lacks j. The query bias
    stays, and so does a key bias that rotary embedding turns by the key's position. With an
    attention sink, or an extra source token, the pool holds another exponential, and with a semi-saturation a
    constant joins it, which are not shifted: nothing goes.
    """

    name = "drop-softmax-shift"

    def run(self, circuit: Circuit) -> Circuit:
        result = circuit
        while (smaller := next(_without_a_shift(result), None)) is not None:
            result = smaller
        return circuit if result is circuit else without_unused_tensors(result)


def _without_a_shift(circuit: Circuit) -> Iterator[Circuit]:
    """The circuit without one term that only shifts, for every such term."""
    for name, group in shift_groups(circuit).items():
        cells = circuit.population(name)
        if _shifts_alone(group) and _effects(cells) == [Effect.MULTIPLIES]:
            yield from _dropped(circuit, cells, cells.compartments[0], _across(cells, group))


def _shifts_alone(group: ShiftGroup) -> bool:
    """Whether the pool has no other exponentials and no constant, which would need the same shift."""
    return len(group.members) == 1 and not group.raised


def _effects(population: Population) -> list[Effect]:
    return [compartment.effect for compartment in population.compartments]


def _across(cells: Population, group: ShiftGroup) -> set[str]:
    """The axes of the exponential cells over which the pool sums: a shift must not vary there."""
    return set(cells.axes) - set(group.axes)


def _dropped(
    circuit: Circuit, population: Population, compartment: Compartment, across: set[str]
) -> Iterator[Circuit]:
    """The circuit without one term of a current that is alike along `across`, for every such term.

    Terms further upstream are sought too: the current is a sum over them.
    """
    hears = circuit.projections_onto(population.name, compartment.name)
    if len(hears) + len(compartment.drive) > 1:  # a compartment must keep something
        for place, weight in enumerate(compartment.drive):
            if across.isdisjoint(weight.axes):
                yield replace_drive(circuit, population.name, compartment.name, place)
        for projection in hears:
            if across.isdisjoint(term_axes(circuit, projection)):
                yield replace_projections(circuit, [projection], [])
    for projection in hears:
        if _passes_on(circuit, projection, across):
            yield from _dropped_upstream(circuit, circuit.population(projection.pre), across)


def _passes_on(circuit: Circuit, projection: Projection, across: set[str]) -> bool:
    """Whether a term of the presynaptic rate that is alike along `across` arrives alike."""
    pre = circuit.population(projection.pre)
    return (
        TRANSFERS[pre.transfer].is_identity
        and not is_output(circuit, pre.name)
        and circuit.projections_from(pre.name) == (projection,)
        and not projection.at
        and _arrives_alike(circuit, projection, across)
    )


def _arrives_alike(circuit: Circuit, projection: Projection, across: set[str]) -> bool:
    tied = bound_axes(extra_bounds(circuit, projection))
    return across.isdisjoint(projection.weight.axes) and across.isdisjoint(tied)


def _dropped_upstream(
    circuit: Circuit, population: Population, across: set[str]
) -> Iterator[Circuit]:
    """Terms of a compartment count only if all other compartments are alike along `across`."""
    own = across & set(population.axes)
    for compartment in population.compartments:
        others = [c for c in population.compartments if c is not compartment]
        alike = all(own.isdisjoint(current_axes(circuit, population, c)) for c in others)
        if alike and compartment.effect is Effect.MULTIPLIES:
            yield from _dropped(circuit, population, compartment, own)
