"""What else knows the indices of an axis: bounds, outputs, and readings at other axes."""

from __future__ import annotations

from cortico.ir.circuit import Circuit
from cortico.ir.domain import bound_axes
from cortico.ir.rewrite import domains_of


def bounded_axes(circuit: Circuit) -> set[str]:
    """The axes that some domain bounds."""
    return {axis for domain in domains_of(circuit) for axis in bound_axes(domain)}


def moved_axes(circuit: Circuit) -> set[str]:
    """The axes of populations that are read at others, and these: they have the same indices."""
    moved = (pair for p in circuit.projections for pair in circuit.moved_axes(p))
    return {axis for pair in moved for axis in pair}


def output_axes(circuit: Circuit) -> set[str]:
    """The axes of the outputs."""
    return {axis for output in circuit.outputs for axis in output.source.axes}
