"""How far rounded numbers can move the outputs of a circuit: a bound for all inputs up to one in size.

Each population gets a bound on its rates, and one on how far they move when every stored number moves by
its own bound. Both are carried along synapses by the triangle inequality, as in running error analysis
(Higham, Accuracy and Stability of Numerical Algorithms, section 3.3), entry by entry over features; all
tokens share one bound.

A softmax would be lost in the largest exponential. So rates that a pool sums are also bounded *in units of
that pool*: a mask is at most one pool, and all masks of a query are one together. Dividing by the pool makes
plain numbers of units.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cortico.ir import (
    Circuit,
    Compartment,
    Effect,
    InputKind,
    Parameter,
    Population,
    Projection,
    Role,
    Weight,
)
from cortico.ir.analysis.constants import values_of
from cortico.ir.rewrite import weights_onto
from cortico.ir.transfer import TRANSFERS, Relative

#: Tokens for which the bound is, where their number is a symbol.
TOKENS = 1024

#: More than the rounding of the bounds themselves.
_SLACK = 1 + 1e-9


@dataclass(frozen=True)
class _Size:
    """Rates are at most `most`, and move by at most `moved`; arrays over all axes, one entry for all tokens.

    Sums over axes of `once` are no larger than the largest entry.
    """

    most: np.ndarray
    moved: np.ndarray
    once: frozenset[str] = frozenset()

    def __mul__(self, other: _Size) -> _Size:
        moved = _times(self.most, other.moved) + _times(self.moved, other.most + other.moved)
        return _Size(_times(self.most, other.most), moved, self.once | other.once)

    def __add__(self, other: _Size) -> _Size:
        return _Size(self.most + other.most, self.moved + other.moved, self.once & other.once)


@dataclass(frozen=True)
class _Bound:
    """What is known of rates or currents: their size, and the same in units of pools.

    `share` bounds how far they move relative to themselves, where they are nowhere negative; else it is infinite.
    """

    size: _Size
    share: float = np.inf
    units: Mapping[str, _Size] = field(default_factory=dict)

    def __mul__(self, other: _Bound) -> _Bound:
        units = {pool: size * other.size for pool, size in self.units.items()}
        units |= {pool: self.size * size for pool, size in other.units.items() if pool not in units}
        share = (1 + self.share) * (1 + other.share) - 1
        return _Bound(self.size * other.size, share, units)

    def __add__(self, other: _Bound) -> _Bound:
        units = {p: size + other.units[p] for p, size in self.units.items() if p in other.units}
        return _Bound(self.size + other.size, max(self.share, other.share), units)


def output_bound(
    circuit: Circuit,
    tensors: Mapping[str, float],
    gains: Mapping[float, float],
    tokens: int = TOKENS,
) -> float:
    """How far outputs move at most when stored `tensors` and coefficients of `gains` move by so much.

    For every input up to one in size and every 0/1 input, at `tokens` tokens where their number is a
    symbol. Infinite where no bound is known: numbers that are given at run time, a divisor that is no pool.
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        bounds = _Circuit(circuit, tensors, gains, tokens).bounds()
    moved = [float(bounds[o.source.name].size.moved.max()) for o in circuit.outputs]
    return max((_SLACK * m if np.isfinite(m) else np.inf for m in moved), default=0.0)


