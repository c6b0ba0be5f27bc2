"""Outputs that are `gain · z + shift` along features, and what hears them through weights along these."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortico.ir import (
    Circuit,
    Effect,
    Parameter,
    Population,
    Projection,
    TensorRef,
    Weight,
)
from cortico.ir.analysis.constants import values_of
from cortico.ir.analysis.readers import is_output, is_read_once
from cortico.ir.rewrite import (
    map_parameters,
    map_projections,
    readings,
    replace_population,
    with_bias,
    with_values,
    without_unused,
)


class RefusedError(Exception):
    """Why something is left alone."""


# ---- what gives ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Affine:
    """The output of a circuit is `gain · z + shift` along one axis, which is the side `side` of it.

    `gain` is the projection whose weight it is, `shift` the population that adds it.
    """

    output: str
    side: int
    gain: Projection | None
    shift: Population | None

    def names(self) -> tuple[str | None, str | None]:
        """The parameters of gain and shift."""
        weights = (
            self.gain.weight if self.gain else None,
            self.shift.compartments[0].drive[0] if self.shift else None,
        )
        gain, shift = (w.tensor.name if w is not None and w.tensor else None for w in weights)
        return gain, shift

    def numbers(self, circuit: Circuit) -> list[np.ndarray | None]:
        """Their numbers, in float64."""
        arrays = (None if name is None else values_of(circuit, name) for name in self.names())
        return [None if array is None else array.astype(np.float64) for array in arrays]

    def require_numbers(self, circuit: Circuit) -> None:
        for name in self.names():
            if name is not None and values_of(circuit, name) is None:
                raise RefusedError(f"{name} has no numbers")

    def plain(self, circuit: Circuit) -> Circuit:
        """The circuit that gives z."""
        if self.gain is not None:
            bare = replace(self.gain, weight=Weight())
            circuit = map_projections(circuit, lambda p: bare if p == self.gain else p)
        if self.shift is not None:
            circuit = _without(circuit, self.shift)
        return without_unused(circuit)


def _without(circuit: Circuit, last: Population) -> Circuit:
    """The circuit whose output is what one population tells the last, in its place."""
    (heard,) = circuit.projections_onto(last.name)
    first = circuit.population(heard.pre)
    moved = replace(first, region=last.region, cell_class=last.cell_class)
    circuit = replace_population(replace_population(circuit, last.name), first.name, moved)
    outputs = (replace(o, source=TensorRef(first.name, o.source.axes)) for o in circuit.outputs)
    kept = (p for p in circuit.projections if p != heard)
    return replace(circuit, outputs=tuple(outputs), projections=tuple(kept))


def affine_output(circuit: Circuit) -> Affine | None:
    """Gain and shift of the only output of a circuit, if it has any."""
    if len(circuit.outputs) != 1:
        return None
    (output,) = circuit.outputs
    last = circuit.population(output.source.name)
    shift = last if _adds(circuit, last) else None
    scaled = circuit.population(circuit.projections_onto(last.name)[0].pre) if shift else last
    gain = _scales(circuit, scaled)
    axes = {w.axes for w in (gain and gain.weight, shift and shift.compartments[0].drive[0]) if w}
    if len(axes) != 1:
        return None
    (axis,) = axes.pop()
    return Affine(output.name, output.source.axes.index(axis), gain, shift)


def _adds(circuit: Circuit, last: Population) -> bool:
    """Whether a population hears one other, one to one, and adds a stored vector."""
    heard = circuit.projections_onto(last.name)
    parts = last.compartments
    if len(heard) != 1 or len(parts) != 1 or last.transfer != "identity" or last.domain:
        return False
    (projection,), (part,) = heard, parts
    first = circuit.population(projection.pre)
    alone = circuit.projections_from(first.name) == heard and not is_output(circuit, first.name)
    same = set(first.axes) == set(last.axes) and not first.domain
    plain = projection == replace(projection, weight=Weight(), domain=(), at=())
    vector = len(part.drive) == 1 and _is_vector(circuit, part.drive[0])
    return alone and same and plain and vector and not circuit.projections_from(last.name)


def _scales(circuit: Circuit, cells: Population) -> Projection | None:
    """What brings a stored vector times rates to a population, as a factor of all that it gives."""
    onward = circuit.projections_from(cells.name)
    if cells.transfer != "identity" or (onward and is_output(circuit, cells.name)):
        return None
    for part in cells.compartments:
        heard = circuit.projections_onto(cells.name, part.name)
        if len(heard) == 1 and not part.drive and not circuit.divides(heard[0]):
            weight, pre = heard[0].weight, circuit.heard(heard[0])
            if _is_vector(circuit, weight) and {*weight.axes} <= {*pre.axes} & {*cells.axes}:
                return heard[0]
    return None


def _is_vector(circuit: Circuit, weight: Weight) -> bool:
    """Whether a weight is a parameter of one side, as it is, that nothing else reads."""
    tensor = weight.tensor
    if tensor is None or len(tensor.axes) != 1 or not weight.gain.is_one:
        return False
    found = circuit.tensor(tensor.name)
    plain = isinstance(found, Parameter) and found.formula is None
    return plain and is_read_once(circuit, tensor.name)


# ---- what hears it -------------------------------------------------------------------------------


class Reader:
    """A circuit that hears an input, whose side `side` the gain is along."""

    def __init__(self, circuit: Circuit, name: str, side: int) -> None:
        self.circuit, self.name, self.side = circuit, name, side

    @property
    def tensors(self) -> list[str]:
        """The parameters through which it hears the input."""
        return list(
            dict.fromkeys(p.weight.tensor.name for p, _ in self._weighed() if p.weight.tensor)
        )

    def require(self, shift: bool) -> None:
        """That everything hears the input through weights along that side, and that these have numbers."""
        sides: dict[str, set[int]] = {}
        for cells, weight in self._heard():
            if not self._is_relay(cells, weight):
                raise RefusedError(f"{cells.name} hears it without weights")
        for projection, axis in self._weighed():
            tensor, summed = projection.weight.tensor, self.circuit.summed_axes(projection)
            if tensor is None or axis not in tensor.axes or axis not in summed:
                raise RefusedError(f"{projection.post} hears it without weights")
            if values_of(self.circuit, tensor.name) is None:
                raise RefusedError(f"{tensor.name} has no numbers")
            if shift and (len(summed) > 1 or projection.domain):
                raise RefusedError(f"{projection.post} sums more than its features")
            sides.setdefault(tensor.name, set()).add(tensor.axes.index(axis))
        for name, found in sides.items():
            if len(found) > 1 or self._reads_elsewhere(name):
                raise RefusedError(f"{name} weighs something else, too")

    def folded(self, gain: np.ndarray | None, shift: np.ndarray | None) -> Circuit:
        """The circuit that hears z in place of `gain · z + shift`."""
        weighed = list(self._weighed())
        sides = {
            p.weight.tensor.name: p.weight.axes.index(a) for p, a in weighed if p.weight.tensor
        }
        circuit = self.circuit
        if shift is not None:
            for projection, axis in weighed:
                circuit = _shifted(circuit, projection, axis, shift)
        if gain is None:
            return circuit

        def scaled(p: Parameter) -> Parameter:
            if p.name not in sides or p.values is None:
                return p
            others = [k for k in range(p.values.ndim) if k != sides[p.name]]
            factor = np.expand_dims(gain, others)
            return replace(p, values=_as(p.values.dtype, p.values * factor))

        return map_parameters(circuit, scaled)

    def _heard(self) -> Iterator[tuple[Population, Weight]]:
        """The cells that the input drives."""
        for population in self.circuit.populations:
            for part in population.compartments:
                for weight in part.drive:
                    if weight.tensor is not None and weight.tensor.name == self.name:
                        yield population, weight

    def _is_relay(self, cells: Population, weight: Weight) -> bool:
        """Whether cells have the rates of the input, and nothing else."""
        alone = len(cells.compartments) == 1 and cells.compartments[0].drive == (weight,)
        return (
            alone
            and cells.compartments[0].effect is Effect.MULTIPLIES
            and weight.gain.is_one
            and not self.circuit.projections_onto(cells.name)
            and cells.transfer == "identity"
            and not cells.domain
            and not is_output(self.circuit, cells.name)
        )

    def _weighed(self) -> Iterator[tuple[Projection, str]]:
        """What goes on from these cells, each with the axis of the gain as it reads it."""
        for cells, weight in self._heard():
            for projection in self.circuit.projections_from(cells.name):
                yield projection, self.circuit.read_as(projection)[weight.axes[self.side]]

    def _reads_elsewhere(self, tensor: str) -> bool:
        mine = sum(
            p.weight.tensor is not None and p.weight.tensor.name == tensor
            for p, _ in self._weighed()
        )
        all_ = sum(reading.name == tensor for reading in readings(self.circuit))
        return mine != all_


def _as(kind: np.dtype[Any], exact: np.ndarray) -> np.ndarray:
    """Numbers in a type, rounded once; in float64 where they are too large for it."""
    with np.errstate(over="ignore"):
        found = exact.astype(kind)
    return found if np.isfinite(found).all() else exact


def _shifted(circuit: Circuit, projection: Projection, axis: str, shift: np.ndarray) -> Circuit:
    """The circuit with what a constant rate `shift` along an axis brings by a projection, as a bias."""
    weight = projection.weight
    assert weight.tensor is not None
    values = values_of(circuit, weight.tensor.name)
    assert values is not None
    added = np.tensordot(values.astype(np.float64), shift, (weight.axes.index(axis), 0))
    axes = tuple(a for a in weight.axes if a != axis)
    own = _bias(circuit, projection, axes)
    if own is None:
        name = re.sub(r"^W(?=_|$)", "b", weight.tensor.name)
        place = (projection.post, projection.compartment)
        return with_bias(circuit, place, name, axes, _as(values.dtype, added), weight.gain)
    old = values_of(circuit, own.name)
    assert old is not None
    turned = np.transpose(added, [axes.index(a) for a in own.axes])
    return with_values(circuit, {own.name: _as(old.dtype, old + turned)})


def _bias(circuit: Circuit, projection: Projection, axes: tuple[str, ...]) -> TensorRef | None:
    """The stored bias that may take on more: over these axes, read there only, with the gain of the synapses."""
    part = circuit.population(projection.post).compartment(projection.compartment)
    for weight in part.drive if projection.weight.gain.is_one else ():
        if weight.tensor is not None and weight.gain.is_one and {*weight.axes} == {*axes}:
            has_numbers = values_of(circuit, weight.tensor.name) is not None
            if has_numbers and is_read_once(circuit, weight.tensor.name):
                return weight.tensor
    return None
