"""Visiting and rewriting circuits. Circuits are values: each rewrite returns another circuit.

What is visited: weights (of drives and of synapses), the tensors that they read, domains, and ways through the
circuit. What is rewritten: names, and parts of every kind.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from cortico.ir import domain
from cortico.ir.axes import Axis
from cortico.ir.circuit import Circuit
from cortico.ir.errors import CircuitError
from cortico.ir.population import Compartment, Population, Projection
from cortico.ir.tensors import Gain, Input, Parameter, TensorRef, Weight

#: What has a name of its own.
Named = TypeVar("Named", Axis, Input, Parameter, Compartment, Population)


# ---- visiting ------------------------------------------------------------------------------------


def weights_of(circuit: Circuit) -> Iterator[Weight]:
    """Every weight of the circuit: drives first, then synapses."""
    yield from (w for p in circuit.populations for c in p.compartments for w in c.drive)
    yield from (projection.weight for projection in circuit.projections)


def weights_onto(
    circuit: Circuit, population: Population, compartment: str | None = None
) -> Iterator[Weight]:
    """Every weight of what a population, or one compartment of it, receives: drives, then synapses."""
    for part in population.compartments:
        if compartment in (None, part.name):
            yield from part.drive
    yield from (p.weight for p in circuit.projections_onto(population.name, compartment))


def readings(circuit: Circuit) -> Iterator[TensorRef]:
    """Every reading of a tensor by a drive or by synapses."""
    yield from (weight.tensor for weight in weights_of(circuit) if weight.tensor)


def domains_of(circuit: Circuit) -> Iterator[domain.Domain]:
    """The domains of populations, then those of projections."""
    yield from (population.domain for population in circuit.populations)
    yield from (projection.domain for projection in circuit.projections)


# ---- ways through a circuit ----------------------------------------------------------------------


def _any(projection: Projection) -> bool:
    return True


def leading_to(
    circuit: Circuit, names: Iterable[str], through: Callable[[Projection], bool] = _any
) -> list[str]:
    """The populations `names` and all before them, by projections that `through` allows; nearest first."""

    def before(name: str) -> Iterator[str]:
        return (p.pre for p in circuit.projections_onto(name) if through(p))

    return _walk(names, before)


def reachable_from(
    circuit: Circuit, names: Iterable[str], through: Callable[[Projection], bool] = _any
) -> list[str]:
    """The populations `names` and all behind them, by projections that `through` allows; nearest first."""

    def behind(name: str) -> Iterator[str]:
        return (p.post for p in circuit.projections_from(name) if through(p))

    return _walk(names, behind)


def _walk(names: Iterable[str], onward: Callable[[str], Iterable[str]]) -> list[str]:
    found = list(dict.fromkeys(names))
    seen = set(found)
    for name in found:  # it grows while it is walked
        new = [each for each in dict.fromkeys(onward(name)) if each not in seen]
        seen.update(new)
        found += new
    return found


def longest_chains(
    circuit: Circuit,
    length: Callable[[Population], int],
    through: Callable[[Projection], bool] = _any,
) -> dict[str, int]:
    """Population to the largest sum of `length` over the populations of a way to it, itself included."""
    found: dict[str, int] = {}
    for population in circuit.order:
        before = (found[p.pre] for p in circuit.projections_onto(population.name) if through(p))
        found[population.name] = length(population) + max(before, default=0)
    return found


def longest_chain(circuit: Circuit, length: Callable[[Population], int]) -> int:
    """The largest sum of `length` over the populations of any way through the circuit."""
    return max(longest_chains(circuit, length).values())


# ---- names ---------------------------------------------------------------------------------------


def fresh(name: str, taken: Container[str], mark: str = "_") -> str:
    """The first of `name`, `name_2`, `name_3`, … that is not `taken`; `mark` stands before the number."""
    numbered = (f"{name}{mark}{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def names_in(circuit: Circuit) -> set[str]:
    """The names of all populations, projections and tensors."""
    cells = {p.name for p in circuit.populations} | {p.name for p in circuit.projections}
    return cells | {tensor.name for tensor in circuit.inputs + circuit.parameters}


def fresh_name(circuit: Circuit, name: str) -> str:
    """`name`, or `name_2` and so on, used by no population, projection or tensor of `circuit`."""
    return fresh(name, names_in(circuit))


def rename(
    circuit: Circuit,
    *,
    populations: Mapping[str, str] | None = None,
    compartments: Mapping[str, str] | None = None,
    axes: Mapping[str, str] | None = None,
    tensors: Mapping[str, str] | None = None,
) -> Circuit:
    """The circuit with other names; what is in no mapping keeps its own.

    Projections and outputs keep theirs. Names are not checked: two parts may get the same.
    """
    return _Renamer(populations or {}, compartments or {}, axes or {}, tensors or {})(circuit)


class _Renamer:
    """New names, a mapping for each kind of part."""

    def __init__(self, *names: Mapping[str, str]) -> None:
        self._populations, self._compartments, self._axes, self._tensors = names

    def __call__(self, old: Circuit) -> Circuit:
        result = replace(
            old,
            axes=tuple(_named(axis, self._axes) for axis in old.axes),
            inputs=tuple(_named(tensor, self._tensors) for tensor in old.inputs),
            parameters=tuple(map(self._parameter, old.parameters)),
            populations=tuple(map(self._population, old.populations)),
            projections=tuple(map(self._projection, old.projections)),
            outputs=tuple(
                replace(o, source=self._ref(o.source, self._populations)) for o in old.outputs
            ),
        )
        return map_weights(result, self._weight)

    def _ref(self, old: TensorRef, names: Mapping[str, str]) -> TensorRef:
        return TensorRef(names.get(old.name, old.name), _all(old.axes, self._axes))

    def _weight(self, old: Weight) -> Weight:
        powers = tuple((self._axes.get(axis, axis), power) for axis, power in old.gain.sizes)
        tensor = old.tensor and self._ref(old.tensor, self._tensors)
        return Weight(tensor, replace(old.gain, sizes=powers))

    def _parameter(self, old: Parameter) -> Parameter:
        formula = old.formula
        if formula:
            formula = replace(formula, arguments=_all(formula.arguments, self._tensors))
        return replace(_named(old, self._tensors), formula=formula)

    def _population(self, old: Population) -> Population:
        return replace(
            _named(old, self._populations),
            axes=_all(old.axes, self._axes),
            compartments=tuple(_named(c, self._compartments) for c in old.compartments),
            domain=domain.rename(old.domain, self._axes),
        )

    def _projection(self, old: Projection) -> Projection:
        pre, post = _all((old.pre, old.post), self._populations)
        part = self._compartments.get(old.compartment, old.compartment)
        bounds = domain.rename(old.domain, self._axes)
        at = _all(old.at, self._axes)
        return replace(old, pre=pre, post=post, compartment=part, domain=bounds, at=at)


def _all(old: Iterable[str], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(names.get(name, name) for name in old)


def _named(old: Named, names: Mapping[str, str]) -> Named:
    return replace(old, name=names.get(old.name, old.name))


# ---- one change for all parts of a kind ------------------------------------------------------------


def map_axes(circuit: Circuit, change: Callable[[Axis], Axis]) -> Circuit:
    """The circuit with `change` applied to every axis."""
    return replace(circuit, axes=tuple(map(change, circuit.axes)))


def map_parameters(circuit: Circuit, change: Callable[[Parameter], Parameter]) -> Circuit:
    """The circuit with `change` applied to every parameter."""
    return replace(circuit, parameters=tuple(map(change, circuit.parameters)))


def map_populations(circuit: Circuit, change: Callable[[Population], Population]) -> Circuit:
    """The circuit with `change` applied to every population."""
    return replace(circuit, populations=tuple(map(change, circuit.populations)))


def map_projections(circuit: Circuit, change: Callable[[Projection], Projection]) -> Circuit:
    """The circuit with `change` applied to every projection."""
    return replace(circuit, projections=tuple(map(change, circuit.projections)))


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


def map_drives(population: Population, change: Callable[[Weight], Weight]) -> Population:
    """The population with `change` applied to every drive."""
    parts = (replace(c, drive=tuple(map(change, c.drive))) for c in population.compartments)
    return replace(population, compartments=tuple(parts))


def map_weights(circuit: Circuit, change: Callable[[Weight], Weight]) -> Circuit:
    """The circuit with `change` applied to the weight of every drive and projection."""
    circuit = map_populations(circuit, lambda p: map_drives(p, change))
    return map_projections(circuit, lambda p: replace(p, weight=change(p.weight)))


# ---- some parts for others -------------------------------------------------------------------------


def replace_population(circuit: Circuit, name: str, *new: Population) -> Circuit:
    """The circuit with other populations, or none, where the one called `name` stood."""
    listed = (new if p.name == name else (p,) for p in circuit.populations)
    return replace(circuit, populations=tuple(itertools.chain.from_iterable(listed)))


def replace_drive(
    circuit: Circuit, population: str, compartment: str, place: int, *new: Weight
) -> Circuit:
    """The circuit with other drives, or none, in a place among those of a compartment."""

    def changed(c: Compartment) -> Compartment:
        return replace(c, drive=(*c.drive[:place], *new, *c.drive[place + 1 :]))

    return map_compartment(circuit, population, compartment, changed)


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


def with_values(circuit: Circuit, arrays: Mapping[str, np.ndarray]) -> Circuit:
    """The circuit with other numbers in the parameters that `arrays` names."""
    return map_parameters(circuit, lambda p: replace(p, values=arrays.get(p.name, p.values)))


def symbolic(circuit: Circuit) -> Circuit:
    """The circuit without numbers: all its parameters are given when it runs."""
    return map_parameters(circuit, lambda p: replace(p, values=None))


def with_bias(
    circuit: Circuit,
    place: tuple[str, str],
    name: str,
    axes: Sequence[str],
    values: np.ndarray,
    gain: Gain = Gain(),
) -> Circuit:
    """The circuit with one more parameter, called `name` or like it, that drives a compartment with a gain.

    `place` names its population and itself; `values` are over `axes` of the population.
    """
    name = fresh_name(circuit, name)
    weight = Weight(TensorRef(name, tuple(axes)), gain)
    added = (*circuit.parameters, Parameter(name, values.shape, values))
    circuit = replace(circuit, parameters=added)
    return map_compartment(circuit, *place, lambda c: replace(c, drive=(*c.drive, weight)))


def with_extent(circuit: Circuit, axis: str, extent: int) -> Circuit:
    """The circuit with another size of an axis whose size is a number. Arrays stay: they are the caller's.

    Powers of the size in gains stay the numbers that they were.
    """
    size = circuit.axis(axis).extent
    assert isinstance(size, int)
    circuit = map_weights(circuit, lambda w: replace(w, gain=_settled(w.gain, axis, size)))
    return map_axes(circuit, lambda a: replace(a, extent=extent) if a.name == axis else a)


def _settled(gain: Gain, axis: str, size: int) -> Gain:
    """The gain with powers of the size of `axis` as a number."""
    mine = tuple(power for power in gain.sizes if power[0] == axis)
    rest = tuple(power for power in gain.sizes if power[0] != axis)
    number = Gain(1.0, mine).value({axis: size}) if mine else 1.0
    return Gain(gain.coefficient * number, rest)


def joined_axes(circuit: Circuit, axes: Container[str], name: str) -> Circuit:
    """The circuit in which several axes, whose indices are one another's, are one, called `name`.

    CircuitError where a population has two of them.
    """
    for population in circuit.populations:
        if sum(axis in axes for axis in population.axes) > 1:
            raise CircuitError(f"{population.name} has two axes that should be one")
    mine = [axis.name for axis in circuit.axes if axis.name in axes]
    kept = tuple(a for a in circuit.axes if a.name not in mine[1:])
    return rename(replace(circuit, axes=kept), axes=dict.fromkeys(mine, name))


def without_unused_tensors(circuit: Circuit) -> Circuit:
    """The circuit without parameters that nothing reads. Inputs stay: they are its interface."""
    read = {reading.name for reading in readings(circuit)}
    formulas = (p.formula for p in circuit.parameters if p.name in read)
    read |= {name for formula in formulas if formula for name in formula.arguments}
    kept = tuple(p for p in circuit.parameters if p.name in read)
    return circuit if len(kept) == len(circuit.parameters) else replace(circuit, parameters=kept)


def without_unused(circuit: Circuit) -> Circuit:
    """The circuit without parameters and axes that nothing reads or has."""
    circuit = without_unused_tensors(circuit)
    used = {axis for each in circuit.populations for axis in each.axes}
    used |= {axis for each in circuit.projections for axis in each.at}
    for weight in weights_of(circuit):
        used |= {*weight.axes, *(axis for axis, _ in weight.gain.sizes)}
    return replace(circuit, axes=tuple(axis for axis in circuit.axes if axis.name in used))
