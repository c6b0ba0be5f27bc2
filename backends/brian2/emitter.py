"""Text of the emitted script: inputs, cells, synapses, and what the network settles to."""

from __future__ import annotations

from collections.abc import Iterator

from cortico.backends.brian2.cell_groups import CellGroup, cell_groups
from cortico.backends.brian2.coder import Coder
from cortico.backends.brian2.fast import currents
from cortico.backends.brian2.options import Options
from cortico.backends.brian2.results import WATCHING, finish
from cortico.backends.brian2.statements import cells, synapses
from cortico.backends.cells.presented.depth import depth
from cortico.backends.cells.presented.schedule import schedule
from cortico.backends.cells.start import slowest, units_before
from cortico.backends.cells.statements import (
    bind,
    function,
    option_lines,
    parameters,
    put_together,
    weights_option,
)
from cortico.ir import Circuit

#: What the statements of a network use of Brian2.
IMPORTS = "from brian2 import Network, NetworkOperation, NeuronGroup, Synapses, linked_var, ms\n"

_FOLDER = "cortico.backends.brian2.template"
NETWORK, SPACE, PRESENTED, SPIKING, RECORDING = (
    f"{_FOLDER}.{file}" for file in ("network", "in_space", "presented", "spiking", "recording")
)
COURSE = "cortico.backends.cells.presented.template"

_DOC = '''\
"""Build the network for one example and run it.

Returns the outputs by name, and the course of the populations named in `monitor` (arrays over time
steps and the population's axes) with the times `t_ms`. Times are in ms; `tau` stands for all membrane
time constants. {lasting}
"""'''
_UNTIL_SETTLED = "Without `duration` it runs until no rate moves more than `tolerance`."
_TOKEN_BY_TOKEN = (
    "Each token stays until what it drives is within `tolerance` of rest, or for `token_ms`."
)


def emit_script(circuit: Circuit, options: Options) -> str:
    """A standalone Python script that imports brian2 and numpy and runs `circuit`."""
    in_time = circuit.presents_tokens
    before = {} if in_time else units_before(circuit, lambda population: 1)
    coder = Coder.of(circuit, plan=schedule(circuit), options=options, before=before)
    course = (PRESENTED, COURSE) if coder.in_time else (SPACE,)
    templates = (NETWORK, *course, SPIKING, RECORDING)
    own = [IMPORTS, _simulate(coder, options)]
    hooks = {name: lines * options.records for name, lines in WATCHING.items()}
    return put_together(coder, templates, own, _flags(coder, options), hooks=hooks)


def _flags(coder: Coder, options: Options) -> str:
    """Lines that add options to the `parser` of the command line."""
    return (
        weights_option(coder.circuit)
        + f'parser.add_argument("--target", default={options.target!r}, choices={options.targets})\n'
        + option_lines(Options, options.of_script(coder.in_time))
        + 'parser.add_argument("--monitor", nargs="+", default=[], metavar="POPULATION")\n'
        + 'parser.add_argument("--activity", type=Path, default="activity.npz", '
        + 'help=".npz for what is monitored")\n'
    )


def _simulate(coder: Coder, options: Options) -> str:
    """The function that builds the network, runs it and reads its outputs."""
    circuit = coder.circuit
    groups = cell_groups(circuit, coder.plan, coder.names, waits=bool(coder.before))
    body = [*bind(coder), "", *coder.presentations(), "", *_start(coder), ""]
    for group in groups:
        body += [*cells(coder, group), ""]
    body += [*_wiring(coder, groups), ""]
    body += finish(coder, groups)
    lines = [_DOC.format(lasting=_TOKEN_BY_TOKEN if coder.in_time else _UNTIL_SETTLED), *body]
    given = {**options.of_script(coder.in_time), "monitor": ()}
    return function("simulate", parameters(coder, given), lines)


def _wiring(coder: Coder, groups: tuple[CellGroup, ...]) -> Iterator[str]:
    """A Synapses per pathway, or one function that sets all currents."""
    if coder.options.form == "fast":
        yield from currents(coder, groups)
        return
    for group in groups:
        for current in group.currents:
            for pathway in current.pathways:
                yield from synapses(coder, groups, group, pathway)
                yield ""


# ---- the start ---------------------------------------------------------------------------------------


def _start(coder: Coder) -> Iterator[str]:
    """Lines that choose target and step, and how long settling takes."""
    yield from prepared(coder.circuit)
    if coder.before:
        yield "# Cells are let go one after another, so that no pool divides before it has heard."
        yield "wait = settling_steps(1, part, CLOSE)"
    if coder.in_time:
        found = depth(coder.circuit, coder.plan)
        chains = f"{found.through}, {found.before_write}, {found.after_write}"
        yield "part = 1.0 if prospective else part"
        yield f"course = presentation_course(dt, part, tolerance, {chains}, token_ms)"
        yield "timing = Timing(dt, *course)"


def prepared(circuit: Circuit) -> Iterator[str]:
    """Lines that choose target and step, and say what part of its way the slowest cell moves in one."""
    yield "prepare(target, dt)"
    yield f"slowest = {slowest(circuit)} if tau is None else tau"
    yield 'part = dt / slowest if method == "euler" else 1 - np.exp(-dt / slowest)  # moved in a step'
