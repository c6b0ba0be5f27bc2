"""Copied heads, for `merge-duplicates`: an area axis split into groups of equal heads and members."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from cortico.ir import (
    Axis,
    Circuit,
    Gain,
    Parameter,
    Population,
    Projection,
    Role,
    TensorRef,
    Weight,
)
from cortico.ir.analysis.axes import bounded_axes, moved_axes, output_axes
from cortico.ir.analysis.constants import values_of
from cortico.ir.analysis.readers import is_read_once
from cortico.ir.rewrite import (
    fresh,
    map_parameters,
    map_populations,
    map_projections,
    map_weights,
    readings,
    weights_onto,
)


def head_splits(circuit: Circuit) -> Iterator[HeadSplit]:
    """Every split of an area axis that makes some population smaller."""
    for axis in circuit.axes:
        if axis.role is Role.AREA and isinstance(axis.extent, int) and can_split(circuit, axis):
            for members in range(axis.extent, 1, -1):
                if axis.extent % members == 0:
                    split = HeadSplit(circuit, axis, members)
                    if split.shared:
                        yield split


def can_split(circuit: Circuit, axis: Axis) -> bool:
    """Whether the axis is nowhere but on inner populations and on parameters that can be split."""
    refs = [ref for ref in readings(circuit) if axis.name in ref.axes]
    sides: dict[str, set[int]] = {}
    for ref in readings(circuit):
        side = ref.axes.index(axis.name) if axis.name in ref.axes else -1
        sides.setdefault(ref.name, set()).add(side)
    return (
        not axis.in_time
        and axis.name not in output_axes(circuit) | bounded_axes(circuit) | moved_axes(circuit)
        and all(len(sides[ref.name]) == 1 for ref in refs)
        and all(_splittable(circuit, ref, axis) for ref in refs)
    )


def sides_along(circuit: Circuit, axis: str) -> dict[str, int]:
    """Parameter to its side that runs along an axis that can be split."""
    sides = {ref.name: ref.axes.index(axis) for ref in readings(circuit) if axis in ref.axes}
    for p in circuit.parameters:  # slopes follow the distance that is made from them
        if p.name in sides and p.formula and p.formula.kind == "distance":
            sides[p.formula.arguments[0]] = sides[p.name]
    return sides


def _splittable(circuit: Circuit, ref: TensorRef, axis: Axis) -> bool:
    """Whether a tensor has values here, or is a distance whose slopes have, read by it alone."""
    formula = circuit.formula(ref.name)
    if formula is None:
        return values_of(circuit, ref.name) is not None and not _users(circuit, ref.name)
    if formula.kind != "distance":
        return False
    (slopes,) = formula.arguments
    return (
        ref.axes.index(axis.name) < len(ref.axes) - 2
        and values_of(circuit, slopes) is not None
        and is_read_once(circuit, slopes)
    )


def _users(circuit: Circuit, argument: str) -> list[Parameter]:
    """The parameters that a formula makes of `argument`."""
    return [p for p in circuit.parameters if p.formula and argument in p.formula.arguments]


class HeadSplit:
    """An area axis h as (g, r): `members` consecutive heads form a group.

    `copied` are the tensors that lose r because their heads are equal within a group, `shared` the
    populations that lose it because all that they hear is.
    """

    def __init__(self, circuit: Circuit, axis: Axis, members: int) -> None:
        self.circuit, self.axis, self.members = circuit, axis, members
        # new names also where the old one becomes free: another axis is another name
        taken = {a.name for a in circuit.axes}
        self.group = fresh("g", taken)
        self.member = fresh("r", taken | {self.group})
        self.side = sides_along(circuit, axis.name)
        self.copied = {name for name in self.side if self._is_copied(self._parameter(name))}
        self.shared = self._shared()

    def _parameter(self, name: str) -> Parameter:
        (found,) = (p for p in self.circuit.parameters if p.name == name)
        return found

    def _blocks(self, values: np.ndarray, side: int) -> np.ndarray:
        groups = values.shape[side] // self.members
        return values.reshape(*values.shape[:side], groups, self.members, *values.shape[side + 1 :])

    def _is_copied(self, parameter: Parameter) -> bool:
        """Whether all heads of a group have the very same numbers. Formulas count as different."""
        if parameter.values is None or _users(self.circuit, parameter.name):
            return False
        blocks = self._blocks(parameter.values, self.side[parameter.name])
        first = np.take(blocks, [0], axis=self.side[parameter.name] + 1)
        return bool(np.array_equal(np.broadcast_to(first, blocks.shape), blocks))

    def _shared(self) -> set[str]:
        """Populations over h whose rates are equal within a group, and wanted by every head."""
        shared: set[str] = set()
        for population in self.circuit.order:
            if self.axis.name in population.axes and self._is_alike(population, shared):
                shared.add(population.name)
        return shared

    def _is_alike(self, population: Population, shared: set[str]) -> bool:
        heard = self.circuit.projections_onto(population.name)
        weights = weights_onto(self.circuit, population)
        readers = self.circuit.projections_from(population.name)
        h = self.axis.name
        read = [w.tensor for w in weights if w.tensor and h in w.axes]
        return (
            all(tensor.name in self.copied for tensor in read)
            and all(p.pre in shared or h not in self._axes(p.pre) for p in heard)
            and all(h in self._axes(p.post) for p in readers)
        )

    def _axes(self, population: str) -> tuple[str, ...]:
        return self.circuit.population(population).axes

    # ---- the rewrite -----------------------------------------------------------------------------

    def apply(self) -> Circuit:
        circuit = map_parameters(self.circuit, self._split_parameter)
        circuit = map_weights(map_populations(circuit, self._split_population), self._split_weight)
        circuit = map_projections(circuit, self._split_reading)
        return replace(
            circuit, axes=tuple(a for old in circuit.axes for a in self._split_axis(old))
        )

    def _split_axis(self, axis: Axis) -> tuple[Axis, ...]:
        if axis != self.axis:
            return (axis,)
        assert isinstance(axis.extent, int)
        group = replace(axis, name=self.group, extent=axis.extent // self.members)
        return group, replace(axis, name=self.member, extent=self.members)

    def _split_names(self, axes: tuple[str, ...], without_member: bool) -> tuple[str, ...]:
        new = (self.group,) if without_member else (self.group, self.member)
        return tuple(a for old in axes for a in (new if old == self.axis.name else (old,)))

    def _split_population(self, population: Population) -> Population:
        axes = self._split_names(population.axes, population.name in self.shared)
        return replace(population, axes=axes)

    def _split_reading(self, projection: Projection) -> Projection:
        at = self._split_names(projection.at, projection.pre in self.shared)
        return replace(projection, at=at)

    def _split_weight(self, weight: Weight) -> Weight:
        powers = tuple(
            (name, power)
            for axis, power in weight.gain.sizes
            for name in self._split_names((axis,), False)
        )
        gain = Gain(weight.gain.coefficient, powers)
        if weight.tensor is None:
            return Weight(None, gain)
        axes = self._split_names(weight.tensor.axes, weight.tensor.name in self.copied)
        return Weight(TensorRef(weight.tensor.name, axes), gain)

    def _split_parameter(self, parameter: Parameter) -> Parameter:
        side = self.side.get(parameter.name)
        if side is None:
            return parameter
        size = parameter.shape[side]
        assert isinstance(size, int)
        new: tuple[int, ...] = (size // self.members, self.members)
        values = parameter.values
        if values is not None:
            values = self._blocks(values, side)
        if parameter.name in self.copied:
            assert values is not None
            new, values = new[:1], values.take(0, axis=side + 1)
        shape = (*parameter.shape[:side], *new, *parameter.shape[side + 1 :])
        return replace(parameter, shape=shape, values=values)
