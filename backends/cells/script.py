"""Scripts that make a network cell by cell, population after population: NEURON, NEST, ANNarchy, Nengo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cortico.backends.cells.coder import Coder
from cortico.backends.cells.recording import recorder
from cortico.backends.cells.roles import role_of
from cortico.backends.cells.start import units_before
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
from cortico.backends.cells.timed import TimedOptions, is_timed, require_delays
from cortico.ir import Circuit, Compartment, DelayUnit, Effect, Output, Population, Projection, Role
from cortico.ir.physiology import cell_type
from cortico.ir.rewrite import longest_chain

if TYPE_CHECKING:
    from cortico.backends.cells.backend import CellBackend

#: What scripts in time may carry beside the template of a simulator.
IN_TIME = (
    "cortico.backends.cells.template_in_time",
    "cortico.backends.recordings.template_in_time",
)


def emit_cell_script(circuit: Circuit, engine: CellBackend[Any]) -> str:
    """A standalone script for `circuit`, all of whose axes are in space."""
    if is_timed(circuit, engine.options):
        return _script_in_time(circuit, engine)
    coder, chain = Coder.of(circuit), longest_chain(circuit, engine.units)
    own = [engine.values(circuit), _simulate(coder, engine, chain)]
    flags = weights_option(circuit) + engine.flags()
    return put_together(
        coder, (engine.template,), own, flags, engine.physiology, engine.hooks(), chain=chain
    )


def _script_in_time(circuit: Circuit, engine: CellBackend[Any]) -> str:
    """The same for a network that runs in time."""
    assert engine.template_in_time is not None, "the backend refuses such a circuit"
    require_delays(circuit, engine.options)
    coder = Coder.of(circuit)
    own = [engine.values(circuit), _new_network(engine), _run_in_time(coder, engine)]
    flags = weights_option(circuit) + engine.flags() + option_lines(TimedOptions, engine.times())
    templates = (engine.template_in_time, *IN_TIME)
    return put_together(coder, templates, own, flags, engine.physiology, engine.hooks())


def axes_in_time(circuit: Circuit) -> Iterator[str]:
    """A line for each axis in time, which these scripts do not have."""
    for axis in circuit.axes:
        if axis.in_time:
            yield f"axis {axis.name!r} is in time"


def normalised_first(circuit: Circuit, population: Population) -> list[Compartment]:
    """Compartments, those first that hear a population which the dividing ones sum: softmax's numerator.

    Such a factor over its divisor is at most one, whatever the range of both.
    """

    def heard(names: set[str]) -> set[str]:
        return {p.pre for name in names for p in circuit.projections_onto(name)}

    def sources(compartment: Compartment) -> set[str]:
        return {p.pre for p in circuit.projections_onto(population.name, compartment.name)}

    divides = [c for c in population.compartments if c.effect is Effect.DIVIDES]
    pooled = heard(set().union(*map(sources, divides)))
    return sorted(population.compartments, key=lambda c: not sources(c) & pooled)


# ---- the function that makes the network -----------------------------------------------------------


def _simulate(coder: Coder, engine: CellBackend[Any], chain: int) -> str:
    circuit = coder.circuit
    body = [
        '"""Make the network for one example and let it settle; returns the outputs by name."""',
        *bind(coder),
        "",
        *coder.grid([axis.name for axis in circuit.axes]),
        _network(engine),
        "",
    ]
    before = units_before(circuit, engine.units) if engine.waits else {}
    for population in circuit.order:
        after = before.get(population.name)
        body += [*_population(coder, engine, population, after), *_synapses(coder, population), ""]
    record = [*recorder(coder, engine.options, "network")]
    body += [
        *record,
        *(engine.started(circuit, max(before.values())) if before else ()),
        f"rates = network.settle({chain if engine.settles_by_depth else ''})",
        *range_check(circuit, lambda name: _of_cells(coder, name), *engine.exponentials),
        "return {",
        *(f'    "{o.name}": {_value(coder, o)},' for o in circuit.outputs),
        *["    **recorder.arrays(),"] * bool(record),
        "}",
    ]
    given = engine.arguments() | ({"network": None} if engine.reuses else {})
    return function("simulate", parameters(coder, given), body)


def _new_network(engine: CellBackend[Any]) -> str:
    names = [*engine.arguments(), *engine.times()]
    made = [*(f"{name}={name}" for name in names), f"prospective={engine.options.prospective}"]
    body = [
        '"""The network, which has no cells yet."""',
        *called("return NetworkInTime(", made, ")"),
    ]
    return function("new_network", "".join(f"    {name},\n" for name in names), body)


def _run_in_time(coder: Coder, engine: CellBackend[Any]) -> str:
    circuit = coder.circuit
    given = {**engine.arguments(), **engine.times()}
    body = [
        '"""Run the network for one example or stimulus; returns the outputs by name, as they are then."""',
        *bind(coder),
        *_delays(coder, engine),
        "",
        *coder.grid([axis.name for axis in circuit.axes]),
        f"network = network or new_network({', '.join(given)})",
        "",
    ]
    for population in circuit.populations:
        body += [*_population(coder, engine, population, None), ""]
    for population in circuit.populations:
        body += _synapses(coder, population)
    record = [*recorder(coder, engine.options, "network")]
    body += [
        *record,
        "rates = network.run()",
        *range_check(circuit, lambda name: _of_cells(coder, name), *engine.exponentials),
        "return {",
        *(f'    "{o.name}": {_value(coder, o)},' for o in circuit.outputs),
        *["    **recorder.arrays(),"] * bool(record),
        "}",
    ]
    return function("simulate", parameters(coder, {**given, "network": None}), body)


def _delays(coder: Coder, engine: CellBackend[Any]) -> Iterator[str]:
    """Lines that say how many steps each delay takes."""
    step = engine.step_ms
    delayed = [(p.name, p.delay) for p in coder.circuit.projections if p.delay]
    if delayed:
        yield "delays = delays_in_steps({  # in ms"
        for name, delay in delayed:
            in_ms = f"{delay.amount:g} * {step}"
            time = in_ms if delay.unit is DelayUnit.STEPS else repr(float(delay.amount))
            yield f'    "{name}": {time},'
        yield f"}}, {step})"


def _of_cells(coder: Coder, population: str) -> str:
    """Code for the rates of a population's cells, one after another."""
    numbers = coder.populations[population]
    return f"rates[{numbers}[{numbers} >= 0]]"


