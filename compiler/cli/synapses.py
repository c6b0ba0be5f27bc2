"""Write synapses one by one to a Parquet or HDF5 file, or show the first ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortico.cli.arguments import argument, binding
from cortico.cli.models import ModelArguments, number_range, read_whole
from cortico.cli.outputs import ForceArguments
from cortico.cli.subjects import SubjectArguments, default_passes, read_subject

if TYPE_CHECKING:
    from cortico.ir import Circuit, Projection
    from cortico.ir.network import Network
    from cortico.ir.neurons import NeuronView
    from cortico.report.table import Table

#: How many synapses are shown where none are written.
_SHOWN = 10


#: Synapses that are written unasked: a minute, and 9 to 28 bytes each.
_MOST = 10**9

#: Characters of a list of names in an error.
_LONGEST = 1000


class Arguments(ForceArguments, ModelArguments, SubjectArguments):
    """Circuit or model, which of its synapses, and where to."""

    node: tuple[str, ...] = argument(
        "--node",
        metavar="PATH",
        help="synapses onto this block of a model only, such as layer[3].attention; repeatable",
    )
    levels: str | None = argument(
        "--levels", metavar="A-B", help="synapses onto these levels of a model only, such as 0-3"
    )
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
    limit: int | None = argument(
        "--limit", metavar="N", help=f"the first N only; needed for more than {_MOST:,}"
    )
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
        network = read_whole(arguments, default_passes(arguments.passes), progress)
        circuit = _read(arguments, network, progress)
    if circuit.symbols:
        bindings = " ".join(f"--bind {symbol}=16" for symbol in circuit.symbols)
        raise SpecError(f"synapses need a number for each size of the circuit: add {bindings}")
    try:
        chosen = _choice(circuit, arguments, network)
        if arguments.output is None:
            _show(circuit, arguments, chosen)
        else:
            _write(circuit, arguments.output, arguments, chosen)
    except CircuitError as error:  # what was asked for does not fit the circuit
        raise SpecError(str(error)) from None
    return 0


def _read(
    arguments: Arguments, network: Network | None, progress: Callable[[str], None]
) -> Circuit:
    """The circuit, of a model the flat one, with its sizes."""
    from cortico.ir import CircuitError, SpecError

    if network is None:
        arguments.refuse("one circuit", "node", "levels")
        return read_subject(arguments, progress).circuit
    sizes = dict(arguments.bind)
    if arguments.tokens is not None:
        sizes = dict.fromkeys(network.symbols, arguments.tokens) | sizes
    progress("laying blocks side by side")
    try:
        return network.flatten().bind(**sizes)
    except CircuitError as error:
        raise SpecError(str(error)) from None


def _choice(circuit: Circuit, arguments: Arguments, network: Network | None) -> dict[str, Any]:
    """`where` and `at` of the view. CircuitError for names that the circuit lacks.

    Parts of a model may be named as within their block; an index is on an axis of one block.
    """
    from cortico.ir import SpecError
    from cortico.ir.paths import prefix

    paths = [""] if network is None else _paths(network, arguments)
    if arguments.at and len(paths) > 1:
        raise SpecError("--at is an index in one block of a model: add --node PATH")
    path_of = {p.name: p.path for p in circuit.populations if p.path in paths}
    heard = {p.name: path_of[p.post] for p in circuit.projections if p.post in path_of}
    projections = _named("projection", arguments.projection, heard)
    targets = _named("population", arguments.onto, path_of)

    def where(projection: Projection) -> bool:
        return projection.name in projections and projection.post in targets

    return {"where": where, "at": {prefix(paths[0]) + axis: k for axis, k in arguments.at}}


def _paths(network: Network, arguments: Arguments) -> list[str]:
    """The blocks onto which synapses are wanted: all where none are named."""
    from cortico.ir import SpecError
    from cortico.ir.errors import named

    found = [network[path].path for path in arguments.node]
    if arguments.levels is not None:
        levels, (first, last) = network.levels, number_range(arguments.levels, "--levels")
        if not first <= last < len(levels):
            raise SpecError(
                f"levels {arguments.levels} do not exist: {named(network.name)} has {len(levels)}, from 0 on"
            )
        found += [node.path for level in levels[first : last + 1] for node in level.nodes]
    return found or [node.path for node in network.nodes]


def _named(what: str, wanted: Sequence[str], path_of: Mapping[str, str]) -> set[str]:
    """The names of those that are called so, in the circuit or within their block; of all where none are wanted."""
    from cortico.ir import CircuitError
    from cortico.ir.errors import clipped, near_name
    from cortico.ir.paths import prefix

    local = {name: name.removeprefix(prefix(path)) for name, path in path_of.items()}
    known = dict.fromkeys(local.values())
    for name in wanted:
        if name not in local and name not in known:
            listed = clipped(", ".join(known), _LONGEST)
            raise CircuitError(
                f"no {what} called {name!r}{near_name(name, known)}; there are: {listed}"
            )
    return {name for name, own in local.items() if not wanted or {name, own} & {*wanted}}


def _write(circuit: Circuit, path: Path, arguments: Arguments, choice: dict[str, Any]) -> None:
    from cortico.cli.console import console, counting, print_line
    from cortico.files.synapse_table import BLOCK, write_synapses
    from cortico.report.words import one_line, quantity

    _require_few(circuit, path, arguments, choice)
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


def _require_few(
    circuit: Circuit, path: Path, arguments: Arguments, choice: dict[str, Any]
) -> None:
    """SpecError with numbers when very many synapses would be written and nobody said how many."""
    from cortico.files.synapse_table import require_format
    from cortico.ir import SpecError

    count = circuit.neurons().count_synapses(**choice)
    if arguments.limit is None and count > _MOST:
        size = require_format(path).bytes * count / 1e9
        raise SpecError(
            f"{count:,} synapses would be written, up to {size:,.0f} GB: choose some of them (--node, --levels, "
            f"--projection, --onto, --at), or say how many (--limit {count} for all)"
        )


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

    delays = any(projection.delay for projection in view.circuit.projections)
    rows = [
        (
            view.name_of(pre),
            view.name_of(post),
            block.compartment,
            block.projection.name,
            "" if block.weight is None else f"{block.weight[k]:.6g}",
            *[str(block.projection.delay or "")] * delays,
        )
        for block in view.synapses(limit=limit, **choice)
        for k, (pre, post) in enumerate(zip(block.pre.tolist(), block.post.tolist(), strict=True))
    ]
    header = ("pre", "post", "compartment", "projection", "weight", *["delay"] * delays)
    return Table("Synapses", header, tuple(rows), 1)
