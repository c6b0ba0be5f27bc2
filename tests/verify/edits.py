"""Edits of circuits, by the names of their parts. For circuits that are wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from cortico.ir import (
    Bound,
    Circuit,
    Compartment,
    Effect,
    Gain,
    Projection,
    TensorRef,
    Weight,
)
from cortico.ir.rewrite import map_compartment, map_populations, replace_projections

#: A circuit in, another one out.
Edit = Callable[[Circuit], Circuit]


def synapses(name: str, **changes: object) -> Edit:
    """Another projection of that name."""

    def edit(circuit: Circuit) -> Circuit:
        (old,) = (p for p in circuit.projections if p.name == name)
        return replace_projections(circuit, [old], [replace(old, **changes)])

    return edit


def weight(name: str, *axes: str, tensor: str | None = None) -> Edit:
    """Synapses whose weight is read at other axes, or another tensor is."""

    def edit(circuit: Circuit) -> Circuit:
        (old,) = (p.weight for p in circuit.projections if p.name == name)
        new = TensorRef(tensor or old.tensor.name, axes or old.tensor.axes)
        return synapses(name, weight=replace(old, tensor=new))(circuit)

    return edit


def gain(name: str, coefficient: float = 1.0, **sizes: Fraction) -> Edit:
    """Synapses with another gain; their tensor stays."""

    def edit(circuit: Circuit) -> Circuit:
        (old,) = (p.weight for p in circuit.projections if p.name == name)
        new = Gain(coefficient, tuple(sizes.items()))
        return synapses(name, weight=replace(old, gain=new))(circuit)

    return edit


def without(name: str) -> Edit:
    """A circuit without these synapses."""
    return lambda circuit: replace_projections(
        circuit, [p for p in circuit.projections if p.name == name], []
    )


def added(name: str, pre: str, post: str, compartment: str, weight: Weight = Weight()) -> Edit:
    """A circuit with more synapses."""
    more = Projection(name, pre, post, compartment, weight)
    return lambda circuit: replace(circuit, projections=(*circuit.projections, more))


def twice(name: str) -> Edit:
    """The same synapses once more."""

    def edit(circuit: Circuit) -> Circuit:
        (old,) = (p for p in circuit.projections if p.name == name)
        return replace_projections(circuit, [old], [old, replace(old, name=f"{name}_again")])

    return edit


def cells(name: str, **changes: object) -> Edit:
    """Another population of that name."""
    return lambda circuit: map_populations(
        circuit, lambda p: replace(p, **changes) if p.name == name else p
    )


def drive(name: str, compartment: str, *weights: Weight) -> Edit:
    """Another drive of a compartment."""
    return lambda circuit: map_compartment(
        circuit, name, compartment, lambda c: replace(c, drive=weights)
    )


def domains(*bounds: Bound) -> Edit:
    """Every population that has a domain has this one."""
    return lambda circuit: map_populations(
        circuit, lambda p: replace(p, domain=bounds) if p.domain else p
    )


def compartments(name: str, change: Callable[[Compartment], Compartment | None]) -> Edit:
    """A population with changed compartments; None leaves one out."""

    def edit(circuit: Circuit) -> Circuit:
        (old,) = (p for p in circuit.populations if p.name == name)
        kept = tuple(c for c in map(change, old.compartments) if c is not None)
        return cells(name, compartments=kept)(circuit)

    return edit


def both(*edits: Edit) -> Edit:
    """One edit after another."""

    def edit(circuit: Circuit) -> Circuit:
        for each in edits:
            circuit = each(circuit)
        return circuit

    return edit


def reads(name: str, *axes: str) -> Weight:
    return Weight(TensorRef(name, axes))


def effect(compartment: str, new: Effect) -> Callable[[Compartment], Compartment]:
    return lambda c: replace(c, effect=new) if c.name == compartment else c
