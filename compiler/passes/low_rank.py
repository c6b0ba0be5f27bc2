"""low-rank: fewer key and value features per head."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from cortico.ir import (
    Axis,
    Circuit,
    Effect,
    Parameter,
    Population,
    Projection,
    Role,
)
from cortico.ir.analysis.axes import bounded_axes, moved_axes, output_axes
from cortico.ir.analysis.constants import values_of
from cortico.ir.analysis.readers import is_read_once
from cortico.ir.options import BELOW_ONE, number
from cortico.ir.rewrite import map_parameters, with_extent
from cortico.passes.base import Pass

Labels = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class LowRank(Pass):
    """Cut an axis that only contracts two tensors to the rank that their product needs.

        M_h = W_Q[h]ᵀ W_K[h]  (or W_O[h] W_V[h])  = U σ Vᵀ   ->   M'_h = Σ_(k ≤ rank) U_k σ_k V_kᵀ
        ‖M'_h - M_h‖₂ = σ_(rank+1) ≤ tolerance · ‖M_h‖₂

    The rank is the smallest that serves all heads. The bound is on spectral norms, so that a second
    run finds nothing to cut. An axis is left alone when its features meet anything that knows them
    apart: a bias (`drop-softmax-shift` and `move-value-bias` remove those that have no effect), a
    rotation, a norm, a nonlinear cell, a bound, an output; or when a tensor has no values or is read
    twice. Gains such as size(a)^-1/2 keep their value.
    """

    tolerance: Annotated[float, number(0, BELOW_ONE, "at least 0 and below 1")] = 0.01

    name = "low-rank"
    exact = False
    after = ("drop-softmax-shift", "move-value-bias")

    def run(self, circuit: Circuit) -> Circuit:
        for axis in circuit.axes:
            pair = _contracted(circuit, axis)
            if pair is not None:
                circuit = _cut(circuit, axis, pair, self.tolerance)
        return circuit

    def error_bound(self, before: Circuit, after: Circuit) -> float:
        """The largest relative change ‖M' - M‖₂ / ‖M‖₂ of the product of two tensors of a head."""
        changes = [0.0]
        for axis in before.axes:
            pair = _contracted(before, axis)
            if pair is not None:
                left, right = _matrices(before, axis, pair)
                new_left, new_right = _matrices(after, axis, pair)
                change = np.concatenate([left, new_left], 1), np.concatenate([right, -new_right], 1)
                size, difference = _spectrum(left, right)[1], _spectrum(*change)[1]
                norms = zip(difference.max(-1), size.max(-1), strict=True)
                changes += [float(d / s) for d, s in norms if s > 0]
        return max(changes)


# ---- which axes -------------------------------------------------------------------------------------


class _NotContractedError(Exception):
    """Something knows the features of the axis apart."""


def _contracted(circuit: Circuit, axis: Axis) -> tuple[Projection, Projection] | None:
    """The two projections whose tensors the circuit reads only through their product over `axis`."""
    pair = [p for p in circuit.projections if axis.name in p.weight.axes]
    feature = axis.role is Role.FEATURE and isinstance(axis.extent, int) and not axis.in_time
    moved = moved_axes(circuit)
    if not feature or axis.name in bounded_axes(circuit) | output_axes(circuit) | moved:
        return None
    if len(pair) != 2 or not all(_is_own(circuit, p) for p in pair):
        return None
    try:
        labels = _labels(circuit, axis.name, [p.name for p in pair])
        _require_contraction(circuit, axis.name, pair, labels)
    except _NotContractedError:
        return None
    shared = set(pair[0].weight.axes) & set(pair[1].weight.axes) - {axis.name}
    carriers = [set(circuit.population(name).axes) for name, label in labels.items() if label]
    mixed = [a for a in shared if len({a in axes for axes in carriers}) > 1]
    mixed += shared & moved
    return None if mixed else (pair[0], pair[1])


def _is_own(circuit: Circuit, projection: Projection) -> bool:
    """Whether the weight of a projection has values and nothing else reads it."""
    assert projection.weight.tensor
    name = projection.weight.tensor.name
    return values_of(circuit, name) is not None and is_read_once(circuit, name)


def _labels(circuit: Circuit, axis: str, pair: list[str]) -> Labels:
    """Population over `axis` to the names of those of `pair` in which its rates are linear there."""
    labels: Labels = {}
    for population in circuit.order:
        if axis in population.axes:
            labels[population.name] = _label(circuit, population, axis, pair, labels)
    return labels