def _network(engine: CellBackend[Any]) -> str:
    made = f"Network({', '.join(f'{name}={name}' for name in engine.arguments())})"
    return f"network = network or {made}" if engine.reuses else f"network = {made}"


def _population(
    coder: Coder, engine: CellBackend[Any], population: Population, after: int | None
) -> Iterator[str]:
    """Statements that make the cells of a population, which may be let go after so many others."""
    effects = [compartment.effect for compartment in population.compartments]
    arguments = [
        f'"{population.name}"',
        *([coder.index(population.axes)] * bool(population.axes)),
        *engine.cell(coder, population),
    ]
    where = coder.where(population.domain)
    arguments += [f"where={where}"] * bool(where)
    if population.integrates:
        pace = population.integrates
        arguments.append(f"integrates=({pace.rate!r}, {pace.start!r})")
    if after is not None:
        arguments.append(engine.onset(coder.circuit, after))
    yield f"# {role_of(population.cell_class, population.transfer, effects)}"
    name = coder.populations[population.name]
    yield from called(f"{name} = network.population(", arguments, ")")


def dendrites(coder: Coder, population: Population) -> Iterator[str]:
    """The transfer function, and what drives compartments that multiply and those that divide."""
    if population.transfer != "identity":
        yield f'transfer="{population.transfer}"'
    for effect, word in ((Effect.MULTIPLIES, "multiply"), (Effect.DIVIDES, "divide")):
        compartments = [
            c for c in normalised_first(coder.circuit, population) if c.effect is effect
        ]
        if compartments:
            drives = (f'"{c.name}": {drive(coder, c)}' for c in compartments)
            yield f"{word}={{{', '.join(drives)}}}"


def area_and_time(coder: Coder, population: Population) -> Iterator[str]:
    """The area of each cell, and the membrane time constant."""
    areas = [a for a in population.axes if coder.circuit.axis(a).role is Role.AREA]
    if areas:
        yield f"area=[{coder.index(areas)}]"
    yield time_constant(population)


def time_constant(population: Population) -> str:
    """The membrane time constant in ms."""
    return f"tau={cell_type(population.region, population.cell_class).membrane_time.value:g}"


def drive(coder: Coder, compartment: Compartment) -> str:
    """`b_V[h, c]`: what drives a compartment from outside."""
    return " + ".join(map(coder.weight, compartment.drive)) or "0.0"


def _synapses(coder: Coder, population: Population) -> Iterator[str]:
    for projection in coder.circuit.projections_onto(population.name):
        yield from called("network.connect(", [*_ends(coder, projection)], ")")


def _ends(coder: Coder, projection: Projection) -> Iterator[str]:
    """Arguments of `connect`: both cells at the indices of the grid, compartment, weight, bounds."""
    for end in (coder.circuit.heard(projection), coder.circuit.population(projection.post)):
        yield f"{coder.populations[end.name]}[{coder.index(end.axes) or '()'}]"
    yield f'"{projection.compartment}"'
    yield coder.weight(projection.weight)
    if projection.domain:
        yield f"where={coder.where(projection.domain)}"
    if projection.delay:
        yield f'delay=delays["{projection.name}"]'


def _value(coder: Coder, output: Output) -> str:
    """Code for the array of an output, its axes in the order asked for."""
    axes = coder.circuit.population(output.source.name).axes
    order = tuple(axes.index(axis) for axis in output.source.axes)
    rates = f"rates[{coder.populations[output.source.name]}]"
    return rates if order == tuple(range(len(order))) else f"{rates}.transpose{order}"
