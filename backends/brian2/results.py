"""Statements that run the network and read its outputs."""

from __future__ import annotations

from collections.abc import Iterator

from cortico.backends.brian2.cell_groups import CellGroup
from cortico.backends.brian2.coder import Coder
from cortico.backends.cells.presented.depth import depth
from cortico.backends.cells.presented.schedule import time_axes
from cortico.backends.cells.recording import recorder
from cortico.backends.cells.statements import range_check
from cortico.ir import Output

#: Lines for holes of the templates, which hand somas to who records their spikes.
WATCHING = {"spikes": "network.recorder.watch(network)\n"}


def finish(coder: Coder, groups: tuple[CellGroup, ...]) -> Iterator[str]:
    """Statements after the last Synapses, up to the return."""
    circuit = coder.circuit
    group_of = {p.name: group.name for group in groups for p in group.populations}
    pathways = [p.name for g in groups for c in g.currents for p in c.pathways]
    yield f"groups = [{', '.join(group.name for group in groups)}]"
    if coder.options.form == "fast":
        yield 'synapses = [NetworkOperation(currents, when="start")]'
    else:
        yield f"synapses = [{', '.join(pathways)}]"
    yield "populations = {"
    for population in circuit.populations:
        pair = f"({group_of[population.name]}, {coder.populations[population.name]})"
        yield f'    "{population.name}": {pair},'
    yield "}"
    yield "monitors = record(populations, monitor)"
    record = [*recorder(coder, coder.options, "network, populations")]
    outputs = dict.fromkeys(output.source.name for output in circuit.outputs)
    if coder.in_time:
        yield "pace(groups, timing, prospective, anew=token_ms is None)"
        yield f"ends = {{name: timing.sample(*populations[name]) for name in {list(outputs)}}}"
        yield "network = Network(groups, synapses, list(monitors.values()), list(ends.values()))"
        yield from record
        yield "start(network, target, (sum(passes) * timing.steps + 1) * dt)"
    else:
        chain = depth(circuit, coder.plan).through
        yield "network = Network(groups, synapses, list(monitors.values()))"
        yield from record
        lasting = "None" if coder.spiking else "duration"
        given = ["network", "populations", "target", "dt", "part", f"{chain}", "tolerance", lasting]
        yield f"settle({', '.join([*given, *['wait'] * bool(coder.before)])})"
        yield from range_check(
            circuit,
            lambda name: f'of_cells(*populations["{name}"])',
            "TINY",
            "np.finfo(float).max",
        )
    if coder.spiking:
        yield "rates = spike("
        yield "    network, groups, populations, neurons, peak, synapse, duration or 1000.0, seed"
        yield ")"
    yield "outputs = {"
    for output in circuit.outputs:
        yield f'    "{output.name}": {_value(coder, output)},'
    yield "}"
    yield from ["outputs |= recorder.arrays()"] * bool(record)
    yield "return outputs, courses(monitors, populations)"


def _value(coder: Coder, output: Output) -> str:
    """Code for the array of an output, its axes in the order asked for."""
    name = output.source.name
    population = coder.circuit.population(name)
    time = time_axes(coder.circuit, population.axes)
    axes = (*time, *(axis for axis in population.axes if axis not in time))
    rates = f'rates_of(*populations["{name}"])'
    if coder.spiking:
        rates = f'rates["{name}"]'
    if coder.in_time:
        first, count = coder.when(name)
        cells = coder.populations[name]
        rates = f'sampled(ends["{name}"], {cells}, {first}, {count})' + "[0]" * (not time)
    if len(axes) == len(time):
        rates += "[..., 0]"  # one cell, which is no axis of the output
    order = tuple(axes.index(axis) for axis in output.source.axes)
    return rates if order == tuple(range(len(order))) else f"{rates}.transpose{order}"
