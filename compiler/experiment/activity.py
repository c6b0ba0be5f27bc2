"""What a circuit does on one input: the rates of all cells, and the attention that they carry.

A deep cell fires a value times a gate. The gate is what all cells of a microcolumn share: the product of
the currents that do not depend on the cell's own feature, divided by those that divide,

    gate[h, i, j] = Π multiplying I_c / Π dividing I_c,     over compartments c without value features

With softmax it is the attention probability, mask cell over pool; with linear attention the score.

What a simulator recorded in time is a `Recording`, which `read_recording` reads from a folder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cortico.backends.recordings import Recording, read_recording
from cortico.backends.reference import currents, interpret
from cortico.ir import Circuit, Compartment, Effect, Population, Role, SpecError
from cortico.ir.analysis.inputs import Arrays, given_inputs

__all__ = ["Activity", "AttentionMap", "Recording", "observe", "read_recording"]

#: Rates that one input may give; more would not fit into memory.
MOST_RATES = 100_000_000


@dataclass(frozen=True)
class AttentionMap:
    """How much each query token attends to each source token."""

    population: str  #: whose gate this is
    areas: tuple[str, ...]  #: axes of the areas
    query: str  #: axis of the query tokens
    source: str  #: axis of the source tokens
    gate: np.ndarray  #: over areas, query and source


@dataclass(frozen=True, eq=False)
class Activity:
    """A circuit whose sizes are numbers, one example without batch axes, and what it made of it."""

    circuit: Circuit
    inputs: Arrays
    parameters: Arrays | None
    rates: Arrays  #: population to rates (float64) over its axes

    @cached_property
    def attention(self) -> AttentionMap | None:
        """The gate of the first cells that have one for every pair of tokens; None without such."""
        tokens = token_axes(self.circuit)
        if tokens is None:
            return None
        for population in self.circuit.order:
            gates = gate_compartments(self.circuit, population)
            if gates and {*tokens} <= {*population.axes}:
                return self._attention(population, gates, *tokens)
        return None

    def _attention(
        self, population: Population, gates: list[Compartment], query: str, source: str
    ) -> AttentionMap:
        """The gate, read at the first of the features, which all have the same."""
        found = currents(self.circuit, self.rates, population, self.inputs, self.parameters)
        above, below = np.ones(1), np.ones(1)
        for compartment in gates:
            if compartment.effect is Effect.MULTIPLIES:
                above = above * found[compartment.name]
            else:
                below = below * found[compartment.name]
        shape = np.broadcast_shapes(above.shape, below.shape)
        whole = np.divide(above, below, out=np.zeros(shape), where=below != 0)
        areas = tuple(a for a in population.axes if self.circuit.axis(a).role is Role.AREA)
        kept = (*areas, query, source)
        rest = tuple(0 if axis not in kept else slice(None) for axis in population.axes)
        order = [axis for axis in population.axes if axis in kept]
        gate = whole[rest] * self._exists(population)[rest]
        gate = np.transpose(gate, [order.index(axis) for axis in kept])
        return AttentionMap(population.name, areas, query, source, gate)

    def _exists(self, population: Population) -> np.ndarray:
        from cortico.ir.domain import mask

        return mask(population.domain, population.axes, self.circuit.sizes())


def observe(circuit: Circuit, inputs: Arrays, parameters: Arrays | None = None) -> Activity:
    """Run a circuit on one example. SpecError for inputs that do not fit, rates that overflow or are too many."""
    inputs, sizes = given_inputs(circuit, inputs)
    bound = circuit.bind(**{s: n for s, n in sizes.items() if s in circuit.symbols})
    batch = [n for n, array in inputs.items() if array.ndim > len(_shape(bound, n))]
    if batch:
        raise SpecError(f"input {batch[0]!r} has a batch: give one example, without batch axes")
    _require_small(bound)
    with np.errstate(all="ignore"):
        rates = interpret(bound, inputs, parameters)
    wild = [name for name, rate in rates.items() if not np.isfinite(rate).all()]
    if wild:
        raise SpecError(f"rates of {', '.join(wild)} are too large for numbers, or no numbers")
    return Activity(bound, inputs, parameters, rates)


def token_axes(circuit: Circuit) -> tuple[str, str] | None:
    """The axes of query and source tokens: the column of the output, and the other one."""
    columns = [axis.name for axis in circuit.axes if axis.role is Role.COLUMN]
    query = [axis for axis in circuit.outputs[0].source.axes if axis in columns]
    source = [axis for axis in columns if axis not in query]
    return (query[0], source[0]) if len(query) == 1 == len(source) else None


def _require_small(circuit: Circuit) -> None:
    sizes = circuit.sizes()
    rates = sum(math.prod(sizes[axis] for axis in p.axes) for p in circuit.populations)
    if rates > MOST_RATES:
        raise SpecError(
            f"circuit {circuit.name!r} gives {rates:,} rates on this input, at most {MOST_RATES:,} are "
            "computed: give a shorter input"
        )


def gate_compartments(circuit: Circuit, population: Population) -> list[Compartment]:
    """The compartments that all cells of a microcolumn share, where others tell them apart."""
    own = {a for a in population.axes if circuit.axis(a).role is Role.FEATURE}
    shared = [c for c in population.compartments if not own & _dependence(circuit, population, c)]
    return shared if len(shared) < len(population.compartments) else []


def _dependence(circuit: Circuit, population: Population, compartment: Compartment) -> set[str]:
    """The axes of a population along which a current may differ."""
    found = {axis for weight in compartment.drive for axis in weight.axes}
    for projection in circuit.projections_onto(population.name, compartment.name):
        found |= {*projection.weight.axes, *circuit.heard(projection).axes}
    return found


def _shape(circuit: Circuit, name: str) -> tuple[object, ...]:
    return next(tensor.given for tensor in circuit.inputs if tensor.name == name)
