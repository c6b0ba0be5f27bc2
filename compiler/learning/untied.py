"""Untying: a tensor for the synapses of each cell, where cells share one.

    association.apical[h, j, c, a] = Σ_m W_K[h, a, m] x[j, m]             tied: the same for all c
    association.apical[h, j, c, a] = Σ_m W_K_untied[h, a, m, c] x[j, m]   untied

With equal copies both compute the same, and the tied gradient is the sum of those of the copies. Untied,
each synapse changes by what its own cell knows: the key and value rules of a memory become local.

Tokens share all weights of attention: side by side in space, their columns still do. With `columns=True`
they do not; every synapse then has a number of its own, and what is learned holds for that many tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cortico.ir import (
    Axis,
    Circuit,
    Parameter,
    Role,
    SpecError,
    TensorRef,
    Weight,
    check,
)
from cortico.ir.rewrite import fresh, map_drives, map_populations, map_projections, readings

#: The roles of axes that number cells within a column, and of all.
_CELLS = (Role.AREA, Role.FEATURE)
_ALL = tuple(Role)


@dataclass(frozen=True)
class Copies:
    """A tensor as one set of synapses reads it, and the axes of cells that it lacks."""

    tied: TensorRef
    name: str  #: of the untied tensor
    over: tuple[str, ...]

    @property
    def untied(self) -> TensorRef:
        """The tensor with its further sides, which stand last."""
        return TensorRef(self.name, (*self.tied.axes, *self.over))


def copies(circuit: Circuit, columns: bool = False) -> tuple[Copies, ...]:
    """Every reading of a plain parameter by more cells than it has entries for."""
    roles = _ALL if columns else _CELLS
    taken = {t.name for t in circuit.inputs + circuit.parameters}
    found: dict[tuple[TensorRef, tuple[str, ...]], Copies] = {}
    for weight, axes in _readings(circuit):
        over = _lacking(circuit, weight, axes, roles)
        if over and weight.tensor is not None and (weight.tensor, over) not in found:
            name = fresh(f"{weight.tensor.name}_untied", taken)
            taken.add(name)
            found[weight.tensor, over] = Copies(weight.tensor, name, over)
    return tuple(found.values())


def untie(circuit: Circuit, columns: bool = False) -> Circuit:
    """The circuit with a tensor for the synapses of each cell; stored numbers are copied.

    Cells of one column each have their own, with `columns` those of all columns (in space) do.
    Tensors that nothing reads any more are gone. Formulas stay as they are.
    """
    found = copies(circuit, columns)
    names = {(each.tied, each.over): each.untied for each in found}
    roles = _ALL if columns else _CELLS

    def new(weight: Weight, axes: tuple[str, ...]) -> Weight:
        over = _lacking(circuit, weight, axes, roles)
        if weight.tensor is None or not over:
            return weight
        return replace(weight, tensor=names[weight.tensor, over])

    result = map_populations(circuit, lambda p: map_drives(p, lambda w: new(w, p.axes)))
    result = map_projections(
        result, lambda p: replace(p, weight=new(p.weight, circuit.synapse_axes(p)))
    )
    result = replace(result, parameters=tuple(_parameters(result, circuit, found)))
    check(result)
    return result


def untied_values(
    circuit: Circuit, weights: Mapping[str, np.ndarray], columns: bool = False
) -> dict[str, np.ndarray]:
    """Weights of the tied circuit as weights of `untie(circuit, columns)`: equal copies."""
    found = dict(weights)
    for each in copies(circuit, columns):
        if each.tied.name in weights:
            found[each.name] = _copied(circuit, each, weights[each.tied.name])
    kept = {p.name for p in untie(circuit, columns).parameters}
    return {name: array for name, array in found.items() if name in kept}


def _readings(circuit: Circuit) -> Iterator[tuple[Weight, tuple[str, ...]]]:
    """Every weight, with the axes of its synapses or of the neurons that it drives."""
    for projection in circuit.projections:
        yield projection.weight, circuit.synapse_axes(projection)
    for population in circuit.populations:
        drives = (weight for part in population.compartments for weight in part.drive)
        yield from ((weight, population.axes) for weight in drives)


def _lacking(
    circuit: Circuit, weight: Weight, axes: tuple[str, ...], roles: tuple[Role, ...]
) -> tuple[str, ...]:
    """The axes of cells, those of `roles`, that a plain parameter lacks."""
    tensor = circuit.tensor(weight.tensor.name) if weight.tensor else None
    if not isinstance(tensor, Parameter) or tensor.formula is not None:
        return ()
    known = ((axis, circuit.axis(axis)) for axis in axes if axis not in weight.axes)
    return tuple(axis for axis, it in known if it.role in roles and not _is_token_in_time(it))


def _is_token_in_time(axis: Axis) -> bool:
    """Whether one cell stands for all indices: they share its synapses in any case."""
    return axis.role is Role.COLUMN and axis.in_time


def _parameters(result: Circuit, old: Circuit, found: Sequence[Copies]) -> Iterator[Parameter]:
    """The untied tensors in the place of those that they are copies of."""
    read = {reading.name for reading in readings(result)}
    read |= {name for p in old.parameters if p.formula for name in p.formula.arguments}
    tied = {each.tied.name for each in found}
    for parameter in old.parameters:
        if parameter.name in read or parameter.name not in tied:
            yield parameter
        for each in found:
            if each.tied.name == parameter.name:
                yield _untied(old, each, parameter)


def _untied(circuit: Circuit, each: Copies, parameter: Parameter) -> Parameter:
    sides = tuple(circuit.axis(axis).extent for axis in each.over)
    values = parameter.values
    copied = None if values is None else _copied(circuit, each, values)
    return Parameter(each.name, (*parameter.shape, *sides), copied)


def _copied(circuit: Circuit, each: Copies, values: np.ndarray) -> np.ndarray:
    """Equal copies along the axes of cells. SpecError when their sizes are no numbers."""
    sides = tuple(circuit.axis(axis).extent for axis in each.over)
    numbers = tuple(side for side in sides if isinstance(side, int))
    if numbers != sides:
        raise SpecError(
            f"{each.name} has a copy of {each.tied.name} for each of {', '.join(each.over)}, of sizes "
            f"{', '.join(map(str, sides))}: copies need numbers, fix the number of tokens"
        )
    return np.array(np.broadcast_to(values[(..., *[None] * len(sides))], (*values.shape, *numbers)))
