"""Which populations share a NeuronGroup, which projections share a Synapses, and their equations.

Brian2 compiles code for each named object, so there is one NeuronGroup per cell class and form of
equation, and one Synapses per pair of groups and compartment (two cannot sum into one variable).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from cortico.backends.cells.presented.schedule import Schedule, Write, schedule, time_axes
from cortico.backends.names import Names
from cortico.ir import Circuit, Compartment, Effect, Population, Projection
from cortico.ir.transfer import TRANSFERS


@dataclass(frozen=True)
class Pathway:
    """The projections from one group onto one compartment of another: one Synapses."""

    name: str
    pre: str  #: stem of the presynaptic group
    variable: str  #: what the synapses sum into
    projections: tuple[Projection, ...]
    write: Write | None  #: when a memory integrates them; None for what acts at once
    in_time: bool  #: whether weights change with the presentation


@dataclass(frozen=True)
class Current:
    """The current of a compartment: drive from outside, pathways that act at once, a memory."""

    compartment: str
    effect: Effect
    driven: bool
    drive_in_time: bool
    pathways: tuple[Pathway, ...]
    own_terms: tuple[str, ...] = ()  #: further terms, as of biases that learn

    @property
    def stored(self) -> tuple[Pathway, ...]:
        return tuple(p for p in self.pathways if p.write)

    @property
    def write(self) -> Write | None:
        """When the compartment integrates; None for one without a memory."""
        return self.stored[0].write if self.stored else None

    @property
    def direct(self) -> tuple[Pathway, ...]:
        return tuple(p for p in self.pathways if not p.write)


@dataclass(frozen=True)
class CellGroup:
    """Populations of one cell class that obey one equation: one NeuronGroup."""

    name: str
    stem: str  #: the name without "cells"
    populations: tuple[Population, ...]
    transfer: str
    currents: tuple[Current, ...]
    comes_and_goes: bool  #: some cells exist at some presentations only
    own_lines: tuple[str, ...] = ()  #: further lines of the equations, as of biases that learn
    own_names: tuple[str, ...] = ()  #: entries of the namespace that these lines need
    waits: bool = False  #: cells are silent until they are let go


def cell_groups(
    circuit: Circuit,
    plan: Schedule,
    names: Names,
    plastic: frozenset[str] | None = None,
    waits: bool = False,
) -> tuple[CellGroup, ...]:
    """The groups of a circuit, with names that `names` has not given out.

    With the names of the projections that are `plastic`, each population is a group of its own, and
    each of these projections a pathway of its own.
    """
    members: dict[object, list[Population]] = {}
    for population in circuit.order:
        kind = _kind(circuit, plan, population) if plastic is None else population.name
        members.setdefault(kind, []).append(population)
    words = Names()
    stems = [words.fresh(_stem(group)) for group in members.values()]
    stem_of = {
        p.name: stem for stem, group in zip(stems, members.values(), strict=True) for p in group
    }
    grouping = _Grouping(circuit, plan, names, stem_of, plastic or frozenset(), waits)
    return tuple(
        grouping.group(stem, tuple(group))
        for stem, group in zip(stems, members.values(), strict=True)
    )


def largest_object(circuit: Circuit) -> int:
    """The most synapses that one Synapses holds, of a circuit whose sizes are numbers."""
    count_of = circuit.counts().synapses_of
    groups = cell_groups(circuit, schedule(circuit), Names())
    pathways = (pathway for g in groups for current in g.currents for pathway in current.pathways)
    counts = (sum(int(count_of[p.name]) for p in pathway.projections) for pathway in pathways)
    return max(counts, default=0)


def _kind(circuit: Circuit, plan: Schedule, population: Population) -> object:
    """What two populations must share to be in one group."""
    compartments = tuple(
        (c.name, c.effect, _write(circuit, plan, population, c)) for c in population.compartments
    )
    return population.cell_class, population.transfer, compartments


def _write(
    circuit: Circuit, plan: Schedule, population: Population, compartment: Compartment
) -> Write | None:
    """When a compartment integrates; all that it stores is stored in one phase of one axis."""
    onto = circuit.projections_onto(population.name, compartment.name)
    return next((plan.writes[p.name] for p in onto if p.name in plan.writes), None)


def _stem(group: list[Population]) -> str:
    """The population's name for a group of one, else the cell class and what else tells it apart."""
    first = group[0]
    if len(group) == 1:
        return first.name
    transfer = TRANSFERS[first.transfer]
    return first.cell_class.value + ("" if transfer.is_identity else f"_{transfer.name}")


