"""Single heads and features without effect: found, and cut from every tensor that has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from cortico.ir import Axis, Circuit, Input, Parameter, Population, Role, TensorRef
from cortico.ir.analysis.axes import bounded_axes, moved_axes, output_axes
from cortico.ir.analysis.constants import stored_of, values_of
from cortico.ir.analysis.zeros import keeps_zero, live_along
from cortico.ir.rewrite import map_parameters, readings, weights_of, with_extent
from cortico.ir.tensors import Shape

#: Axes whose indices are no interface of the circuit.
_INNER = (Role.AREA, Role.FEATURE)


def without_dead_indices(circuit: Circuit, axis: str) -> Circuit:
    """The circuit without indices of a head or feature axis that contribute nothing to what lacks it.

    Which features are dead may differ from head to head: features are numbered anew in each head,
    live ones first, and as many stay as the head with most has. One index always stays.
    """
    found = circuit.axis(axis)
    return _shrunk(circuit, found) if _may_shrink(circuit, found) else circuit


def _may_shrink(circuit: Circuit, axis: Axis) -> bool:
    """Whether nothing but populations and stored parameters knows the indices of `axis`."""
    inner = axis.role in _INNER and not axis.in_time
    several = isinstance(axis.extent, int) and axis.extent > 1
    seen = axis.name in output_axes(circuit) | bounded_axes(circuit) | moved_axes(circuit)
    lives = any(axis.name in p.axes for p in circuit.populations)
    return inner and several and lives and not seen and reads_fit(circuit, axis.name)


def reads_fit(circuit: Circuit, axis: str) -> bool:
    """Whether all tensors read at `axis` have numbers, and are read at it at the same side always."""
    for weight in weights_of(circuit):
        if axis in weight.axes:
            stored = stored_of(circuit, weight)
            if stored is None or axis not in stored.axes or values_of(circuit, stored.name) is None:
                return False
    return all(len(sides) == 1 for sides in _sides(circuit, (axis,)).values())


def _sides(circuit: Circuit, axes: tuple[str, ...]) -> dict[str, set[tuple[str | None, ...]]]:
    """Stored parameter to the ways it is read, other axes than `axes` left out."""
    found: dict[str, set[tuple[str | None, ...]]] = {}
    for stored in _stored(circuit):
        way = tuple(axis if axis in axes else None for axis in stored.axes)
        found.setdefault(stored.name, set()).add(way)
    return found


def _stored(circuit: Circuit) -> Iterator[TensorRef]:
    for weight in weights_of(circuit):
        stored = stored_of(circuit, weight)
        if stored is not None and not isinstance(circuit.tensor(stored.name), Input):
            yield stored


# ---- which indices are dead ------------------------------------------------------------------------


def _shrunk(circuit: Circuit, axis: Axis) -> Circuit:
    heads = _common_heads(circuit, axis.name)
    needed = _needed(circuit, axis.name, heads)
    kept = max(1, int(needed.sum(axis=-1).max()))
    if kept == needed.shape[-1]:
        return circuit
    order = np.argsort(~needed, axis=-1, kind="stable")[..., :kept]
    return cut(circuit, axis.name, heads, order)


def may_cut(circuit: Circuit, axis: str) -> bool:
    """Whether an axis along which several blocks give rates to each other may lose indices."""
    found, known = circuit.axis(axis), bounded_axes(circuit) | moved_axes(circuit)
    several = isinstance(found.extent, int) and found.extent > 1 and not found.in_time
    return several and axis not in known and reads_fit(circuit, axis)


def silent_along(circuit: Circuit, axis: str) -> np.ndarray:
    """Where along an axis no cell that has it ever fires; nowhere if one has a transfer function.

    That φ(0) = 0 at some indices only is no rule of the prover.
    """
    bent = any(p.transfer != "identity" for p in circuit.populations if axis in p.axes)
    live: np.ndarray = np.any(list(_live(circuit, (axis,)).values()), axis=0)
    return np.zeros_like(live) if bent else ~live


def unheard_along(circuit: Circuit, axis: str) -> np.ndarray:
    """Where along an axis no synapse leads from cells that have it to others."""
    has = {p.name for p in circuit.populations if axis in p.axes}
    leaving = (p for p in circuit.projections if p.pre in has and p.post not in has)
    heard: np.ndarray = np.any([live_along(circuit, p.weight, (axis,)) for p in leaving], axis=0)
    return ~heard


def _common_heads(circuit: Circuit, axis: str) -> tuple[str, ...]:
    """Other area axes that everything with `axis` has: along them its indices may be numbered anew."""
    sharing = [set(p.axes) for p in circuit.populations if axis in p.axes]
    sharing += [set(stored.axes) for stored in _stored(circuit) if axis in stored.axes]
    areas = [a.name for a in circuit.axes if a.role is Role.AREA and isinstance(a.extent, int)]
    free = [a for a in areas if a != axis and a not in moved_axes(circuit)]
    heads = tuple(a for a in free if all(a in axes for axes in sharing))
    fits = all(len(ways) == 1 for ways in _sides(circuit, (axis, *heads)).values())
    return heads if fits else ()


def _needed(circuit: Circuit, axis: str, heads: tuple[str, ...]) -> np.ndarray:
    """Where populations with `axis` give something to populations without it, over heads and axis."""
    joint = (*heads, axis)
    live = _live(circuit, joint)
    needed = np.zeros([int(circuit.axis(a).extent) for a in joint], dtype=bool)
    for projection in circuit.projections:
        if projection.pre in live and axis not in circuit.population(projection.post).axes:
            needed |= live[projection.pre] & live_along(circuit, projection.weight, joint)
    return needed


def _live(circuit: Circuit, joint: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Population that has all of `joint` to where along it its rate is not known to be zero."""
    live: dict[str, np.ndarray] = {}
    for population in circuit.order_in_time:
        if set(joint) <= set(population.axes):
            live[population.name] = _live_rates(circuit, population, joint, live)
    return live


