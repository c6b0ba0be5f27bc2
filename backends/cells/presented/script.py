"""Scripts that make a network cell by cell and present tokens one after another: NEURON, NEST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cortico.backends.cells.presented.coder import TimeCoder
from cortico.backends.cells.presented.depth import depth
from cortico.backends.cells.presented.schedule import schedule, time_axes
from cortico.backends.cells.roles import role_of
from cortico.backends.cells.statements import (
    bind,
    called,
    function,
    option_lines,
    parameters,
    put_together,
    range_check,
    weights_option,
)
from cortico.ir import Circuit, Output, Population, Projection
from cortico.ir.domain import restrict
from cortico.ir.rewrite import longest_chain

if TYPE_CHECKING:
    from cortico.backends.cells.backend import CellBackend

#: What scripts of all simulators have for tokens that come one after another.
_COURSE = "cortico.backends.cells.presented.template"


def emit_script_of_tokens(circuit: Circuit, engine: CellBackend[Any]) -> str:
    """A standalone script for `circuit`, which has axes in time."""
    assert engine.template_of_tokens is not None, "the backend refuses such a circuit"
    coder = TimeCoder.of(circuit, plan=schedule(circuit))

    def units(population: Population) -> int:
        return engine.units(population) + engine.memory_units * any(_stores(coder, population))

    chain = longest_chain(circuit, units)
    own = [engine.values(circuit), _simulate(coder, engine)]
    flags = weights_option(circuit) + engine.flags()
    flags += option_lines(engine.Options, engine.arguments_of_tokens())
    templates = (engine.template, engine.template_of_tokens, _COURSE)
    return put_together(coder, templates, own, flags, engine.physiology, chain=chain)


def _simulate(coder: TimeCoder, engine: CellBackend[Any]) -> str:
    circuit = coder.circuit
    body = [
        '"""Make the network for one example and present its tokens; returns the outputs by name."""',
        *bind(coder),
        "",
        *coder.presentations(),
        *_network(coder, engine),
        "",
    ]
    for population in circuit.order:
        body += [*_population(coder, engine, population)]
        for projection in circuit.projections_onto(population.name):
            body += called("network.connect(", [*_synapses(coder, projection)], ")")
        body.append("")
    body += [
        "rates, there = network.settle_each(sum(passes))",
        *range_check(circuit, lambda name: _of_cells(coder, name), *engine.exponentials),
        "return {",
        *(f'    "{output.name}": {_value(coder, output)},' for output in circuit.outputs),
        "}",
    ]
    given = {**engine.arguments(), **engine.arguments_of_tokens()}
    return function("simulate", parameters(coder, given), body)


def _network(coder: TimeCoder, engine: CellBackend[Any]) -> Iterator[str]:
    """The statement that makes the network, with how many units a signal passes."""
    chains = depth(coder.circuit, coder.plan, engine.units)
    given = [f"{name}={name}" for name in (*engine.arguments(), *engine.arguments_of_tokens())]
    if engine.settles_by_depth:
        given.append(f"chains=({chains.through}, {chains.before_write}, {chains.after_write})")
    yield from called("network = NetworkOfTokens(", given, ")")


def _population(
    coder: TimeCoder, engine: CellBackend[Any], population: Population
) -> Iterator[str]:
    """Statements that make the cells of a population, which may be there at some presentations only."""
    circuit = coder.circuit
    space = [axis for axis in population.axes if not circuit.axis(axis).in_time]
    where = coder.where(restrict(population.domain, space))
    alive = coder.where(b for b in population.domain if time_axes(circuit, (b.left, b.right)))
    arguments = [
        f'"{population.name}"',
        *coder.space_axes(population),
        *engine.cell(coder, population),
        *([f"where={where}"] if where else []),
        *([f"alive={alive}"] if alive else []),
    ]
    stores = dict(_stores(coder, population))
    if stores:
        windows = (f'"{name}": ({first}, {count})' for name, (first, count) in stores.items())
        arguments.append(f"stores={{{', '.join(windows)}}}")
    effects = [compartment.effect for compartment in population.compartments]
    place = f"{population.region.value} [{', '.join(population.axes)}]"
    yield f"# {role_of(population.cell_class, population.transfer, effects, bool(stores))}: {place}"
    yield from called(f"{coder.populations[population.name]} = network.population(", arguments, ")")


def _stores(coder: TimeCoder, population: Population) -> Iterator[tuple[str, tuple[str, str]]]:
    """The compartments that store, and when: all that one stores is stored in one phase of one axis."""
    for projection in coder.circuit.projections_onto(population.name):
        if projection.name in coder.plan.writes:
            yield projection.compartment, coder.written(coder.plan.writes[projection.name])


def _synapses(coder: TimeCoder, projection: Projection) -> Iterator[str]:
    """Arguments of `connect`: both cells at the indices of the grid, compartment, weight, bounds, what is stored.

    A cell that is not there at a presentation is not heard in it.
    """
    circuit = coder.circuit
    for end in (circuit.heard(projection), circuit.population(projection.post)):
        yield f"{coder.populations[end.name]}[{', '.join(coder.space_axes(end)) or '()'}]"
    yield f'"{projection.compartment}"'
    yield coder.weight(projection.weight)
    where = coder.where(coder.in_one_token(circuit.synapse_domain(projection)))
    if where:
        yield f"where={where}"
    if projection.name in coder.plan.writes:
        yield "stored=True"


def _sampled(coder: TimeCoder, population: str) -> str:
    """Arguments of `sampled`: the numbers of a population's cells, and the presentations that count."""
    return ", ".join((coder.populations[population], *coder.when(population)))


def _of_cells(coder: TimeCoder, population: str) -> str:
    """Code for the rates of the cells of a population that are there, one after another."""
    return f"rates_there(rates, there, {_sampled(coder, population)})"


def _value(coder: TimeCoder, output: Output) -> str:
    """Code for the array of an output, its axes in the order asked for."""
    name, circuit = output.source.name, coder.circuit
    population = circuit.population(name)
    time = time_axes(circuit, population.axes)
    axes = (*time, *(axis for axis in population.axes if axis not in time))
    rates = f"sampled(rates, {_sampled(coder, name)})" + "[0]" * (not time)
    order = tuple(axes.index(axis) for axis in output.source.axes)
    return rates if order == tuple(range(len(order))) else f"{rates}.transpose{order}"
