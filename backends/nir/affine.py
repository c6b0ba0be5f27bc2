"""Which circuits are an affine map of each token, and what stands in the way of the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cortico.ir import (
    Circuit,
    Compartment,
    Effect,
    Parameter,
    Population,
    Role,
    TensorRef,
    Unfold,
    Weight,
)
from cortico.ir.analysis.axes import bounded_axes, output_axes
from cortico.ir.analysis.constants import constant_populations
from cortico.ir.rewrite import map_axes, readings, weights_of, weights_onto

#: Streams that reach a population: the inputs as they are read, such as `x[i, m]`.
Streams = dict[str, frozenset[str]]


def one_step(circuit: Circuit) -> Circuit:
    """The circuit for one token of its streams: axes that a graph runs along have a single index."""
    presented = presented_axes(circuit)
    if not presented:
        return circuit
    step = map_axes(
        circuit,
        lambda a: replace(a, extent=1, unfold=Unfold.SPACE) if a.name in presented else a,
    )
    shapes = {r.name: tuple(step.axis(a).extent for a in r.axes) for r in _readings(circuit)}
    inputs = tuple(replace(t, shape=shapes.get(t.name, t.shape)) for t in circuit.inputs)
    return replace(step, inputs=inputs)


def presented_axes(circuit: Circuit) -> frozenset[str]:
    """Axes of tokens along which all cells do the same, each token by itself."""
    streams = streams_of(circuit)
    tokens = (a.name for a in circuit.axes if a.role is Role.COLUMN or a.in_time)
    return frozenset(axis for axis in tokens if _is_presented(circuit, axis, streams))


def _is_presented(circuit: Circuit, axis: str, streams: Streams) -> bool:
    reached = (p for p in circuit.populations if streams[p.name])
    weights = list(weights_of(circuit))
    stored = (w for w in weights if not _is_input(circuit, w))
    return (
        all(axis in population.axes for population in reached)
        and all(axis in reading.axes for reading in _readings(circuit))
        and len({(r.name, r.axes.index(axis)) for r in _readings(circuit) if axis in r.axes})
        == len({r.name for r in _readings(circuit)})
        and not any(axis in weight.axes for weight in stored)
        and not any(axis == name for weight in weights for name, _ in weight.gain.sizes)
        and axis not in bounded_axes(circuit)
        and not any(axis in circuit.summed_axes(p) for p in circuit.projections)
        and not any(axis in pair for p in circuit.projections for pair in circuit.moved_axes(p))
    )


def streams_of(circuit: Circuit) -> Streams:
    """Population name to the readings of inputs that reach it."""
    found: Streams = {}
    for population in circuit.order:
        parts = (_streams_onto(circuit, population, c, found) for c in population.compartments)
        found[population.name] = frozenset().union(*parts)
    return found


def _streams_onto(
    circuit: Circuit, population: Population, compartment: Compartment, found: Streams
) -> frozenset[str]:
    weights = weights_onto(circuit, population, compartment.name)
    own = frozenset(str(weight.tensor) for weight in weights if _is_input(circuit, weight))
    hears = circuit.projections_onto(population.name, compartment.name)
    return own.union(*(found[projection.pre] for projection in hears))


def stream_compartment(circuit: Circuit, population: Population, streams: Streams) -> str | None:
    """The compartment of a population that streams reach, of which there is at most one."""
    for compartment in population.compartments:
        if _streams_onto(circuit, population, compartment, streams):
            return compartment.name
    return None


# ---- what stands in the way ------------------------------------------------------------------------


def obstacles(circuit: Circuit, limit: int) -> Iterator[str]:
    """A line for everything that no NIR graph expresses."""
    streams = streams_of(circuit)
    cells = [line for p in circuit.populations for line in _cell_obstacles(circuit, p, streams)]
    yield from cells
    for projection in circuit.projections:
        if _is_input(circuit, projection.weight):
            yield f"projection {projection.name!r} has the input {projection.weight.tensor} as its weight"
    for parameter in circuit.parameters:
        if parameter.values is None and parameter.formula is None:
            yield f"parameter {parameter.name!r} has no numbers (compile with --weights)"
    for output in circuit.outputs:
        if not streams[output.source.name]:
            yield f"output {output.name!r} depends on no input"
    step = one_step(circuit)
    yield from _axes_in_time(step)
    if not cells:  # else it is not known yet what comes token by token
        yield from _symbols(step)
    if not step.symbols:
        yield from _large(step, limit)


def _cell_obstacles(circuit: Circuit, population: Population, streams: Streams) -> Iterator[str]:
    reached = {
        c: found
        for c in population.compartments
        if (found := _streams_onto(circuit, population, c, streams))
    }
    factors = [found for c, found in reached.items() if c.effect is Effect.MULTIPLIES]
    divisors = [found for c, found in reached.items() if c.effect is Effect.DIVIDES]
    where = f"population {population.name!r}"
    if len(factors) > 1:
        yield f"{where} multiplies streams: {' by '.join(map(_listed, factors))}{_advice(circuit, factors)}"
    for found in divisors:
        yield f"{where} divides by a stream: {_listed(found)}"
    if reached and population.transfer != "identity":
        yield f"{where} has the transfer function {population.transfer} of a stream: {_listed(streams[population.name])}"


def _listed(streams: frozenset[str]) -> str:
    return " and ".join(sorted(streams))


def _advice(circuit: Circuit, factors: list[frozenset[str]]) -> str:
    """Which streams to hold: those without the tokens of an output."""
    tokens = {a for a in output_axes(circuit) if circuit.axis(a).role is Role.COLUMN}
    free = {str(reading) for reading in _readings(circuit) if tokens & {*reading.axes}}
    held = sorted(frozenset().union(*factors) - free)
    return f"; freeze {' and '.join(held)}" if held else ""


def _axes_in_time(step: Circuit) -> Iterator[str]:
    for axis in step.axes:
        users = [p.name for p in step.populations if axis.name in p.axes]
        if axis.in_time and users:
            yield f"axis {axis.name!r} is in time, and {users[0]!r} is no map of one step to another"


def _symbols(step: Circuit) -> Iterator[str]:
    for axis in step.axes:
        if isinstance(axis.extent, str) and not axis.in_time:
            yield (
                f"axis {axis.name!r} has the size {axis.extent}, a symbol, and is no stream of tokens "
                f"that are treated alike (compile with --tokens)"
            )


def _large(step: Circuit, limit: int) -> Iterator[str]:
    neurons = step.counts().neurons_of
    known = constant_populations(step)
    total = sum(
        int(neurons[p.pre]) * int(neurons[p.post]) for p in step.projections if p.pre not in known
    )
    if total > limit:
        yield f"its matrices would have {total:,} numbers, more than the option limit, {limit:,}"


# ---- reading a circuit -----------------------------------------------------------------------------


def _is_input(circuit: Circuit, weight: Weight) -> bool:
    tensor = circuit.tensor(weight.tensor.name) if weight.tensor else None
    return tensor is not None and not isinstance(tensor, Parameter)


def _readings(circuit: Circuit) -> list[TensorRef]:
    return [r for r in readings(circuit) if not isinstance(circuit.tensor(r.name), Parameter)]
