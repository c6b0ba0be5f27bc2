"""Show a circuit or a whole model: its parts as a tree, its counts as tables, one block, population or neuron in detail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cortico.cli.arguments import argument
from cortico.cli.circuits import BindArguments, CircuitArguments, read_circuit
from cortico.cli.paths import is_compiled_model

if TYPE_CHECKING:
    import rich.console
    import rich.tree

    from cortico.ir import Circuit, Population
    from cortico.ir.neurons import NeuronView, SynapseBlock

#: How many synapses of a neuron are listed.
_LISTED = 20


class Arguments(BindArguments, CircuitArguments):
    """Circuit or model, and what of it to show."""

    node: str | None = argument(
        "--node", metavar="PATH", help="one block of a model, such as layer[3].attention"
    )
    population: str | None = argument(
        "--population", apart="view", metavar="NAME", help="equation and synapses of a population"
    )
    neuron: str | None = argument(
        "--neuron",
        apart="view",
        metavar="NAME",
        help="one neuron, such as 'cortex.area[0].column[1,2].L5.deep[3]', "
        "of a model 'layer[3].attention.area[0].column[1,2].L5.deep[3]'",
    )
    text: bool = argument("--text", apart="view", help="the text form")


def execute(arguments: Arguments) -> int:
    """Print what was asked for, by default a tree and the report's tables."""
    from cortico.cli.console import console

    if is_compiled_model(arguments.circuit):
        from cortico.cli.show_model import show_model

        return show_model(arguments)
    arguments.refuse("one circuit", "node")
    circuit, out = read_circuit(arguments.circuit, dict(arguments.bind)), console()
    if arguments.text:
        print(circuit, end="")
    elif arguments.population is not None:
        show_population(circuit, arguments.population, out)
    elif arguments.neuron is not None:
        show_neuron(circuit, arguments.neuron, out)
    else:
        show_circuit(circuit, out)
    return 0


def show_circuit(circuit: Circuit, out: rich.console.Console) -> None:
    """Its regions as a tree, and tables of its counts."""
    from cortico.cli.console import print_table
    from cortico.report.summary import report_tables

    out.print(_tree(circuit))
    for table in report_tables(circuit):
        print_table(table, out)


def _tree(circuit: Circuit) -> rich.tree.Tree:
    from rich.text import Text
    from rich.tree import Tree

    from cortico.report.words import one_line

    root = Tree(Text(one_line(circuit.name), style="bold"))
    add_regions(root, circuit)
    return root


def add_regions(root: rich.tree.Tree, circuit: Circuit) -> None:
    """Thalamus by nucleus, cortex by layer, each population with its equation."""
    from rich.text import Text

    from cortico.ir import Region
    from cortico.report.summary import equation

    areas = len(circuit.areas)
    cortex = f"cortex: {areas} areas (heads), each with" if areas > 1 else "cortex"
    branches: dict[str, rich.tree.Tree] = {}
    for region in Region:
        here = [p for p in circuit.populations if p.region is region]
        if here:
            place = cortex if region.in_cortex else "thalamus"
            if place not in branches:
                branches[place] = root.add(place)
            layer = branches[place].add(region.label)
            for population in here:
                layer.add(Text(equation(circuit, population)))


def show_population(circuit: Circuit, name: str, out: rich.console.Console) -> None:
    """Equation, neurons and synapses of a population. SpecError where there is none of that name."""
    from cortico.cli.console import print_line
    from cortico.ir import CircuitError, SpecError
    from cortico.report.summary import equation
    from cortico.report.words import quantity

    try:
        population = circuit.population(name)
    except CircuitError as error:
        raise SpecError(str(error)) from None
    neurons = quantity(circuit.counts().neurons_of[name], "neuron")
    print_line(equation(circuit, population), out, style="bold")
    print_line(f"{population.region}, {population.cell_class}, {neurons}", out)
    for line in (*_afferents(circuit, population), *_efferents(circuit, population)):
        print_line(line, out)


def _afferents(circuit: Circuit, population: Population) -> Iterator[str]:
    from cortico.report.words import quantity

    counts = circuit.counts()
    for compartment in population.compartments:
        yield f"  {compartment.name} ({compartment.effect})"
        for weight in compartment.drive:
            yield f"    + {weight}"
        for projection in circuit.projections_onto(population.name, compartment.name):
            pre, summed = circuit.heard(projection), circuit.summed_axes(projection)
            sigma = f"Σ_{{{', '.join(summed)}}} " if summed else ""
            synapses = quantity(counts.synapses_of[projection.name], "synapse")
            yield (
                f"    + {sigma}{projection.weight} · {pre.name}[{', '.join(pre.axes)}]"
                f"   ({projection.name}: {synapses})"
            )


def _efferents(circuit: Circuit, population: Population) -> Iterator[str]:
    from cortico.report.words import quantity

    for projection in circuit.projections_from(population.name):
        synapses = quantity(circuit.counts().synapses_of[projection.name], "synapse")
        target = f"{projection.post}.{projection.compartment}"
        yield f"  to {target} by {projection.name}: {synapses}"
    for output in circuit.outputs:
        if output.source.name == population.name:
            yield f"  read as output {output.name}"


def show_neuron(circuit: Circuit, name: str, out: rich.console.Console) -> None:
    """A neuron and its synapses. SpecError where there is none of that name, and while sizes are symbols."""
    from cortico.cli.console import print_line
    from cortico.ir import CircuitError, SpecError
    from cortico.report.summary import equation

    if circuit.symbols:
        bindings = " ".join(f"--bind {symbol}=16" for symbol in circuit.symbols)
        raise SpecError(f"--neuron needs a number for each size of the circuit: add {bindings}")
    try:
        view = circuit.neurons()
        neuron = view.id_of(name)
        blocks = view.incoming(neuron)
    except CircuitError as error:
        raise SpecError(str(error)) from None
    print_line(f"{name}: neuron {neuron:,} of {view.size:,}", out, style="bold")
    print_line(equation(circuit, view.neuron(neuron).population), out)
    for block in blocks:
        for line in _synapses(view, block):
            print_line(line, out)


def _synapses(view: NeuronView, block: SynapseBlock) -> Iterator[str]:
    """The first synapses of one projection onto a neuron."""
    from cortico.report.words import quantity

    projection, count = block.projection, len(block.pre)
    synapses = quantity(count, "synapse")
    yield f"  {projection.compartment} by {projection.name}: {synapses}"
    for k in range(min(count, _LISTED)):
        weight = "" if block.weight is None else f"  weight {block.weight[k]:.6g}"
        yield f"    {view.name_of(int(block.pre[k]))}{weight}"
    if count > _LISTED:
        yield f"    … and {count - _LISTED:,} more"
