"""move-value-bias: a bias of the values becomes a bias of the output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cortico.ir import (
    Circuit,
    Compartment,
    Effect,
    Population,
    Projection,
    Weight,
)
from cortico.ir.analysis.constants import number_of, values_of
from cortico.ir.analysis.dependence import extra_bounds
from cortico.ir.analysis.readers import is_output, is_read_once
from cortico.ir.domain import Bound
from cortico.ir.rewrite import map_compartment, with_bias, with_values, without_unused_tensors
from cortico.ir.transfer import TRANSFERS
from cortico.passes.base import Pass, last


@dataclass(frozen=True)
class MoveValueBias(Pass):
    """Add the value bias once, behind the attention mask, instead of in front of it.

    Where the rows of the mask `p[h,i,j]` sum to one over j,

        Σ_{h,j,c} W_O[h,m,c] p[h,i,j] (v[h,j,c] + b_V[h,c])
            = Σ_{h,j,c} W_O[h,m,c] p[h,i,j] v[h,j,c] + b[m],   b[m] = Σ_{h,c} W_O[h,m,c] b_V[h,c]

    The rows sum to one when p is an exponential, so nowhere zero, divided by the sum of exactly
    these exponentials, and each row has a cell: not with attention sinks, an extra source token or a
    semi-saturation, not with padding (a row without live keys is zero), not unnormalised. `b` needs numbers, so symbolic tensors stay.
    """

    name = "move-value-bias"

    def run(self, circuit: Circuit) -> Circuit:
        return last(circuit, self.stages(circuit))

    def stages(self, circuit: Circuit) -> Iterator[Circuit]:
        """One bias moved at a time."""
        while (moved := next(_moves(circuit), None)) is not None:
            circuit = without_unused_tensors(moved)
            yield circuit


@dataclass(frozen=True)
class _Place:
    """A bias among the drives of a compartment, and the gain with which it reaches the values."""

    population: str
    compartment: Compartment
    weight: Weight
    gain: float


def _moves(circuit: Circuit) -> Iterator[Circuit]:
    """The circuit with one bias moved, for every bias that can be."""
    for cells in circuit.populations:
        rows = _rows_that_sum_to_one(circuit, cells)
        path = _path_behind(circuit, cells, set(rows)) if rows else ()
        for compartment in cells.compartments if path else ():
            for place in _biases(circuit, cells, compartment, 1.0, set(rows)):
                moved = _moved(circuit, cells, place, path, set(rows))
                if moved is not None:
                    yield moved


# ---- rows that sum to one ------------------------------------------------------------------------


def _rows_that_sum_to_one(circuit: Circuit, cells: Population) -> tuple[str, ...]:
    """The axes over which what gates `cells`, divided by their pool, sums to one; () if none does."""
    gate, pool = _gate(circuit, cells), _pool(circuit, cells)
    if gate is None or pool is None or not TRANSFERS[cells.transfer].is_identity:
        return ()
    if not (_is_positive(gate) and _sums(circuit, pool, gate) and gate.domain == cells.domain):
        return ()
    rows = tuple(axis for axis in gate.axes if axis not in pool.axes)
    fits = set(pool.axes) <= set(gate.axes) <= set(cells.axes)
    return rows if fits and all(_has_diagonal(circuit, b, rows) for b in gate.domain) else ()


def _is_positive(gate: Population) -> bool:
    """Whether rates are never zero. Behind a 0/1 input they may be, and a row may have no cell."""
    return gate.transfer == "exp"


def _sums(circuit: Circuit, pool: Population, gate: Population) -> bool:
    """Whether `pool` is the sum of the rates of `gate` and of nothing else."""
    hears = circuit.projections_onto(pool.name)
    alone = len(hears) == 1 and len(pool.compartments) == 1 and not pool.compartments[0].drive
    return (
        alone
        and TRANSFERS[pool.transfer].is_identity
        and pool.compartments[0].effect is Effect.MULTIPLIES
        and not pool.domain
        and hears[0].pre == gate.name
        and _is_plain(hears[0])
    )


def _is_plain(projection: Projection) -> bool:
    """Whether a projection passes rates on as they are."""
    weight = projection.weight
    return weight.tensor is None and weight.gain.is_one and not (projection.domain or projection.at)


def _has_diagonal(circuit: Circuit, bound: Bound, rows: tuple[str, ...]) -> bool:
    """Whether the pairs of a token with itself exist under `bound`, so that no row is empty."""
    pair = (bound.left, bound.right)
    extents = {circuit.axis(axis).extent for axis in pair}
    return bound.offset >= 0 and len(set(rows) & set(pair)) == 1 and len(extents) == 1


def _gate(circuit: Circuit, cells: Population) -> Population | None:
    """The population whose rate is one of the two factors of `cells`, the values being the other."""
    factors = [c for c in cells.compartments if c.effect is Effect.MULTIPLIES]
    sources = [_lone_source(circuit, cells, c) for c in factors]
    gates = [s for s in sources if s is not None and _is_positive(s)]
    return gates[0] if len(factors) == 2 and len(gates) == 1 else None


def _pool(circuit: Circuit, cells: Population) -> Population | None:
    divisors = [c for c in cells.compartments if c.effect is Effect.DIVIDES]
    return _lone_source(circuit, cells, divisors[0]) if len(divisors) == 1 else None


def _lone_source(
    circuit: Circuit, cells: Population, compartment: Compartment
) -> Population | None:
    """The population whose rate is all that a compartment receives."""
    hears = circuit.projections_onto(cells.name, compartment.name)
    alone = len(hears) == 1 and not compartment.drive and _is_plain(hears[0])
    return circuit.population(hears[0].pre) if alone else None


# ---- where the bias is, and where it goes ----------------------------------------------------------


def _biases(
    circuit: Circuit, cells: Population, compartment: Compartment, gain: float, rows: set[str]
) -> Iterator[_Place]:
    """Biases with numbers that add to the current of a compartment, or to that of its relays."""
    hears = circuit.projections_onto(cells.name, compartment.name)
    if compartment.effect is Effect.DIVIDES:
        return
    if len(hears) + len(compartment.drive) > 1:  # a compartment must keep something
        for weight in compartment.drive:
            if weight.tensor and rows.isdisjoint(weight.axes):
                yield _Place(cells.name, compartment, weight, gain)
    for projection in hears:
        relay, factor = circuit.population(projection.pre), _relayed_gain(circuit, projection)
        if factor is not None:
            yield from _biases(circuit, relay, relay.compartments[0], gain * factor, rows)


def _relayed_gain(circuit: Circuit, projection: Projection) -> float | None:
    """The factor by which a projection passes on a current, one to one; None when it does not."""
    pre, post = circuit.population(projection.pre), circuit.population(projection.post)
    one_to_one = set(pre.axes) <= set(post.axes) and not extra_bounds(circuit, projection)
    one_to_one = one_to_one and not projection.at
    if projection.weight.tensor or not one_to_one or not _is_adder(circuit, pre):
        return None
    return number_of(circuit, projection.weight.gain)


def _is_adder(circuit: Circuit, population: Population) -> bool:
    """Whether the rate is one compartment's current and only one projection carries it on."""
    return (
        TRANSFERS[population.transfer].is_identity
        and [c.effect for c in population.compartments] == [Effect.MULTIPLIES]
        and len(circuit.projections_from(population.name)) == 1
        and not is_output(circuit, population.name)
    )