def _label(
    circuit: Circuit, population: Population, axis: str, pair: list[str], labels: Labels
) -> tuple[str, ...]:
    found: list[str] = []
    for c in population.compartments:
        terms: set[tuple[str, ...]] = {()} if c.drive else set()
        if any(axis in weight.axes for weight in c.drive):
            raise _NotContractedError
        for p in circuit.projections_onto(population.name, c.name):
            if p.name in pair and p.pre in labels:
                raise _NotContractedError  # a weight per feature
            terms.add((p.name,) if p.name in pair else labels.get(p.pre, ()))
        if len(terms) != 1 or (any(terms) and c.effect is Effect.DIVIDES):
            raise _NotContractedError
        found += terms.pop()
    if len(set(found)) < len(found) or (found and population.transfer != "identity"):
        raise _NotContractedError
    return tuple(sorted(found))


def _require_contraction(
    circuit: Circuit, axis: str, pair: list[Projection], labels: Labels
) -> None:
    """All that leaves the axis is the product of both tensors, summed over it."""
    both = tuple(sorted(p.name for p in pair))
    for p in circuit.projections:
        if p.pre in labels and axis not in circuit.population(p.post).axes:
            leaving = (p.name,) if p in pair else ()
            if tuple(sorted((*labels[p.pre], *leaving))) != both:
                raise _NotContractedError


# ---- the cut ------------------------------------------------------------------------------------------


def _cut(
    circuit: Circuit, axis: Axis, pair: tuple[Projection, Projection], tolerance: float
) -> Circuit:
    left, right = _matrices(circuit, axis, pair)
    factors, sigma = _spectrum(left, right)
    rank = max(1, int((sigma > tolerance * sigma[:, :1]).sum(-1).max()))
    assert isinstance(axis.extent, int)
    if rank >= axis.extent:
        return circuit
    root = np.sqrt(sigma[:, :rank, None])
    new = {}
    for p, factor in zip(pair, factors, strict=True):
        assert p.weight.tensor
        cut = root * factor[:, :, :rank].swapaxes(1, 2)
        new[p.weight.tensor.name] = _restored(circuit, axis, pair, p, cut)
    circuit = map_parameters(circuit, lambda p: new.get(p.name, p))
    return with_extent(circuit, axis.name, rank)


def _spectrum(
    left: np.ndarray, right: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Singular vectors (columns) and values of leftᵀ right per head; never larger than the axis."""
    (q_left, r_left), (q_right, r_right) = (np.linalg.qr(m.swapaxes(1, 2)) for m in (left, right))
    u, sigma, vt = np.linalg.svd(r_left @ r_right.swapaxes(1, 2), full_matrices=False)
    return (q_left @ u, q_right @ vt.swapaxes(1, 2)), sigma


def _order(
    axis: Axis, pair: tuple[Projection, Projection], one: Projection, circuit: Circuit
) -> list[int]:
    """The sides of a tensor: heads that both tensors share first, then the axis, then the rest."""
    axes = one.weight.axes
    heads = [a for a in pair[0].weight.axes if a in _heads(circuit, axis, pair)]
    rest = [a for a in axes if a not in heads and a != axis.name]
    return [axes.index(a) for a in (*heads, axis.name, *rest)]


def _heads(circuit: Circuit, axis: Axis, pair: tuple[Projection, Projection]) -> set[str]:
    """Axes on which the tensors are matched: both have them, and the populations between them."""
    shared = set(pair[0].weight.axes) & set(pair[1].weight.axes) - {axis.name}
    between = [p for p in circuit.populations if axis.name in p.axes]
    labelled = _labels(circuit, axis.name, [p.name for p in pair])
    return {a for a in shared if all(a in p.axes for p in between if labelled[p.name])}


def _matrices(
    circuit: Circuit, axis: Axis, pair: tuple[Projection, Projection]
) -> Iterator[np.ndarray]:
    """Both tensors as arrays (heads, axis, rest) of float64."""
    for p in pair:
        values = _values(circuit, p).astype(np.float64)
        ordered = values.transpose(_order(axis, pair, p, circuit))
        heads = len(_heads(circuit, axis, pair))
        yield ordered.reshape(int(np.prod(ordered.shape[:heads])), ordered.shape[heads], -1)


def _values(circuit: Circuit, projection: Projection) -> np.ndarray:
    assert projection.weight.tensor
    values = values_of(circuit, projection.weight.tensor.name)
    assert values is not None
    return values


def _restored(
    circuit: Circuit,
    axis: Axis,
    pair: tuple[Projection, Projection],
    one: Projection,
    cut: np.ndarray,
) -> Parameter:
    """The parameter with the array (heads, rank, rest) in the order of its own sides."""
    assert one.weight.tensor
    old, order = _values(circuit, one), _order(axis, pair, one, circuit)
    sides = [cut.shape[1] if one.weight.axes[k] == axis.name else old.shape[k] for k in order]
    values = cut.reshape(sides).transpose(np.argsort(order)).astype(old.dtype)
    return Parameter(one.weight.tensor.name, values.shape, values)
