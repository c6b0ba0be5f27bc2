"""What else knows the indices of an axis: bounds, outputs, and readings at other axes."""

from __future__ import annotations

from collections.abc import Iterator

from cortico.ir.circuit import Circuit
from cortico.ir.domain import bound_axes
from cortico.ir.rewrite import domains_of


def bounded_axes(circuit: Circuit) -> set[str]:
    """The axes that some domain bounds."""
    return {axis for domain in domains_of(circuit) for axis in bound_axes(domain)}


def moved_axes(circuit: Circuit) -> set[str]:
    """The axes of populations that are read at others, and these: they have the same indices."""
    return {axis for pair in _pairs(circuit) for axis in pair}


def read_alike(circuit: Circuit, axis: str) -> set[str]:
    """An axis, and all whose indices are read as those of it: they have one size."""
    found = {axis}
    while more := {a for pair in _pairs(circuit) if found & {*pair} for a in pair} - found:
        found |= more
    return found


def _pairs(circuit: Circuit) -> Iterator[tuple[str, str]]:
    return (pair for p in circuit.projections for pair in circuit.moved_axes(p))


def output_axes(circuit: Circuit) -> set[str]:
    """The axes of the outputs."""
    return {axis for output in circuit.outputs for axis in output.source.axes}
