"""Small edits that passes share. Circuits are values: each edit returns another circuit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from cortico.ir import Circuit, Compartment, Parameter, Population, Projection, Weight


def fresh_name(circuit: Circuit, name: str) -> str:
    """`name`, or `name_2` and so on, used by no population, projection or tensor of `circuit`."""
    taken = {p.name for p in circuit.populations} | {p.name for p in circuit.projections}
    taken |= {t.name for t in circuit.inputs} | {p.name for p in circuit.parameters}
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def map_populations(circuit: Circuit, change: Callable[[Population], Population]) -> Circuit:
    """The circuit with `change` applied to every population."""
    return replace(circuit, populations=tuple(change(p) for p in circuit.populations))


def map_projections(circuit: Circuit, change: Callable[[Projection], Projection]) -> Circuit:
    """The circuit with `change` applied to every projection."""
    return replace(circuit, projections=tuple(change(p) for p in circuit.projections))


def map_parameters(circuit: Circuit, change: Callable[[Parameter], Parameter]) -> Circuit:
    """The circuit with `change` applied to every parameter."""
    return replace(circuit, parameters=tuple(change(p) for p in circuit.parameters))


def map_compartment(
    circuit: Circuit,
    population: str,
    compartment: str,
    change: Callable[[Compartment], Compartment],
) -> Circuit:
    """The circuit with `change` applied to one compartment."""

    def changed(p: Population) -> Population:
        if p.name != population:
            return p
        parts = tuple(change(c) if c.name == compartment else c for c in p.compartments)
        return replace(p, compartments=parts)

    return map_populations(circuit, changed)


def with_population(circuit: Circuit, population: Population, before: str) -> Circuit:
    """The circuit with `population` added, listed before the population called `before`."""
    place = [p.name for p in circuit.populations].index(before)
    populations = (*circuit.populations[:place], population, *circuit.populations[place:])
    return replace(circuit, populations=populations)


def replace_projections(
    circuit: Circuit, old: Iterable[Projection], new: Iterable[Projection]
) -> Circuit:
    """The circuit without the projections `old` and with `new` where the first of them stood."""
    gone = {p.name for p in old}
    kept: list[Projection] = []
    added = list(new)
    for projection in circuit.projections:
        if projection.name in gone:
            kept += added
            added = []
        else:
            kept.append(projection)
    return replace(circuit, projections=(*kept, *added))


def without_unused_tensors(circuit: Circuit) -> Circuit:
    """The circuit without parameters that nothing reads. Inputs stay: they are its interface."""
    read = {
        weight.tensor.name
        for population in circuit.populations
        for compartment in population.compartments
        for weight in compartment.drive
        if weight.tensor
    }
    read |= {p.weight.tensor.name for p in circuit.projections if p.weight.tensor}
    read |= {
        a for p in circuit.parameters if p.name in read and p.formula for a in p.formula.arguments
    }
    kept = tuple(p for p in circuit.parameters if p.name in read)
    return circuit if len(kept) == len(circuit.parameters) else replace(circuit, parameters=kept)


def rename_parameters(circuit: Circuit, names: Mapping[str, str]) -> Circuit:
    """The circuit with parameters called by `names`; parameters that are not in `names` stay."""

    def weight(old: Weight) -> Weight:
        if old.tensor is None or old.tensor.name not in names:
            return old
        return replace(old, tensor=replace(old.tensor, name=names[old.tensor.name]))

    def parameter(old: Parameter) -> Parameter:
        formula = old.formula
        if formula:
            arguments = tuple(names.get(name, name) for name in formula.arguments)
            formula = replace(formula, arguments=arguments)
        return replace(old, name=names.get(old.name, old.name), formula=formula)

    def population(old: Population) -> Population:
        parts = tuple(replace(c, drive=tuple(map(weight, c.drive))) for c in old.compartments)
        return replace(old, compartments=parts)

    result = map_parameters(map_populations(circuit, population), parameter)
    return map_projections(result, lambda p: replace(p, weight=weight(p.weight)))
