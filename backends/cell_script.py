"""Scripts that make a network cell by cell, population after population: NEURON, NEST, ANNarchy.

An engine brings the text of a class `Network`, which the script calls:

    numbers = network.population("deep", h, i, j, c, …)
    network.connect(core_source[j, m], deep[h, i, j, c], "basal", W_V[h, c, m])
    rates = network.settle(…)

`numbers` holds a number for each cell, over the population's axes, and -1 where there is none.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from cortico.backends.brian2.code import Coder
from cortico.backends.brian2.emitter import bind, time_constants
from cortico.backends.brian2.options import Options as NoOptions
from cortico.backends.brian2.roles import role_of
from cortico.backends.brian2.schedule import Schedule
from cortico.backends.brian2.statements import called
from cortico.backends.names import settled
from cortico.backends.script_parts import (
    CHECKED,
    FORMULAS,
    SPLIT,
    command_line,
    option_lines,
    stores_weights,
    tensor_lines,
    two_blank_lines_between_functions,
    weights_reader,
)
from cortico.ir import Circuit, Compartment, Effect, InputKind, Output, Population, Projection, Role
from cortico.ir.options import OptionSet
from cortico.ir.physiology import cell_type

BY_CELL = '''\
def numbered(first, axes, where):
    """Numbers from `first` on for the cells that exist, an array over their axes; and how many do."""
    exists, *indices = np.broadcast_arrays(where, *axes)
    count = np.count_nonzero(exists)
    numbers = np.full([axis.size for axis in axes], -1)
    numbers[tuple(index[exists] for index in indices)] = first + np.arange(count) if axes else first
    return numbers, count


def by_cell(place, count, values):
    """One number per cell, from arrays over the grid."""
    found = np.zeros(count + 1)  # the last one takes what has no cell, place -1
    place, values = np.broadcast_arrays(place, values)
    found[place] = values
    return found[:-1]
'''


@dataclass(frozen=True)
class Engine:
    """The fixed parts of a script for one simulator."""

    header: str  #: with places for title, tensors, json, chain
    constants: Callable[[Circuit], str]  #: below the imports
    main: str  #: with places for command_line, arguments and what else is an option
    options: type[OptionSet]
    network: str  #: the class `Network` and what it needs
    settle: str  #: arguments of `network.settle`, with a place for chain
    cell: Callable[
        [Coder, Population], Iterator[str]
    ]  #: what `network.population` is told of cells
    physiology: bool  #: whether cells have their membrane time constants
    reuses: bool = False  #: whether one network serves all examples of a batch


def emit_cell_script(
    circuit: Circuit, engine: Engine, options: Mapping[str, object], chain: int
) -> str:
    """A standalone script for `circuit`, all of whose axes are in space; `chain` is its longest."""
    coder = Coder.of(circuit, Schedule({}, {}), NoOptions())
    stores = stores_weights(circuit)
    kinds = dict.fromkeys(p.formula.kind for p in circuit.parameters if p.formula)
    inputs = {t.name: (coder.tensors[t.name], len(t.shape)) for t in circuit.inputs}
    defaults = {name: repr(value) for name, value in options.items()}
    parts = [
        engine.header.format(
            title=json.dumps(circuit.name).replace("\\", "\\\\"),
            tensors="\n".join(_lines(circuit, engine)),
            json="import json\n" if stores else "",
            functools="import functools\n" if stores else "",
            chain=chain,
        ),
        engine.constants(circuit),
        weights_reader(circuit),
        _simulate(coder, engine, options, chain),
        engine.main.format(
            command_line=command_line(circuit),
            arguments=option_lines(engine.options, options),
            **defaults,
        ),
        SPLIT.format(inputs=inputs),
        CHECKED,
        engine.network,
        *(FORMULAS[kind] for kind in kinds),
        'if __name__ == "__main__":\n    main()\n',
    ]
    return settled(two_blank_lines_between_functions("\n".join(part for part in parts if part)))


def _lines(circuit: Circuit, engine: Engine) -> Iterator[str]:
    """What the head of a script says of the circuit."""
    yield from tensor_lines(circuit)
    if engine.physiology:
        yield from time_constants(circuit)


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


def _simulate(coder: Coder, engine: Engine, options: Mapping[str, object], chain: int) -> str:
    circuit = coder.circuit
    body = [
        '"""Make the network for one example and let it settle; returns the outputs by name."""',
        *bind(coder),
        "",
        *_grid(coder),
        _network(engine, options),
        "",
    ]
    for population in circuit.order:
        body += [*_population(coder, engine, population), *_synapses(coder, population), ""]
    body += [
        f"rates = network.settle({engine.settle.format(chain=chain)})",
        "return {",
        *(f'    "{o.name}": {_value(coder, o)},' for o in circuit.outputs),
        "}",
    ]
    text = textwrap.indent("\n".join(body), "    ")
    return f"def simulate(\n{_arguments(coder, engine, options)}):\n{text}\n"


def _network(engine: Engine, options: Mapping[str, object]) -> str:
    made = f"Network({', '.join(f'{name}={name}' for name in options)})"
    return f"network = network or {made}" if engine.reuses else f"network = {made}"


def _grid(coder: Coder) -> Iterator[str]:
    """The line that makes the index of each axis an array along a dimension of its own."""
    names = "".join(f"{coder.axes[axis.name]}, " for axis in coder.circuit.axes)
    ranges = ", ".join(f":{coder.size(axis.extent)}" for axis in coder.circuit.axes)
    if names:
        yield f"{names.rstrip()[: -1 if names.count(',') > 1 else None]} = np.ogrid[{ranges},]"


def _arguments(coder: Coder, engine: Engine, options: Mapping[str, object]) -> str:
    circuit, names = coder.circuit, coder.tensors
    rates = [names[t.name] for t in circuit.inputs if t.kind is InputKind.RATE]
    masks = [f"{names[t.name]}=None" for t in circuit.inputs if t.kind is InputKind.MASK]
    weights = "weights=None" if stores_weights(circuit) else "weights"
    chosen = [f"{name}={value!r}" for name, value in options.items()]
    chosen += ["network=None"] * engine.reuses
    return "".join(f"    {part},\n" for part in [*rates, "*", *masks, weights, *chosen])


def _population(coder: Coder, engine: Engine, population: Population) -> Iterator[str]:
    """Statements that make the cells of a population."""
    effects = [compartment.effect for compartment in population.compartments]
    arguments = [
        f'"{population.name}"',
        *([_index(coder, population.axes)] * bool(population.axes)),
        *engine.cell(coder, population),
    ]
    where = coder.where(population.domain)
    arguments += [f"where={where}"] * bool(where)
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
        yield f"area=[{_index(coder, areas)}]"
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
        yield f"{coder.populations[end.name]}[{_index(coder, end.axes) or '()'}]"
    yield f'"{projection.compartment}"'
    yield coder.weight(projection.weight)
    if projection.domain:
        yield f"where={coder.where(projection.domain)}"


def _index(coder: Coder, axes: tuple[str, ...] | list[str]) -> str:
    return ", ".join(coder.axes[axis] for axis in axes)


def _value(coder: Coder, output: Output) -> str:
    """Code for the array of an output, its axes in the order asked for."""
    axes = coder.circuit.population(output.source.name).axes
    order = tuple(axes.index(axis) for axis in output.source.axes)
    rates = f"rates[{coder.populations[output.source.name]}]"
    return rates if order == tuple(range(len(order))) else f"{rates}.transpose{order}"
