"""Text of the emitted script: inputs, cells, synapses, and what the network settles to."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

from cortico.backends.brian2 import template
from cortico.backends.brian2.cell_groups import CellGroup, cell_groups
from cortico.backends.brian2.code import Coder
from cortico.backends.brian2.depth import depth
from cortico.backends.brian2.fast import currents
from cortico.backends.brian2.options import Options
from cortico.backends.brian2.results import finish
from cortico.backends.brian2.schedule import schedule, time_axes
from cortico.backends.brian2.spiking import SPIKING, SPIKING_NAMES
from cortico.backends.brian2.statements import cells, synapses
from cortico.backends.names import settled
from cortico.backends.script_parts import (
    CHECKED,
    FORMULAS,
    SPLIT,
    command_line,
    option_lines,
    sides_code,
    stores_weights,
    tensor_lines,
    two_blank_lines_between_functions,
    weights_reader,
)
from cortico.ir import Circuit, Input, InputKind, Parameter
from cortico.ir.physiology import cell_type


def emit_script(circuit: Circuit, options: Options) -> str:
    """A standalone Python script that imports brian2 and numpy and runs `circuit`."""
    coder = Coder.of(circuit, schedule(circuit), options)
    spiking = coder.spiking
    kinds = dict.fromkeys(p.formula.kind for p in circuit.parameters if p.formula)
    parts = [
        _header(circuit, spiking),
        weights_reader(circuit),
        _simulate(coder, options),
        _main(coder, options),
        CHECKED,
        template.CELLS,
        template.CONNECT,
        template.SETTLING_STEPS,
        template.IN_TIME if coder.in_time else template.IN_SPACE,
        template.START,
        SPIKING if spiking else "",
        template.RECORD,
        *(FORMULAS[kind] for kind in kinds),
        'if __name__ == "__main__":\n    main()\n',
    ]
    return settled(two_blank_lines_between_functions("\n".join(part for part in parts if part)))


def _header(circuit: Circuit, spiking: bool) -> str:
    return template.HEADER.format(
        title=json.dumps(circuit.name).replace("\\", "\\\\"),
        tensors="\n".join([*tensor_lines(circuit), *time_constants(circuit)]),
        json="import json\n" if stores_weights(circuit) else "",
        spiking_names=SPIKING_NAMES if spiking else "",
    )


def time_constants(circuit: Circuit) -> Iterator[str]:
    """Lines that say where the membrane time constants are from."""
    yield "Membrane time constants:"
    for region, kind in sorted({(p.region, p.cell_class) for p in circuit.populations}):
        time = cell_type(region, kind).membrane_time
        yield f"    {time.value:g} ms for {kind.value} in {region.value}: {time.source}"


def _simulate(coder: Coder, options: Options) -> str:
    """The function that builds the network, runs it and reads its outputs."""
    circuit = coder.circuit
    groups = cell_groups(circuit, coder.plan, coder.names)
    body = [*bind(coder), "", *_grid(coder), "", *_start(coder), ""]
    for group in groups:
        body += [*cells(coder, group), ""]
    body += [*_wiring(coder, groups), ""]
    body += finish(coder, groups)
    lasting = template.TOKEN_BY_TOKEN if coder.in_time else template.UNTIL_SETTLED
    lines = [template.SIMULATE_DOC.format(lasting=lasting), *body]
    text = textwrap.indent("\n".join(lines), "    ")
    return f"def simulate(\n{_arguments(coder, options)}):\n{text}\n"


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


def _arguments(coder: Coder, options: Options) -> str:
    circuit, names = coder.circuit, coder.tensors
    rates = [names[t.name] for t in circuit.inputs if t.kind is InputKind.RATE]
    masks = [f"{names[t.name]}=None" for t in circuit.inputs if t.kind is InputKind.MASK]
    weights = "weights=None" if stores_weights(circuit) else "weights"
    chosen = [f"{name}={value!r}" for name, value in options.of_script(coder.in_time).items()]
    arguments = [*rates, "*", *masks, weights, *chosen, "monitor=()"]
    return "".join(f"    {argument},\n" for argument in arguments)


# ---- inputs, weights, sizes ------------------------------------------------------------------------


def bind(coder: Coder) -> Iterator[str]:
    """Lines that check inputs and weights and name the sizes."""
    circuit = coder.circuit
    yield "sizes = {}"
    for tensor in sorted(circuit.inputs, key=lambda t: t.kind is InputKind.MASK):
        yield from _checked_input(coder, tensor)
    if stores_weights(circuit):
        yield "weights = load_weights() if weights is None else weights"
    for parameter in circuit.parameters:
        if parameter.formula is None:
            name, shape = coder.tensors[parameter.name], json.dumps(parameter.shape)
            yield f'{name} = checked("{parameter.name}", weights["{parameter.name}"], {shape}, sizes)'
    for parameter in circuit.parameters:
        if parameter.formula is not None:
            yield _formula(coder, parameter)
    for symbol, name in coder.symbols.items():
        yield f'{name} = sizes["{symbol}"]'


def _checked_input(coder: Coder, tensor: Input) -> Iterator[str]:
    name, shape = coder.tensors[tensor.name], json.dumps(tensor.shape)
    if tensor.kind is InputKind.RATE:
        yield f'{name} = checked("{tensor.name}", {name}, {shape}, sizes)'
        return
    sides = sides_code(tensor.shape)
    yield f"if {name} is None:"
    yield f"    {name} = np.ones([{sides}])"
    yield f'{name} = 1.0 * (checked("{tensor.name}", {name}, {shape}, sizes) != 0)'


def _formula(coder: Coder, parameter: Parameter) -> str:
    assert parameter.formula is not None
    arguments = ", ".join(coder.tensors[name] for name in parameter.formula.arguments)
    shape = sides_code(parameter.shape)
    return f"{coder.tensors[parameter.name]} = {parameter.formula.kind}([{shape}], {arguments})"


# ---- indices and presentations -----------------------------------------------------------------------


def _grid(coder: Coder) -> Iterator[str]:
    """Lines that make the index of each axis an array along a dimension of its own."""
    space = [axis for axis in coder.circuit.axes if not axis.in_time]
    names = [coder.axes[axis.name] for axis in space]
    ranges = [f":{coder.size(axis.extent)}" for axis in space]
    if coder.in_time:  # the first dimension is the presentation
        names, ranges = ["_", *names], [":1", *ranges]
    yield f"{', '.join(names)}{',' * (len(names) == 1)} = np.ogrid[{', '.join(ranges)},]"
    if coder.in_time:
        yield "# Tokens come one after another. These axes hold the token at each presentation."
        yield f"passes = [{', '.join(_longest(coder, phase) for phase in coder.plan.phases)}]"
    for axis in coder.circuit.axes:
        if axis.in_time:
            yield f"{coder.axes[axis.name]} = presented({coder.size(axis.extent)}, passes, {len(space)})"


def _longest(coder: Coder, phase: int) -> str:
    """The number of presentations in a phase: the most tokens that any of its populations has."""
    circuit = coder.circuit
    axes = [
        axis
        for population in circuit.populations
        if coder.plan.phase_of[population.name] == phase
        for axis in time_axes(circuit, population.axes)
    ]
    sizes = list(dict.fromkeys(coder.size(circuit.axis(axis).extent) for axis in axes))
    return f"max({', '.join(sizes)})" if len(sizes) > 1 else "".join(sizes) or "1"


def _start(coder: Coder) -> Iterator[str]:
    """Lines that choose target and step, and how long settling takes."""
    yield from prepared(coder.circuit)
    if coder.in_time:
        found = depth(coder.circuit, coder.plan)
        chains = f"{found.through}, {found.before_write}, {found.after_write}"
        yield f"timing = Timing(dt, part, tolerance, {chains})"


def prepared(circuit: Circuit) -> Iterator[str]:
    """Lines that choose target and step, and say what part of its way the slowest cell moves in one."""
    times = [cell_type(p.region, p.cell_class).membrane_time.value for p in circuit.populations]
    yield "prepare(target, dt)"
    yield f"slowest = {max(times)} if tau is None else tau"
    yield 'part = dt / slowest if method == "euler" else 1 - np.exp(-dt / slowest)  # moved in a step'


def _main(coder: Coder, options: Options) -> str:
    circuit = coder.circuit
    return (template.MAIN + "\n\n" + SPLIT).format(
        inputs={t.name: (coder.tensors[t.name], len(t.shape)) for t in circuit.inputs},
        command_line=command_line(circuit),
        target=repr(options.target),
        targets=coder.options.targets,
        method=repr(options.method),
        arguments=option_lines(Options, options.of_script(coder.in_time)),
    )