class _Circuit:
    """The bounds of all populations of a circuit."""

    def __init__(
        self,
        circuit: Circuit,
        tensors: Mapping[str, float],
        gains: Mapping[float, float],
        tokens: int,
    ) -> None:
        self.circuit, self.tensors, self.gains = circuit, tensors, gains
        self.extents = circuit.sizes(dict.fromkeys(circuit.symbols, tokens))
        self.sides = {axis.name: side for side, axis in enumerate(circuit.axes)}
        self.tokens = {
            a.name for a in circuit.axes if isinstance(a.extent, str) or a.role is Role.COLUMN
        }
        self.found: dict[str, _Bound] = {}

    def bounds(self) -> dict[str, _Bound]:
        for population in self.circuit.order:
            bound = self._rates(population)
            self.found[population.name] = replace(bound, units=self._units(population, bound))
        return self.found

    # ---- arrays ----------------------------------------------------------------------------------

    def _spread(self, array: np.ndarray, axes: tuple[str, ...]) -> np.ndarray:
        """An array with a side for every axis of the circuit, in their order; one entry for all tokens."""
        for side, axis in enumerate(axes):
            if axis in self.tokens:
                array = array.max(axis=side, keepdims=True)
        kept = [name for name in self.sides if name in axes]
        array = array.transpose([axes.index(name) for name in kept])
        lengths = dict(zip(kept, array.shape, strict=True))
        return array.reshape([lengths.get(name, 1) for name in self.sides])

    def _summed(self, size: _Size, axes: Iterable[str]) -> _Size:
        """The sum over axes."""
        for axis in axes:
            once = axis in size.once
            most, moved = self._sum(size.most, axis, once), self._sum(size.moved, axis, once)
            size = _Size(most, moved, size.once - {axis})
        return size

    def _sum(self, array: np.ndarray, axis: str, once: bool) -> np.ndarray:
        side = self.sides[axis]
        array = array * np.ones((1,) * len(self.sides))
        if once:
            return np.asarray(array.max(axis=side, keepdims=True))
        times = self.extents[axis] if array.shape[side] == 1 else 1
        return np.asarray(times * array.sum(axis=side, keepdims=True))

    # ---- synapses --------------------------------------------------------------------------------

    def _weight(self, weight: Weight) -> _Bound:
        gain, off = weight.gain.value(self.extents), 0.0
        if weight.gain.coefficient in self.gains:
            off = abs(gain / weight.gain.coefficient) * self.gains[weight.gain.coefficient]
        bound = _plain(abs(gain), off, nonnegative=gain >= 0)
        return bound if weight.tensor is None else bound * self._tensor(weight)

    def _tensor(self, weight: Weight) -> _Bound:
        assert weight.tensor is not None
        name, axes = weight.tensor.name, weight.tensor.axes
        tensor = self.circuit.tensor(name)
        if not isinstance(tensor, Parameter):
            is_mask = tensor.kind is InputKind.MASK
            return _plain(1.0, 0.0, nonnegative=is_mask)
        if tensor.formula is not None:
            return self._formula(tensor, axes)
        if tensor.values is None:
            return _UNKNOWN
        values = tensor.values.astype(np.float64)
        off = np.full(values.shape, self.tensors.get(name, 0.0))
        share = _share(values, off)
        return _Bound(
            _Size(self._spread(np.abs(values), axes), self._spread(off, axes)), share=share
        )

    def _formula(self, tensor: Parameter, axes: tuple[str, ...]) -> _Bound:
        """Rotations are at most one, distances at most as many slopes as there are tokens, rows as their table."""
        assert tensor.formula is not None
        if tensor.formula.kind == "first":
            return _plain(1.0, 0.0, nonnegative=True)
        (argument,) = tensor.formula.arguments
        off = self.tensors.get(argument, 0.0)
        largest = max(self.extents[axis] for axis in axes if axis in self.tokens)
        if tensor.formula.kind == "rotation":
            return _plain(1.0, min(largest * off, 2.0), nonnegative=False)
        values = values_of(self.circuit, argument)
        most = np.inf if values is None else float(np.abs(values).max())
        if tensor.formula.kind == "rows":
            return _plain(most, off, nonnegative=False)
        return _plain(largest * most, largest * off, nonnegative=False)

    def _synaptic(self, post: Population, projection: Projection) -> _Bound:
        pre, weight = self.circuit.heard(projection), self._weight(projection.weight)
        term = weight * self._heard(projection)
        read = dict.fromkeys((*pre.axes, *projection.weight.axes))
        axes = [axis for axis in read if axis not in post.axes]
        units = {pool: self._summed(size, axes) for pool, size in term.units.items()}
        fitting = {p: s for p, s in units.items() if self._axes(p) <= set(post.axes)}
        return _Bound(self._summed(term.size, axes), term.share, fitting)

    def _heard(self, projection: Projection) -> _Bound:
        """The bound of a source at the axes that it is read at; pools are not read along: no units there."""
        found = self.found[projection.pre]
        if not projection.at:
            return found
        names = self.circuit.read_as(projection)
        moved = {self.sides[read]: self.sides[own] for own, read in names.items()}
        others = iter(sorted({*self.sides.values()} - {*moved.values()}))
        order = [moved[side] if side in moved else next(others) for side in self.sides.values()]
        plain = np.ones((1,) * len(order))
        most, off = (
            (each * plain).transpose(order) for each in (found.size.most, found.size.moved)
        )
        once = frozenset(names.get(axis, axis) for axis in found.size.once)
        return _Bound(_Size(most, off, once), found.share)

    def _axes(self, population: str) -> set[str]:
        return set(self.circuit.population(population).axes)

    def _current(self, population: Population, compartment: Compartment) -> _Bound:
        heard = self.circuit.projections_onto(population.name, compartment.name)
        terms = [
            *(self._driven(population, weight) for weight in compartment.drive),
            *(self._synaptic(population, p) for p in heard),
        ]
        return functools.reduce(_Bound.__add__, terms) if terms else _plain(0.0, 0.0, True)

    def _driven(self, population: Population, weight: Weight) -> _Bound:
        bound = self._weight(weight)
        axes = [axis for axis in weight.axes if axis not in population.axes]
        return replace(bound, size=self._summed(bound.size, axes))

    # ---- rates -----------------------------------------------------------------------------------

    def _rates(self, population: Population) -> _Bound:
        driven = _plain(1.0, 0.0, nonnegative=True)
        for compartment in population.compartments:
            if compartment.effect is Effect.MULTIPLIES:
                driven = driven * self._current(population, compartment)
        for compartment in population.compartments:
            if compartment.effect is Effect.DIVIDES:
                driven = self._divided(driven, population, compartment)
        return _transferred(population.transfer, driven)

    def _divided(self, driven: _Bound, population: Population, compartment: Compartment) -> _Bound:
        """Divided by a pool, units are numbers: N/B, where N is at most so many B."""
        divisor = self._current(population, compartment)
        if self._is_constant(population, compartment):
            return driven * _plain(1 / float(divisor.size.most), 0.0, nonnegative=True)
        share = (1 + driven.share) / (1 - divisor.share) - 1 if divisor.share < 1 else np.inf
        pool = self._one_pool(population, compartment)
        unit = driven.units.get(pool.pre) if pool else None
        if pool is None or unit is None or not divisor.share < 1:
            return replace(_UNKNOWN, share=share)
        gain = pool.weight.gain.value(self.extents)
        moved = (unit.moved + divisor.share * unit.most) / (1 - divisor.share)
        return _Bound(_Size(unit.most / gain, moved / gain, unit.once), share)

    def _is_constant(self, population: Population, compartment: Compartment) -> bool:
        """Whether a compartment has nothing but positive constants as its drive, none of which moves."""
        heard = self.circuit.projections_onto(population.name, compartment.name)
        gains = [weight.gain for weight in compartment.drive]
        fixed = all(w.tensor is None for w in compartment.drive)
        fixed = fixed and all(g.coefficient > 0 and g.coefficient not in self.gains for g in gains)
        return fixed and bool(gains) and not heard

    def _one_pool(self, population: Population, compartment: Compartment) -> Projection | None:
        """The projection of a pool that a compartment hears alone, matched; None where it hears others.

        A drive that is nowhere negative makes the divisor larger: N is at most so many pools, and so many of it. What
        may be negative has no share.
        """
        heard = self.circuit.projections_onto(population.name, compartment.name)
        if len(heard) != 1 or heard[0].weight.tensor or heard[0].domain:
            return None
        (one,) = heard
        matched = self._axes(one.pre) <= set(population.axes) and not one.at
        return one if matched and one.weight.gain.value(self.extents) > 0 else None

    def _units(self, population: Population, bound: _Bound) -> dict[str, _Size]:
        """Rates in units of the pools that sum them, and nothing negative besides."""
        units = dict(bound.units) if population.transfer == "identity" else {}
        for projection in self.circuit.projections_from(population.name):
            gain = self._pooled(population, projection)
            if gain and np.isfinite(bound.share):
                once = frozenset(population.axes) - self._axes(projection.post)
                one = np.ones((1,) * len(self.extents))
                units[projection.post] = _Size(one / gain, bound.share * one / gain, once)
        return units

    def _pooled(self, population: Population, projection: Projection) -> float:
        """The gain with which a pool sums a population over all its places; 0 where it does not."""
        pool = self.circuit.population(projection.post)
        heard = self.circuit.projections_onto(pool.name)
        plain = pool.transfer == "identity" and len(pool.compartments) == 1
        plain = plain and pool.compartments[0].effect is Effect.MULTIPLIES
        plain = plain and set(pool.axes) <= set(population.axes) and not pool.domain
        alone = [p for p in heard if p.pre == population.name]
        bare = not (projection.weight.tensor or projection.domain or projection.at)
        if not plain or len(alone) != 1 or not bare:
            return 0.0
        positive = all(np.isfinite(self._weight(w).share) for w in weights_onto(self.circuit, pool))
        others = (p.pre for p in heard if p.pre != population.name)
        gain = projection.weight.gain.value(self.extents)
        return gain if gain > 0 and positive and all(map(self._is_nonnegative, others)) else 0.0

    def _is_nonnegative(self, population: str) -> bool:
        """Whether rates are nowhere negative, also of cells that have no bound yet."""
        if population in self.found:
            return bool(np.isfinite(self.found[population].share))
        return population in self._nonnegative

    @functools.cached_property
    def _nonnegative(self) -> frozenset[str]:
        """Cells that are never negative: by their transfer function, or as sums and products of such."""
        known = set[str]()
        for population in self.circuit.order:
            transfer = TRANSFERS[population.transfer]
            weights = weights_onto(self.circuit, population)
            if transfer.nonnegative or (
                transfer.is_identity
                and all(np.isfinite(self._weight(w).share) for w in weights)
                and all(p.pre in known for p in self.circuit.projections_onto(population.name))
            ):
                known.add(population.name)
        return frozenset(known)


