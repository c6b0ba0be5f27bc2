"""Text of the emitted file: the function `attention`, between its head and its helpers."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import replace

from cortico.backends.arrays.file import ALL_ONES, TEMPLATE, statement_lines
from cortico.backends.arrays.operations import Gather, OneHot, Transfer
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.linking import link
from cortico.backends.names import settled
from cortico.backends.numpy import past
from cortico.backends.numpy.operations import Part, Project, columns_code
from cortico.backends.numpy.packing import shown
from cortico.backends.numpy.plan import Plan, plan
from cortico.backends.numpy.sharing import Shared
from cortico.backends.numpy.streaming import step_function
from cortico.backends.numpy.tile_code import TileCode
from cortico.backends.numpy.tiling import Tile
from cortico.backends.numpy.weights import checked_weight, pack_functions, precision, unpacked
from cortico.backends.script_parts import sides_code
from cortico.backends.transfers import numpy_definition, of_circuit, scipy_import
from cortico.ir import TRANSFERS, Circuit
from cortico.ir.tensors import Shape

_FOLDER = "cortico.backends.numpy.template"

#: What the file may carry.
TEMPLATES = (
    *(f"{_FOLDER}.{file}" for file in ("whole", "tiles", "threads", "ranks")),
    TEMPLATE,
    "cortico.backends.template",
)


def emit_source(circuit: Circuit, on_ranks: bool = False) -> str:
    """A standalone Python module with one function, `attention`, that runs `circuit`.

    `on_ranks`, it takes a communicator, whose ranks share what `what_ranks_share` says.
    """
    file = plan(circuit, on_ranks)
    scipy = scipy_import(of_circuit(circuit))
    needs = f"\nBesides numpy this needs scipy: {scipy}." if scipy else ""
    own = [file.head(TEMPLATES[0], needs=needs), scipy, *functions(file)]
    return link(settled("\n".join(own)), *TEMPLATES)


def functions(file: Plan) -> Iterator[str]:
    """What a file has for one circuit."""
    yield from _attention(file)
    if not file.entry.goes_on:
        yield from step_function(file)
    yield from pack_functions(file)
    yield from _transfers(file)


def what_ranks_share(circuit: Circuit) -> Shared | None:
    """The axes that MPI ranks share in the emitted file; None where they would all do the same."""
    return plan(circuit, on_ranks=True).shared


def _transfers(file: Plan) -> Iterator[str]:
    """Transfer functions that NumPy lacks."""
    operations = (statement.operation for statement in file.program.statements)
    used = {operation.name for operation in operations if isinstance(operation, Transfer)}
    return (numpy_definition(t) for name, t in TRANSFERS.items() if name in used and t.numpy_body)


def _attention(file: Plan) -> Iterator[str]:
    """The function."""
    threads = ["threads=None", "work=None"] * file.has_threads
    weights = "weights=None" if file.stored else "weights"
    options = ["*", *file.gates, weights, *past.arguments(file), *threads]
    options += ["comm=None"] * bool(file.shared)
    yield f"def {file.entry.function}({', '.join([*file.wanted, *options])}):"
    yield textwrap.indent("\n\n".join(_docstring(file)) + '\n"""', "    ")
    body = file.ranks.without_unused([*_prologue(file), *_program(file)])
    yield textwrap.indent("\n".join(body), "    ")


def _docstring(file: Plan) -> Iterator[str]:
    """Its paragraphs."""
    yield f'"""{file.outputs} of the circuit.'
    yield (
        "`weights` maps names to arrays, or is what `pack` gives; by default they are read from the\n"
        "file beside this one, once."
        if file.stored
        else "`weights` maps the names above to arrays, or is what `pack` makes of them."
    )
    if file.has_threads:
        yield (
            f"`threads` share the work, by default one per core{', of ranks one' * bool(file.shared)}; "
            "a small input is left to those of BLAS.\n"
            "`work` is a dictionary in which memory is kept for the next call: of this file or of other\n"
            "layers, one call at a time."
        )
    if past.counts_tokens(file):
        read = " and ".join(sorted(file.entry.once)) or "them"
        yield (
            "`start` is how many tokens came before"
            + f"; `past` is a dictionary in which what is read of {read} is kept.\n"
            * past.keeps_tokens(file)
        )
    if file.shared:
        yield (
            "`comm` is a communicator of mpi4py. Each of its ranks is given the same, computes its share\n"
            "of areas or query tokens, and gets the whole."
        )
    if file.gates:
        yield ALL_ONES


