"""Write synapses one by one to a Parquet or HDF5 file, or show the first ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortico.cli.arguments import argument, binding
from cortico.cli.outputs import ForceArguments
from cortico.cli.subjects import SubjectArguments, read_subject

if TYPE_CHECKING:
    from cortico.ir import Circuit, Projection
    from cortico.ir.neurons import NeuronView
    from cortico.report.table import Table

#: How many synapses are shown where none are written.
_SHOWN = 10


class Arguments(ForceArguments, SubjectArguments):
    """Circuit, which of its synapses, and where to."""

    projection: tuple[str, ...] = argument(
        "--projection", metavar="NAME", help="synapses of this projection only; repeatable"
    )
    onto: tuple[str, ...] = argument(
        "--onto", metavar="NAME", help="synapses onto this population only; repeatable"
    )
    at: tuple[tuple[str, int], ...] = argument(
        "--at",
        type=binding,
        metavar="h=3",
        help="synapses at this index of an axis only, such as one area; repeatable",
    )
    limit: int | None = argument("--limit", metavar="N", help="the first N only")
    block: int | None = argument("--block", metavar="N", help="synapses in memory at a time (2^20)")
    output: Path | None = argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"file to write: .parquet, .h5 or .hdf5 (default: show the first {_SHOWN})",
    )


def execute(arguments: Arguments) -> int:
    """Write the file, or print a table."""
    from cortico.cli.console import stages
    from cortico.files.synapse_table import require_format
    from cortico.ir import CircuitError, SpecError

    if arguments.output is not None:
        require_format(arguments.output)  # before a large checkpoint is read
    with stages() as progress:
        circuit = read_subject(arguments, progress).circuit
    if circuit.symbols:
        bindings = " ".join(f"--bind {symbol}=16" for symbol in circuit.symbols)
        raise SpecError(f"synapses need a number for each size of the circuit: add {bindings}")
    try:
        chosen = _choice(circuit, arguments)
        if arguments.output is None:
            _show(circuit, arguments, chosen)
        else:
            _write(circuit, arguments.output, arguments, chosen)
    except CircuitError as error:  # what was asked for does not fit the circuit
        raise SpecError(str(error)) from None
    return 0


def _choice(circuit: Circuit, arguments: Arguments) -> dict[str, Any]:
    """`where` and `at` of the view. CircuitError for names that the circuit lacks."""
    from cortico.ir import CircuitError
    from cortico.ir.errors import near_name

    known = [projection.name for projection in circuit.projections]
    for name in arguments.projection:
        if name not in known:
            near = near_name(name, known)
            raise CircuitError(
                f"no projection called {name!r}{near}; there are: {', '.join(known)}"
            )
    targets = [circuit.population(name).name for name in arguments.onto]

    def where(projection: Projection) -> bool:
        named = not arguments.projection or projection.name in arguments.projection
        return named and (not targets or projection.post in targets)

    return {"where": where, "at": dict(arguments.at)}


def _write(circuit: Circuit, path: Path, arguments: Arguments, choice: dict[str, Any]) -> None:
    from cortico.cli.console import console, counting, print_line
    from cortico.files.synapse_table import BLOCK, write_synapses
    from cortico.report.words import one_line, quantity

    block = BLOCK if arguments.block is None else arguments.block
    with counting(f"writing {path}") as progress:
        count = write_synapses(
            circuit,
            path,
            limit=arguments.limit,
            block=block,
            progress=progress,
            force=arguments.force,
            **choice,
        )
    print_line(f"{quantity(count, 'synapse')} written to {one_line(str(path))}", console())


def _show(circuit: Circuit, arguments: Arguments, choice: dict[str, Any]) -> None:
    from cortico.cli.console import console, print_line, print_table
    from cortico.report.words import quantity

    out, view = console(), circuit.neurons()
    total = view.count_synapses(**choice)
    limit = _SHOWN if arguments.limit is None else arguments.limit
    print_table(_table(view, limit, choice), out)
    print_line(f"\n{quantity(min(limit, total), 'synapse')} of {total:,}; -o FILE writes them", out)


def _table(view: NeuronView, limit: int, choice: dict[str, Any]) -> Table:
    from cortico.report.table import Table

    rows = [
        (
            view.name_of(pre),
            view.name_of(post),
            block.compartment,
            block.projection.name,
            "" if block.weight is None else f"{block.weight[k]:.6g}",
        )
        for block in view.synapses(limit=limit, **choice)
        for k, (pre, post) in enumerate(zip(block.pre.tolist(), block.post.tolist(), strict=True))
    ]
    return Table("Synapses", ("pre", "post", "compartment", "projection", "weight"), tuple(rows), 1)
