"""Which exponentials may be shifted: softmax found by its scaling behaviour, not by its shape.

Subtracting s from the exponent of some cells multiplies their rates by exp(-s). If a population
divides by a pool of exactly these cells, the factor may cancel before any output. That is decided by
the degree in which each rate scales with the shifted cells: 1 for the cells themselves, degrees add
where compartments multiply and subtract where they divide, and every output must have degree 0.

A constant beside the pool, as the semi-saturation of divisive normalisation is, has degree 0 where the pool has
1. A shift cancels only if the constant is multiplied by exp(-s), too. Who shifts must do that (`raised`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from cortico.ir.analysis import once
from cortico.ir.circuit import Circuit
from cortico.ir.population import Compartment, Effect, Population
from cortico.ir.rewrite import leading_to
from cortico.ir.transfer import TRANSFERS


@dataclass(frozen=True)
class ShiftGroup:
    """Exponential populations that may be shifted together, by any array over `axes`."""

    pool: str
    members: tuple[str, ...]
    axes: tuple[str, ...]
    #: (population, compartment): whose constant drive must be multiplied by exp(-s) when members are shifted by s
    raised: tuple[tuple[str, str], ...] = ()


@once
def shift_groups(circuit: Circuit) -> dict[str, ShiftGroup]:
    """Exponential population to its group, for all whose shift provably cancels."""
    groups: dict[str, ShiftGroup] = {}
    for pool in _dividing_populations(circuit):
        members = _exponentials_behind(circuit, pool)
        group = ShiftGroup(pool.name, members, pool.axes)
        if members and not groups.keys() & set(members):
            raised = _raised(circuit, group)
            if raised is not None:
                groups.update(dict.fromkeys(members, replace(group, raised=raised)))
    return groups


def _dividing_populations(circuit: Circuit) -> list[Population]:
    onto = (
        p for population in circuit.populations for p in circuit.projections_onto(population.name)
    )
    names = (projection.pre for projection in onto if circuit.divides(projection))
    return [circuit.population(name) for name in dict.fromkeys(names)]


def _exponentials_behind(circuit: Circuit, pool: Population) -> tuple[str, ...]:
    """The nearest exponential populations upstream of `pool`."""
    exponential = {p.name for p in circuit.populations if p.transfer == "exp"} - {pool.name}
    upstream = leading_to(circuit, [pool.name], lambda p: p.post not in exponential)
    return tuple(name for name in upstream if name in exponential)


class _MixedDegreesError(Exception):
    """A sum of terms that scale differently: the shift does not cancel."""


def _raised(circuit: Circuit, group: ShiftGroup) -> tuple[tuple[str, str], ...] | None:
    """The compartments whose constants must go with a shift so that it cancels; None where it does not."""
    degrees = _degrees(circuit, group, [p.name for p in circuit.populations])
    if any(degrees.get(output.source.name) != 0 for output in circuit.outputs):
        return None
    return _rising(circuit, degrees)


def scaling_degrees(circuit: Circuit, group: ShiftGroup, among: Collection[str]) -> dict[str, int]:
    """The degree in which each population `among` those of a circuit scales with the cells of a group.

    `among` holds with each population those that it hears. Empty where a sum has terms that scale differently,
    constants that divide too.
    """
    degrees = _degrees(circuit, group, among)
    return {} if _rising(circuit, degrees) else degrees


def _degrees(circuit: Circuit, group: ShiftGroup, among: Collection[str]) -> dict[str, int]:
    """The same, where constants that divide beside the group's rates are taken to scale as these."""
    degrees: dict[str, int] = {}
    try:
        for population in circuit.order:
            if population.name in among:
                degrees[population.name] = _degree(circuit, population, group, degrees)
    except _MixedDegreesError:
        return {}
    return degrees


def _rising(circuit: Circuit, degrees: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """(population, compartment): whose constants divide beside rates of degree 1."""
    return tuple(
        (population.name, compartment.name)
        for population in circuit.populations
        if population.name in degrees
        for compartment in population.compartments
        if _may_rise(compartment) and 1 in _heard_degrees(circuit, population, compartment, degrees)
    )


def _may_rise(compartment: Compartment) -> bool:
    """Whether it divides by a constant besides what it hears."""
    drive = compartment.drive
    constant = bool(drive) and all(weight.tensor is None for weight in drive)
    return constant and compartment.effect is Effect.DIVIDES


def _heard_degrees(
    circuit: Circuit, population: Population, compartment: Compartment, degrees: Mapping[str, int]
) -> set[int]:
    heard = circuit.projections_onto(population.name, compartment.name)
    return {degrees[projection.pre] for projection in heard}


def _degree(
    circuit: Circuit, population: Population, group: ShiftGroup, degrees: Mapping[str, int]
) -> int:
    degree = 0
    for compartment in population.compartments:
        share = _current_degree(circuit, population, compartment, group, degrees)
        degree += share if compartment.effect is Effect.MULTIPLIES else -share
    if population.name in group.members:
        degree += 1
        if degree != 1:
            raise _MixedDegreesError
    elif degree and not TRANSFERS[population.transfer].is_identity:
        raise _MixedDegreesError
    return degree


def _current_degree(
    circuit: Circuit,
    population: Population,
    compartment: Compartment,
    group: ShiftGroup,
    degrees: Mapping[str, int],
) -> int:
    """The degree of a compartment's current: that of all its terms, which must agree; constants may rise to 1."""
    rises = _may_rise(compartment) and 1 in _heard_degrees(
        circuit, population, compartment, degrees
    )
    shares = {0} if compartment.drive and not rises else set()
    for projection in circuit.projections_onto(population.name, compartment.name):
        share = degrees[projection.pre]
        # the shift differs along the group's axes, so a sum must not run over them, nor other cells have it
        if share and (projection.at or not set(group.axes) <= set(population.axes)):
            raise _MixedDegreesError
        shares.add(share)
    if len(shares) != 1:
        raise _MixedDegreesError
    return shares.pop()
