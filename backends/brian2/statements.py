"""Statements that make the network: a NeuronGroup per group of cells, a Synapses per pathway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cortico.backends.brian2.cell_groups import CellGroup, Current, Pathway, equations
from cortico.backends.brian2.coder import Coder
from cortico.backends.cells.presented.schedule import time_axes
from cortico.backends.cells.roles import role_of
from cortico.backends.cells.statements import called
from cortico.ir import TRANSFERS, Circuit, Population, Projection, Weight
from cortico.ir.domain import restrict
from cortico.ir.physiology import cell_type


def cells(coder: Coder, group: CellGroup) -> Iterator[str]:
    """Statements that number the cells of a group and make its NeuronGroup."""
    yield f"# {_role(group)}"
    yield "cells = Cells()"
    for population in group.populations:
        yield from _numbered(coder, population)
    yield f"{group.name} = NeuronGroup("
    yield "    cells.size,"
    yield from quoted(equations(group, coder.spiking, coder.in_time))
    yield "    method=method,"
    yield f'    name="{group.name}",'
    yield from namespace(_named(coder, group))
    yield ")"
    yield f"{group.name}.tau = cells.tau(tau)"
    if group.waits:
        yield f"{group.name}.onset = cells.onset(wait, dt)"
    if coder.spiking:
        yield f"{group.name}.calibrating = 1"
    for current in group.currents:
        if current.driven and not current.drive_in_time:
            drive = f"{group.name}.drive_{current.compartment} = over_cells("
            yield from called(
                drive, ["cells.size", *_drives(coder, group, current)], ")" + "[0]" * coder.in_time
            )


def _role(group: CellGroup) -> str:
    """One line for the comment above a group."""
    return role_of(
        group.populations[0].cell_class,
        group.transfer,
        [current.effect for current in group.currents],
        is_memory=any(current.write for current in group.currents),
    )


def _numbered(coder: Coder, population: Population) -> Iterator[str]:
    """Statements that number the cells of a population."""
    time = cell_type(population.region, population.cell_class).membrane_time
    space = [axis for axis in population.axes if not coder.circuit.axis(axis).in_time]
    where = coder.where(restrict(population.domain, space))
    arguments = coder.space_axes(population) or ["np.arange(1)"]
    arguments += [f"tau={time.value:g}", *([f"where={where}"] if where else [])]
    if coder.before:
        arguments.append(f"after={coder.before[population.name]}")
    place = f"{population.region.value} [{', '.join(population.axes)}]"
    yield f"{coder.populations[population.name]} = cells.add({', '.join(arguments)})  # {place}"


def _named(coder: Coder, group: CellGroup) -> Iterator[str]:
    """Entries of the namespace: what changes from presentation to presentation, and what Brian2 lacks."""
    for current in group.currents:
        name = current.compartment
        if current.drive_in_time:
            drives = ", ".join(_drives(coder, group, current))
            yield f'"drive_{name}_at": timing.table(over_cells(cells.size, {drives}))'
        if current.write:
            first, size = coder.written(current.write)
            yield f'"write_{name}": timing.gate({first}, {size})'
    if any(current.write for current in group.currents):
        yield '"write_time": timing.open * dt * ms'
    if group.comes_and_goes:
        parts = ", ".join(_alive(coder, population) for population in group.populations)
        yield f'"alive": timing.table(over_cells(cells.size, {parts}))'
    if "erf(" in (TRANSFERS[group.transfer].brian2 or ""):
        yield '"erf": error_function()'
    yield from group.own_names


def _alive(coder: Coder, population: Population) -> str:
    """Code for the presentations at which the cells of a population exist."""
    bounds = [b for b in population.domain if time_axes(coder.circuit, (b.left, b.right))]
    return f"({coder.cells(population)}, {coder.where(bounds) or '1.0'})"


def _drives(coder: Coder, group: CellGroup, current: Current) -> Iterator[str]:
    """Code for the cells of each population and what drives their compartment."""
    for population in group.populations:
        for drive in population.compartment(current.compartment).drive:
            yield f"({coder.cells(population)}, {coder.weight(drive)})"


def synapses(
    coder: Coder, groups: Iterable[CellGroup], group: CellGroup, pathway: Pathway
) -> Iterator[str]:
    """Statements that list the synapses of a pathway and make its Synapses."""
    pre = next(g.name for g in groups if g.stem == pathway.pre)
    weight = "weight_at(t, k)" if pathway.in_time else "w"
    yield "pre, post, weight = join("
    for projection in pathway.projections:
        yield f"    {edges(coder, projection)},  # {projection.name}"
    small = _small(coder, pathway)
    yield from ["    precision=np.float32,"] * small
    yield ")"
    yield f"{pathway.name} = Synapses("
    yield f"    {pre},"
    yield f"    {group.name},"
    own = "k : integer (constant)" if pathway.in_time else "w : 1 (constant)"
    yield from quoted([own, f"{pathway.variable}_post = {weight}*r_pre : 1 (summed)"])
    yield f'    name="{pathway.name}",'
    table = '"weight_at": timing.table(weight)'
    yield from namespace([table] if pathway.in_time else [])
    yield from ['    dtype={"w": np.float32},'] * small
    yield ")"
    constant = "weight[0]" if coder.in_time else "weight"
    values = "k=np.arange(len(pre))" if pathway.in_time else f"w={constant}"
    yield f"connect({pathway.name}, pre, post, {values})"


def _small(coder: Coder, pathway: Pathway) -> bool:
    """Whether synapses hold their weights in 4 bytes: those that are given; what is computed stays exact."""
    if coder.options.precision == "float64" or coder.in_time:
        return False
    return all(_is_given(coder.circuit, projection.weight) for projection in pathway.projections)


def _is_given(circuit: Circuit, weight: Weight) -> bool:
    """Whether a weight is an entry of an array as it is, or one: no gain, as of a mean, and no rotation."""
    tensor = weight.tensor and circuit.tensor(weight.tensor.name)
    return weight.gain.is_one and getattr(tensor, "formula", None) is None


def edges(coder: Coder, projection: Projection, weight: str | None = None) -> str:
    """Code for the synapses of a projection, with its weight or another number for each."""
    circuit = coder.circuit
    ends = (circuit.heard(projection), circuit.population(projection.post))
    where = coder.where(coder.in_one_token(projection.domain))
    weight = coder.weight(projection.weight) if weight is None else weight
    return f"edges({', '.join([*map(coder.cells, ends), weight, *filter(None, [where])])})"


def quoted(lines: Iterable[str]) -> Iterator[str]:
    """An argument that is a text of several lines."""
    yield '    """'
    yield from (f"    {line}" for line in lines)
    yield '    """,'


def namespace(entries: Iterable[str]) -> Iterator[str]:
    """The argument `namespace`: nothing outside it is looked up."""
    found = list(entries)
    if not found:
        yield "    namespace={},"
        return
    yield "    namespace={"
    yield from (f"        {entry}," for entry in found)
    yield "    },"