def _path_behind(circuit: Circuit, cells: Population, rows: set[str]) -> tuple[Projection, ...]:
    """The projection that sums `cells` over `rows`, and the one behind it if that only collects."""
    leaves = circuit.projections_from(cells.name)
    if len(leaves) != 1 or is_output(circuit, cells.name) or leaves[0].domain or leaves[0].at:
        return ()
    first, target = leaves[0], circuit.population(leaves[0].post)
    if rows & {*target.axes, *first.weight.axes}:
        return ()
    kept = set(cells.axes) - rows <= set(target.axes)
    if first.weight.tensor is None and kept and not target.domain and _is_adder(circuit, target):
        (second,) = circuit.projections_from(target.name)
        return (first,) if second.domain or second.at else (first, second)
    return (first,)


def _moved(
    circuit: Circuit,
    cells: Population,
    place: _Place,
    path: tuple[Projection, ...],
    rows: set[str],
) -> Circuit | None:
    """The circuit with the bias of `place` at the end of `path`; None when numbers are missing."""
    terms = [place.weight, *(projection.weight for projection in path)]
    arrays = [_array(circuit, weight) for weight in terms]
    target = circuit.population(path[-1].post)
    known = {axis for weight in terms for axis in weight.axes} | rows | set(target.axes)
    collected = set(circuit.population(path[0].post).axes)
    if not (set(cells.axes) | collected) <= known or any(a is None for a in arrays):
        return None
    axes = tuple(a for a in target.axes if any(a in weight.axes for weight in terms))
    bias = place.gain * _contracted(
        [a for a in arrays if a is not None], [w.axes for w in terms], axes
    )
    name = "_".join(w.tensor.name for w in reversed(terms) if w.tensor)
    drive = tuple(weight for weight in place.compartment.drive if weight is not place.weight)
    without = map_compartment(
        circuit, place.population, place.compartment.name, lambda c: replace(c, drive=drive)
    )
    return _with_bias(without, (target.name, path[-1].compartment), name, axes, bias)


def _array(circuit: Circuit, weight: Weight) -> np.ndarray | None:
    """The numbers of a weight, in float64; None while they are not known."""
    gain = number_of(circuit, weight.gain)
    values = values_of(circuit, weight.tensor.name) if weight.tensor else np.ones(())
    return None if gain is None or values is None else gain * values.astype(np.float64)


def _contracted(
    arrays: list[np.ndarray], names: list[tuple[str, ...]], onto: tuple[str, ...]
) -> np.ndarray:
    letter = {axis: k for k, axis in enumerate(dict.fromkeys(a for axes in names for a in axes))}
    operands = [
        part
        for array, axes in zip(arrays, names, strict=True)
        for part in (array, [letter[axis] for axis in axes])
    ]
    total: np.ndarray = np.einsum(*operands, [letter[axis] for axis in onto])
    return np.asarray(total)


def _with_bias(
    circuit: Circuit, place: tuple[str, str], name: str, axes: tuple[str, ...], bias: np.ndarray
) -> Circuit:
    """The circuit with `bias` added to a bias that a compartment has, or as one of its own."""
    population, compartment = place
    for old in circuit.population(population).compartment(compartment).drive:
        values = _array(circuit, old) if old.gain.is_one and old.axes == axes else None
        if old.tensor and values is not None and is_read_once(circuit, old.tensor.name):
            return with_values(circuit, {old.tensor.name: values + bias})
    return with_bias(circuit, place, name, axes, bias)
