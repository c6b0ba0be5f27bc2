"""Show a circuit: its regions as a tree, its counts as tables, one population or neuron in detail."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cortico.cli.circuits import add_circuit_argument, read_circuit

if TYPE_CHECKING:
    import rich.console
    import rich.tree

    from cortico.ir import Circuit, Population

#: How many synapses of a neuron are listed.
_LISTED = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Circuit, and what of it to show."""
    add_circuit_argument(parser)
    parser.add_argument(
        "--bind", action="append", metavar="n=16", help="give a symbolic size a number; repeatable"
    )
    view = parser.add_mutually_exclusive_group()
    view.add_argument("--population", metavar="NAME", help="equation and synapses of a population")
    view.add_argument(
        "--neuron",
        metavar="NAME",
        help="one neuron, such as 'cortex.area[0].column[1,2].L5.deep[3]'",
    )
    view.add_argument("--text", action="store_true", help="the circuit's text form")


def execute(arguments: argparse.Namespace) -> int:
    """Print what was asked for, by default a tree and the report's tables."""
    from cortico.cli.console import console

    circuit, out = read_circuit(arguments.circuit, arguments.bind), console()
    if arguments.text:
        print(circuit, end="")
    elif arguments.population:
        _show_population(circuit, arguments.population, out)
    elif arguments.neuron:
        _show_neuron(circuit, arguments.neuron, out)
    else:
        _show_circuit(circuit, out)
    return 0


def _show_circuit(circuit: Circuit, out: rich.console.Console) -> None:
    from cortico.cli.console import print_table
    from cortico.report import report_tables

    out.print(_tree(circuit))
    for table in report_tables(circuit):
        print_table(table, out)


def _tree(circuit: Circuit) -> rich.tree.Tree:
    """Thalamus by nucleus, cortex by layer, each population with its equation."""
    from rich.text import Text
    from rich.tree import Tree

    from cortico.ir import Region
    from cortico.report import one_line

    root = Tree(Text(one_line(circuit.name), style="bold"))
    cortex = root.add(f"cortex: {len(circuit.areas)} areas (heads), each with")
    thalamus = root.add("thalamus")
    for region in Region:
        here = [p for p in circuit.populations if p.region is region]
        if here:
            branch = (cortex if region.in_cortex else thalamus).add(region.label)
            for population in here:
                branch.add(Text(equation(circuit, population)))
    return root


def equation(circuit: Circuit, population: Population) -> str:
    """`deep[h, i, j, c] = basal · apical / shunt`, with the transfer function where there is one."""
    from cortico.ir import Effect

    parts: dict[Effect, list[str]] = {effect: [] for effect in Effect}
    for compartment in population.compartments:
        parts[compartment.effect].append(compartment.name)
    text = " · ".join(parts[Effect.MULTIPLIES])
    if parts[Effect.DIVIDES]:
        text += f" / {' / '.join(parts[Effect.DIVIDES])}"
    if population.transfer != "identity":
        text = f"{population.transfer}({text})"
    where = f"  where {', '.join(map(str, population.domain))}" if population.domain else ""
    return f"{population.name}[{', '.join(population.axes)}] = {text}{where}"


def _show_population(circuit: Circuit, name: str, out: rich.console.Console) -> None:
    from cortico.ir import CircuitError, SpecError
    from cortico.report import number

    try:
        population = circuit.population(name)
    except CircuitError as error:
        raise SpecError(str(error)) from None
    counts = circuit.counts()
    out.print(equation(circuit, population), style="bold", markup=False)
    out.print(
        f"{population.region}, {population.cell_class}, {number(counts.neurons_of[name])} neurons"
    )
    for line in _afferents(circuit, population):
        out.print(line, markup=False)
    for projection in circuit.projections_from(name):
        synapses = number(counts.synapses_of[projection.name])
        target = f"{projection.post}.{projection.compartment}"
        out.print(f"  to {target} by {projection.name}: {synapses} synapses", markup=False)
    for output in circuit.outputs:
        if output.source.name == name:
            out.print(f"  read as output {output.name}", markup=False)


def _afferents(circuit: Circuit, population: Population) -> Iterator[str]:
    from cortico.report import number

    counts = circuit.counts()
    for compartment in population.compartments:
        yield f"  {compartment.name} ({compartment.effect})"
        for weight in compartment.drive:
            yield f"    + {weight}"
        for projection in circuit.projections_onto(population.name, compartment.name):
            pre = circuit.population(projection.pre)
            summed = [axis for axis in pre.axes if axis not in population.axes]
            sigma = f"Σ_{{{', '.join(summed)}}} " if summed else ""
            synapses = number(counts.synapses_of[projection.name])
            yield (
                f"    + {sigma}{projection.weight} · {pre.name}[{', '.join(pre.axes)}]"
                f"   ({projection.name}: {synapses} synapses)"
            )


def _show_neuron(circuit: Circuit, name: str, out: rich.console.Console) -> None:
    from cortico.ir import CircuitError, SpecError

    try:
        view = circuit.neurons()
        neuron = view.id_of(name)
        blocks = view.incoming(neuron)
    except CircuitError as error:
        raise SpecError(str(error)) from None
    population = view.neuron(neuron).population
    out.print(f"{name}: neuron {neuron:,} of {view.size:,}", style="bold", markup=False)
    out.print(equation(circuit, population), markup=False)
    for block in blocks:
        projection = block.projection
        onto = f"{projection.compartment} by {projection.name}"
        out.print(f"  {onto}: {len(block.pre):,} synapses", markup=False)
        for k in range(min(len(block.pre), _LISTED)):
            weight = "" if block.weight is None else f"  weight {block.weight[k]:.6g}"
            out.print(f"    {view.name_of(int(block.pre[k]))}{weight}", markup=False)
        if len(block.pre) > _LISTED:
            out.print(f"    … and {len(block.pre) - _LISTED:,} more", markup=False)