def _prologue(file: Plan) -> Iterator[str]:
    """Lines that check the inputs and bring every tensor under its name."""
    yield precision(file)
    yield from file.checked_inputs()
    yield from past.slice_lines(file)
    if file.has_threads:
        if file.shared:
            yield "threads = 1 if threads is None and comm is not None else threads"
        yield _number_of_threads(file)
    yield from file.ranks.lines(tile=file.tiling.tile)
    yield from unpacked(file, on_ranks=file.shared is not None)
    yield from (checked_weight(file, p, file.names[p.name]) for p in file.sized_later)
    positions = _new_positions if past.counts_tokens(file) else _positions
    yield from file.formula_lines(positions, file.names)


def _positions(shape: Shape) -> str:
    return f"np.arange({sides_code(shape[:1])})"


def _new_positions(shape: Shape) -> str:
    return f"np.arange({past.NEW}.start, {past.NEW}.stop)"


def _number_of_threads(file: Plan) -> str:
    if not file.tiling.tile and not file.recalls:
        return "threads = number_of_threads(threads, 0)  # BLAS shares all products by itself"
    sizes = [*(f"{name}.size" for name in file.rates), *_read_sizes(file)] or ["0"]
    largest = sizes[0] if len(sizes) == 1 else f"max({', '.join(sizes)})"
    return f"threads = number_of_threads(threads, {largest})"


def _read_sizes(file: Plan) -> Iterator[str]:
    """Code for how many numbers are read for tokens."""
    for statement in file.program.statements:
        if isinstance(statement.operation, Gather | OneHot):
            ids = statement.operands[-1]
            shown = [axis for axis in statement.result.axes if axis not in ids.axes]
            yield f"{ids.code}.size * {columns_code([shown], file.sizes)}"


# ---- the program -----------------------------------------------------------------------------------


def _program(file: Plan) -> Iterator[str]:
    """The statements before the tiles, the tile, and the statements after."""
    yield from past.once(file).lines(lambda statement: _lines(file, statement))
    after, results, tile = file.tiling.after, file.packing.results, file.tiling.tile
    if tile:
        yield from _batch(file, tile)
        yield from past.kept_lines(file, tile) if past.goes_behind(file) else ()
        code = _tile_code(file, tile)
        yield from code.lines(shown(after, results))
        whole = code.exported()
        after = [replace(s, operands=_exchanged(s.operands, whole)) for s in after]
        results = list(_exchanged(results, whole))
        yield from _no_longer_read(file, results, after)
    for statement in after:
        yield from _lines(file, statement)
    yield f"return {', '.join(file.returned(results))}"


def _tile_code(file: Plan, tile: Tile) -> TileCode:
    sizes, own_rows = file.ranks.write.sizes, file.ranks.own_rows
    if past.goes_behind(file):
        sizes, own_rows = {**sizes, tile.columns: f"{past.NEW}.stop"}, past.NEW
    return TileCode(tile, file.program, sizes, own_rows)


def _no_longer_read(
    file: Plan, results: Iterable[Variable], after: Iterable[Statement]
) -> Iterator[str]:
    """The line that lets go of large arrays after the tiles, before others are made."""
    read = {v.code for v in results} | {o.code for s in after for o in s.operands}
    made = [s.result for s in past.once(file).others if isinstance(s.operation, Project | Part)]
    done = [v.code for v in made if v.batched and v.code not in read]
    if done and after:
        yield f"del {', '.join(done)}"


def _lines(file: Plan, statement: Statement) -> Iterator[str]:
    write = file.ranks.write if file.ranks.is_inner(statement) else file.write
    statement = past.going_on(file, statement)
    yield from statement_lines(file.ranks.with_bias_once(statement), write)
    yield from file.ranks.meeting_line(statement)


def _batch(file: Plan, tile: Tile) -> Iterator[str]:
    """Lines for the batch axes: those of all inputs, broadcast, which arrays of a tile then have."""
    inputs = ((file.names[t.name], len(t.given)) for t in file.circuit.inputs)
    shapes = [f"{name}.shape[:-{axes}]" if axes else f"{name}.shape" for name, axes in inputs]
    if len(shapes) == 1:
        yield f"batch = {shapes[0]}"
        return
    yield f"batch = np.broadcast_shapes({', '.join(shapes)})"
    inner = {s.result.code for s in tile.statements}
    read = {o.code: o for s in tile.statements for o in s.operands if o.batched}
    for name, variable in read.items():
        if name not in inner:
            sides = f"*{name}.shape[-{len(variable.axes)}:]" if variable.axes else ""
            yield f"{name} = np.broadcast_to({name}, (*batch, {sides}))"


def _exchanged(variables: Iterable[Variable], whole: dict[str, Variable]) -> tuple[Variable, ...]:
    """`variables`, with the axes that they have after the tiles."""
    return tuple(replace(v, axes=whole[v.code].axes) if v.code in whole else v for v in variables)
