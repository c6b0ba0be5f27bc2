"""Finding and changing the parts of a circuit that numbers stand in, apart from `cortico.ir.rewrite`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from random import Random

import numpy as np

from cortico.ir import (
    Circuit,
    Compartment,
    Parameter,
    Population,
    TensorRef,
    Weight,
)

POWERS = [Fraction(1, 2), Fraction(-1, 2), Fraction(1), Fraction(-1)]


def stored(circuit: Circuit) -> list[Parameter]:
    return [p for p in circuit.parameters if p.values is not None]


def fresh_name(circuit: Circuit, stem: str) -> str:
    """A name like `stem` that no population, projection or tensor has."""
    tensors = (*circuit.inputs, *circuit.parameters)
    taken = [part.name for part in (*circuit.populations, *circuit.projections, *tensors)]
    return stem if stem not in taken else fresh_name(circuit, f"{stem}_new")


def map_parameters(circuit: Circuit, change: Callable[[Parameter], Parameter]) -> Circuit:
    return replace(circuit, parameters=tuple(change(p) for p in circuit.parameters))


def map_populations(circuit: Circuit, change: Callable[[Population], Population]) -> Circuit:
    return replace(circuit, populations=tuple(change(p) for p in circuit.populations))


def with_compartment(circuit: Circuit, population: str, new: Compartment) -> Circuit:
    """The circuit with another compartment in the place of the one of its name."""

    def changed(p: Population) -> Population:
        parts = tuple(new if c.name == new.name else c for c in p.compartments)
        return replace(p, compartments=parts) if p.name == population else p

    return map_populations(circuit, changed)


def with_values(circuit: Circuit, name: str, values: np.ndarray) -> Circuit:
    """The circuit with other numbers in a parameter, of the type that they had."""

    def changed(p: Parameter) -> Parameter:
        if p.name != name or p.values is None:
            return p
        limit = np.finfo(p.values.dtype).max
        array = np.clip(values, -limit, limit).astype(p.values.dtype)
        return replace(p, values=array, shape=array.shape)

    return map_parameters(circuit, changed)


def map_weights(circuit: Circuit, change: Callable[[Weight, tuple[str, ...]], Weight]) -> Circuit:
    """The circuit with each weight changed, knowing the axes of the cells that it acts on."""
    populations = tuple(
        replace(
            p,
            compartments=tuple(
                replace(c, drive=tuple(change(w, p.axes) for w in c.drive)) for c in p.compartments
            ),
        )
        for p in circuit.populations
    )
    projections = tuple(
        replace(p, weight=change(p.weight, circuit.population(p.post).axes))
        for p in circuit.projections
    )
    return replace(circuit, populations=populations, projections=projections)


def refs(circuit: Circuit, axis: str | None = None) -> Iterator[TensorRef]:
    """Where plain parameters are read, those behind formulas among them; along an axis only, if given."""
    found: list[TensorRef] = []

    def look(weight: Weight, axes: tuple[str, ...]) -> Weight:
        if weight.tensor:
            tensor, at = circuit.tensor(weight.tensor.name), weight.tensor.axes
            formula = tensor.formula if isinstance(tensor, Parameter) else None
            if formula is not None:
                found.append(weight.tensor)
                at = at[1:2] if formula.kind == "rotation" else at[:-2]
                found.append(TensorRef(formula.arguments[0], at))
            else:
                found.append(weight.tensor)
        return weight

    map_weights(circuit, look)
    return (ref for ref in dict.fromkeys(found) if axis is None or axis in ref.axes)


def without_drive(circuit: Circuit, name: str) -> Circuit:
    def cells(p):
        parts = (
            replace(c, drive=tuple(w for w in c.drive if not w.tensor or w.tensor.name != name))
            for c in p.compartments
        )
        return replace(p, compartments=tuple(parts))

    changed = map_populations(circuit, cells)
    return replace(changed, parameters=tuple(p for p in changed.parameters if p.name != name))


def one_weight(random: Random, circuit: Circuit, change: Callable[[Weight], Weight]) -> Circuit:
    total: list[Weight] = []
    map_weights(circuit, lambda w, axes: total.append(w) or w)  # type: ignore[func-returns-value]
    biases = [k for k, w in enumerate(total) if w.tensor and len(w.tensor.axes) < 3]
    place = random.choice(biases if biases and random.random() < 0.6 else range(len(total)))
    count = iter(range(len(total)))
    return map_weights(circuit, lambda w, axes: change(w) if next(count) == place else w)