@dataclass(frozen=True)
class _Grouping:
    """Makes groups; `stem_of` maps each population to the stem of its group's name."""

    circuit: Circuit
    plan: Schedule
    names: Names
    stem_of: dict[str, str]
    plastic: frozenset[str]
    waits: bool

    def group(self, stem: str, populations: tuple[Population, ...]) -> CellGroup:
        first = populations[0]
        return CellGroup(
            self.names.fresh(f"{stem}_cells"),
            stem,
            populations,
            first.transfer,
            tuple(self.current(stem, populations, c) for c in first.compartments),
            any(_partly(self.circuit, p) for p in populations),
            waits=self.waits,
        )

    def current(
        self, stem: str, populations: tuple[Population, ...], compartment: Compartment
    ) -> Current:
        drives = [w for p in populations for w in p.compartment(compartment.name).drive]
        return Current(
            compartment.name,
            compartment.effect,
            bool(drives),
            any(time_axes(self.circuit, w.axes) for w in drives),
            tuple(self.pathways(stem, populations, compartment)),
        )

    def pathways(
        self, stem: str, populations: tuple[Population, ...], compartment: Compartment
    ) -> Iterator[Pathway]:
        def source(projection: Projection) -> tuple[str, bool, str]:
            alone = projection.name if projection.name in self.plastic else ""
            return self.stem_of[projection.pre], projection.name in self.plan.writes, alone

        circuit, name = self.circuit, compartment.name
        onto = [q for p in populations for q in circuit.projections_onto(p.name, name)]
        for (pre, stored, alone), found in groupby(sorted(onto, key=source), key=source):
            projections = tuple(found)
            only = projections[0].name if len(projections) == 1 else f"{pre}_to_{stem}_{name}"
            yield Pathway(
                self.names.fresh(f"{only}_synapses"),
                pre,
                f"{name}_{'stored_' * stored}from_{pre}" if not alone else f"{name}_by_{alone}",
                projections,
                self.plan.writes.get(projections[0].name),
                any(_varies(circuit, projection) for projection in projections),
            )


def _partly(circuit: Circuit, population: Population) -> bool:
    """Whether a bound of the domain ties an axis in time: cells exist at some steps only."""
    return any(time_axes(circuit, (b.left, b.right)) for b in population.domain)


def _varies(circuit: Circuit, projection: Projection) -> bool:
    """Whether the weights of a projection, or which synapses exist, change with the presentation."""
    if time_axes(circuit, projection.weight.axes):
        return True
    return any(
        len(time_axes(circuit, (b.left, b.right))) == 1 for b in circuit.synapse_domain(projection)
    )


def equations(group: CellGroup, spiking: bool = False, presented: bool = False) -> list[str]:
    """The equations of a group, in Brian2's language, one per line.

    Where tokens are `presented` one after another, the target of r has a name, which prospective cells hand on. With `spiking`, r follows its target only while the network is calibrated; then it is what the
    spikes of the group's somas leave behind.
    """
    alive = "alive(t, i)*" * group.comes_and_goes + "int(t >= onset)*" * group.waits
    transfer = TRANSFERS[group.transfer].brian2
    assert transfer is not None, "the backend refuses such a circuit"
    target = alive + transfer.format(x=_fires(group.currents))
    lines = [f"dr/dt = (-r + {target}) / tau : 1", "tau : second (constant)"]
    if presented:
        lines = ["dr/dt = (-r + target) / tau : 1", f"target = {target} : 1", lines[1]]
    if spiking:
        lines = [
            "dr/dt = (-r + calibrating*target - resting) / tau : 1",
            f"target = {target} : 1",
            "calibrating : 1 (shared)",
            "resting : 1 (constant)",
            "tau : second (constant)",
        ]
    lines += ["onset : second (constant)"] * group.waits
    for current in group.currents:
        lines += _current_lines(current)
    return [*lines, *group.own_lines]


def _fires(currents: Iterable[Current]) -> str:
    """The product of multiplying compartments over that of dividing ones, where x/0 is 0."""
    multiplying = [f"I_{c.compartment}" for c in currents if c.effect is Effect.MULTIPLIES]
    dividing = [f"I_{c.compartment}" for c in currents if c.effect is Effect.DIVIDES]
    product = "*".join(multiplying) or "1"
    return product + "".join(f"*int({c} != 0)/({c} + int({c} == 0))" for c in dividing)


def _current_lines(current: Current) -> list[str]:
    name = current.compartment
    terms = [f"drive_{name}"] * current.driven + [p.variable for p in current.direct]
    terms += [f"memory_{name}"] * bool(current.stored)
    terms += current.own_terms
    lines = [f"I_{name} = {' + '.join(terms)} : 1"]
    if current.driven:
        lines.append(
            f"drive_{name} = drive_{name}_at(t, i) : 1"
            if current.drive_in_time
            else f"drive_{name} : 1 (constant)"
        )
    lines += [f"{pathway.variable} : 1" for pathway in current.pathways]
    if current.stored:
        inflow = " + ".join(p.variable for p in current.stored)
        lines.append(f"dmemory_{name}/dt = write_{name}(t) * ({inflow}) / write_time : 1")
    return lines