def _times(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The product; what does not move does not, however large it is."""
    return np.where((one == 0) | (other == 0), 0.0, one * other)


# ---- single numbers ------------------------------------------------------------------------------


def _plain(most: float, moved: float, nonnegative: bool) -> _Bound:
    share = (moved / most if most else 0.0) if nonnegative else np.inf
    return _Bound(_Size(np.asarray(most), np.asarray(moved)), share)


#: Of what nothing is known.
_UNKNOWN = _plain(np.inf, np.inf, nonnegative=False)


def _share(values: np.ndarray, off: np.ndarray) -> float:
    """How far numbers move relative to themselves; infinite where one is negative, or may become so."""
    if (values < 0).any() or (off[values == 0] > 0).any():
        return np.inf
    live = values > 0
    return float((off[live] / values[live]).max(initial=0.0))


def _transferred(transfer: str, driven: _Bound) -> _Bound:
    """What a transfer function makes of a bound, by its steepest slope and its range."""
    known, most, moved = TRANSFERS[transfer], driven.size.most, driven.size.moved
    if known.is_identity:
        return driven
    grown = np.expm1(moved)
    share = {Relative.KEPT: driven.share, Relative.GROWN: float(grown.max())}
    if known.steepest is not None:
        low, high = known.range
        far, way = (known.steepest * (np.sqrt(x) if known.of_root else x) for x in (most, moved))
        largest = np.minimum(abs(known.at_zero) + far, max(-low, high))
        size = _Size(largest, np.minimum(way, high - low))
    elif known.relative is Relative.GROWN:
        largest = known.at_zero * np.exp(most)
        size = _Size(largest, _times(largest, grown))
    else:
        return _UNKNOWN
    return _Bound(size, share.get(known.relative, np.inf))
