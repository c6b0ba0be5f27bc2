"""Exact numbers of neurons, synapses and parameters, in closed form.

Cost depends on the number of populations and projections, never on the number of neurons. With
symbolic sizes the counts are polynomials in them; SymPy expressions where a minimum, a maximum or a
case depends on the sizes. `sympy.sympify` makes SymPy expressions of all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from cortico.ir.axes import Extent
from cortico.ir.circuit import Circuit
from cortico.ir.domain import Domain, count_pairs, count_shadow, coupled_axes, restrict
from cortico.ir.polynomial import symbol
from cortico.ir.population import Population, Projection
from cortico.ir.tensors import tied_arrays

#: An integer; when sizes are symbolic a `Polynomial` or a SymPy expression.
Count = Any


class Counts:
    """Neurons per population, synapses per projection, and their totals.

    An axis in time costs no neurons: the same cells are used at every step.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit

    @cached_property
    def neurons_of(self) -> dict[str, Count]:
        """Population name to number of neurons."""
        return {p.name: self._count(p.axes, p.domain) for p in self.circuit.populations}

    @cached_property
    def synapses_of(self) -> dict[str, Count]:
        """Projection name to number of synapses."""
        circuit = self.circuit
        return {
            p.name: self._count(circuit.synapse_axes(p), circuit.synapse_domain(p))
            for p in circuit.projections
        }

    @cached_property
    def neurons(self) -> Count:
        return sum(self.neurons_of.values())

    @cached_property
    def synapses(self) -> Count:
        return sum(self.synapses_of.values())

    @cached_property
    def parameters(self) -> Count:
        """Free numbers: the entries of all parameter tensors that no formula computes; those of one array once."""
        free = [p for p in self.circuit.parameters if p.formula is None]
        tied = tied_arrays({p.name: p.values for p in free if p.values is not None})
        return sum(_product(_size(side) for side in p.shape) for p in free if p.name not in tied)

    def neurons_in(self, populations: Iterable[Population]) -> Count:
        return sum(self.neurons_of[p.name] for p in populations)

    def synapses_in(self, projections: Iterable[Projection]) -> Count:
        return sum(self.synapses_of[p.name] for p in projections)

    def _count(self, axes: tuple[str, ...], domain: Domain) -> Count:
        groups = coupled_axes(restrict(domain, axes), axes)
        return _product(self._count_group(group, domain) for group in groups)

    def _count_group(self, group: tuple[str, ...], domain: Domain) -> Count:
        extents = [_size(self.circuit.axis(axis).extent) for axis in group]
        in_time = [self.circuit.axis(axis).in_time for axis in group]
        if all(in_time):
            return 1
        if len(group) == 1:
            return extents[0]
        if not any(in_time):
            return count_pairs(domain, *group, *extents)
        clock, cells = (0, 1) if in_time[0] else (1, 0)
        return count_shadow(domain, group[clock], group[cells], extents[clock], extents[cells])


def _size(extent: Extent) -> Count:
    return extent if isinstance(extent, int) else symbol(extent)


def _product(factors: Iterable[Count]) -> Count:
    return math.prod(factors)