def _live_rates(
    circuit: Circuit, population: Population, joint: tuple[str, ...], live: dict[str, np.ndarray]
) -> np.ndarray:
    result = np.ones([int(circuit.axis(a).extent) for a in joint], dtype=bool)
    for compartment in population.compartments if keeps_zero(population) else ():
        current = np.zeros_like(result)
        for weight in compartment.drive:
            current |= live_along(circuit, weight, joint)
        for projection in circuit.projections_onto(population.name, compartment.name):
            rate = live.get(projection.pre, np.True_)
            current |= rate & live_along(circuit, projection.weight, joint)
        result &= current
    return result


# ---- cutting ---------------------------------------------------------------------------------------


def cut(circuit: Circuit, axis: str, heads: tuple[str, ...], order: np.ndarray) -> Circuit:
    """The circuit with index k of `axis` (per head) being the old index `order[…, k]`."""
    kept = order.shape[-1]
    stored = {ref.name: ref.axes for ref in _stored(circuit) if axis in ref.axes}
    others = {  # others and inputs
        ref.name: ref.axes.index(axis)
        for ref in readings(circuit)
        if axis in ref.axes and ref.name not in stored
    }

    def changed(parameter: Parameter) -> Parameter:
        if parameter.name in stored:
            return _taken(parameter, stored[parameter.name], (*heads, axis), order)
        if parameter.name in others:
            shape = _with_side(parameter.shape, others[parameter.name], kept)
            return replace(parameter, shape=shape)
        return parameter

    inputs = tuple(
        replace(t, shape=_with_side(t.shape, others[t.name], kept)) if t.name in others else t
        for t in circuit.inputs
    )
    circuit = replace(map_parameters(circuit, changed), inputs=inputs)
    return with_extent(circuit, axis, kept)


def _with_side(shape: Shape, side: int, extent: int) -> Shape:
    return (*shape[:side], extent, *shape[side + 1 :])


def _taken(
    parameter: Parameter, axes: tuple[str, ...], joint: tuple[str, ...], order: np.ndarray
) -> Parameter:
    """The parameter, read at `axes`, with the entries of `order` along the last axis of `joint`."""
    assert parameter.values is not None
    sides = [axes.index(axis) for axis in joint]
    front = np.moveaxis(parameter.values, sides, range(len(sides)))
    grid = np.indices(order.shape, sparse=True)[:-1]
    values = np.moveaxis(front[(*grid, order)], range(len(sides)), sides)
    return replace(parameter, shape=values.shape, values=np.ascontiguousarray(values))
