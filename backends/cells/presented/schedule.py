"""Axes in time: which tokens are presented when, and which synapses write a memory.

All axes in time share one clock. Where a population sums over tokens that are presented one after
another, the compartment integrates: a gate opens once per presentation, when what arrives has settled.
What reads a memory that must be full first belongs to a later phase, in which all tokens come again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cortico.ir import Bound, Circuit, Projection
from cortico.ir.domain import restrict
from cortico.ir.rewrite import leading_to


@dataclass(frozen=True)
class Write:
    """When a compartment integrates: while the tokens of `axis` pass in a phase."""

    axis: str
    phase: int


@dataclass(frozen=True)
class Schedule:
    """The phase in which each population is right, and the projections that write memories."""

    phase_of: dict[str, int]
    writes: dict[str, Write]  #: projection name to when it is integrated

    @property
    def phases(self) -> range:
        return range(max(self.phase_of.values(), default=0) + 1)


def time_axes(circuit: Circuit, axes: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `axes` that are in time."""
    return tuple(axis for axis in axes if circuit.axis(axis).in_time)


def summed_in_time(circuit: Circuit, projection: Projection) -> tuple[str, ...]:
    """The axes in time over which a projection sums."""
    return time_axes(circuit, circuit.summed_axes(projection))


def schedule(circuit: Circuit) -> Schedule:
    """When each population is right. For circuits of which `unscheduled` says nothing."""
    phase_of: dict[str, int] = {}
    writes: dict[str, Write] = {}
    for population in circuit.order:
        phase = 0
        for projection in circuit.projections_onto(population.name):
            arrives = phase_of[projection.pre]
            for axis in summed_in_time(circuit, projection):
                writes[projection.name] = Write(axis, arrives)
                arrives += not time_axes(circuit, population.axes)
            phase = max(phase, arrives)
        phase_of[population.name] = phase
    return Schedule(phase_of, writes)


def unscheduled(circuit: Circuit) -> Iterator[str]:
    """Everything about axes in time that cannot be presented on one clock."""
    for population in circuit.populations:
        axes = time_axes(circuit, population.axes)
        if len(axes) > 1:
            names = " and ".join(axes)
            yield f"population {population.name!r} has two axes in time, {names}, on one clock"
    for projection in circuit.projections:
        yield from _unheard(circuit, projection)
    yield from _rewritten(circuit)


def _unheard(circuit: Circuit, projection: Projection) -> Iterator[str]:
    """What a projection sums over time that a running memory does not hold."""
    post = circuit.population(projection.post)
    domain = circuit.synapse_domain(projection)
    for summed in summed_in_time(circuit, projection):
        for axis in time_axes(circuit, post.axes):
            bounds = restrict(domain, (summed, axis))
            if bounds != (Bound(summed, axis, 0),):
                known = " and ".join(map(str, bounds)) or "all of them"
                yield (
                    f"projection {projection.name!r} sums {summed} for each {axis} ({known}): a "
                    f"memory that runs along holds {summed} - {axis} <= 0"
                )


def _rewritten(circuit: Circuit) -> Iterator[str]:
    """Memories that run along and are read in another pass; compartments that store two things."""
    plan = schedule(circuit)
    for population in circuit.populations:
        for compartment in population.compartments:
            onto = circuit.projections_onto(population.name, compartment.name)
            writes = [plan.writes[p.name] for p in onto if p.name in plan.writes]
            if len(set(writes)) > 1:
                yield f"{population.name}.{compartment.name} stores tokens of two kinds or passes"
            runs_along = bool(writes) and bool(time_axes(circuit, population.axes))
            if runs_along and writes[0].phase < plan.phases[-1]:
                yield f"memory {population.name!r} runs along in one pass and is read in another"
            if any(_hears_memory(circuit, plan, p) for p in onto if p.name in plan.writes):
                yield f"memory {population.name!r} stores what another gives at the same step"


def _hears_memory(circuit: Circuit, plan: Schedule, store: Projection) -> bool:
    """Whether what a projection stores depends on another memory that is written in its phase."""
    phase, before = plan.writes[store.name].phase, set(leading_to(circuit, [store.pre]))
    heard = (plan.writes.get(p.name) for p in circuit.projections if p.post in before)
    return any(write is not None and write.phase == phase for write in heard)
