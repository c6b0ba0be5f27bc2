"""Text of the emitted file: a planned program between its header and its helpers."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable
from dataclasses import replace

from cortico.backends.arrays.operations import PastProduct
from cortico.backends.arrays.planner import PLANNED_FORMULAS, Planner, tensor_names
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer
from cortico.backends.names import settled
from cortico.backends.numpy.operations import Part, Project, ThreadedWriter
from cortico.backends.numpy.packing import Packing, pack, shown
from cortico.backends.numpy.ranks import Ranks
from cortico.backends.numpy.sharing import Shared, shared_axes
from cortico.backends.numpy.streaming import StepCode, can_stream, kept, token_axes
from cortico.backends.numpy.template import CHECKED, HELPERS
from cortico.backends.numpy.tile_code import TileCode
from cortico.backends.numpy.tiling import Tiling, tiled
from cortico.backends.script_parts import (
    sides_code,
    stores_weights,
    tensor_lines,
    two_blank_lines_between_functions,
    weights_reader,
)
from cortico.backends.transfers import of_circuit, scipy_import
from cortico.ir import Circuit, Extent, Formula, Input, InputKind, Parameter, Role
from cortico.ir.analysis.letters import axis_letters
from cortico.ir.rewrite import rename


def emit_source(circuit: Circuit, on_ranks: bool = False) -> str:
    """A standalone Python module with one function, `attention`, that runs `circuit`.

    `on_ranks`, it takes a communicator, whose ranks share what `what_ranks_share` says.
    """
    return _file_of(circuit, on_ranks).text()


def what_ranks_share(circuit: Circuit) -> Shared | None:
    """The axes that MPI ranks share in the emitted file; None where they would all do the same."""
    return _file_of(circuit, on_ranks=True).shared


def _file_of(circuit: Circuit, on_ranks: bool) -> _File:
    file = _File(circuit, on_ranks)
    return file if file.fits() else _File(circuit, on_ranks=False)


def statement_lines(statement: Statement, write: Writer) -> list[str]:
    """The comments of a statement, and the assignment with the axes of its result."""
    result = statement.result
    code = statement.operation.code(write, result, statement.operands)
    axes = f"  # [{', '.join(filter(None, result.axes))}]" if any(result.axes) else ""
    return [*(f"# {text}" for text in statement.comments), f"{result.code} = {code}{axes}"]


class _File:
    """The emitted file of one circuit."""

    def __init__(self, circuit: Circuit, on_ranks: bool) -> None:
        self.circuit = circuit
        self.names = tensor_names(circuit)
        self.lettered = rename(circuit, axes=axis_letters(circuit))
        planner = Planner(self.lettered)
        self.results = planner.outputs()
        self.program, axes = planner.program, planner.circuit.axes
        self.sizes = {axis.name: planner.size_code(axis.name) for axis in axes}
        self.write = ThreadedWriter(self.sizes)
        self.shared = self._shared() if on_ranks else None
        self.ranks = Ranks(self.shared, self.program, self.sizes)
        self.packing: Packing = self.ranks.apart(
            pack(
                self.program,
                self.results,
                [self.names[p.name] for p in self._weights()],
                self.ranks.write_weights,
                self.shared.row if self.shared else None,
            )
        )
        self.tiling: Tiling = tiled(
            self.packing.statements,
            self.packing.results,
            token_axes(self.lettered),
            frozenset(axis.name for axis in axes if axis.role is Role.AREA),
            planner.sizes,
            {axis.name: axis.extent for axis in axes},
        )

    def _shared(self) -> Shared | None:
        """What ranks share."""
        plain = [p for p in self.circuit.parameters if p.formula is None]
        weights = frozenset(self.names[p.name] for p in plain)
        areas = [axis for axis in self.lettered.axes if axis.role is Role.AREA]
        areas.sort(key=lambda axis: axis.extent == 1)
        return shared_axes(
            self.program,
            self.results,
            [axis.name for axis in areas if isinstance(axis.extent, int)],
            token_axes(self.lettered),
            frozenset(self.names.values()) - weights,
            weights,
        )

    def fits(self) -> bool:
        """Whether ranks share nothing, or whole tiles."""
        return self.tiling.tile is None or self.ranks.has(self.tiling.tile)

    def text(self) -> str:
        """The whole file."""
        body = self.ranks.without_unused([*self._prologue(), *self._body()])
        parts = [
            weights_reader(self.circuit),
            self._signature(),
            textwrap.indent("\n".join(body), "    "),
            *self._step(),
            *self._pack(),
            CHECKED,
        ]
        text = "\n".join(part for part in parts if part)
        for name in HELPERS:  # a helper may call those after it
            text = f"{text}\n{HELPERS[name]}" if re.search(rf"\b{name}\(", text) else text
        return settled(two_blank_lines_between_functions(f"{self._header(text)}\n{text}"))

    # ---- the head ----------------------------------------------------------------------------------

    def _header(self, text: str) -> str:
        """The docstring and the imports that `text` needs."""
        modules = [m for m in ("contextlib", "functools", "json") if f"{m}." in text]
        imports = [f"import {module}" for module in modules]
        if "namedtuple(" in text:
            imports.append("from collections import namedtuple")
        if "ThreadPoolExecutor(" in text:
            imports.append("from concurrent.futures import ThreadPoolExecutor")
        if "Lock(" in text:
            imports.append("from threading import Lock")
        if "Path(" in text:
            imports.append("from pathlib import Path")
        scipy = scipy_import(of_circuit(self.circuit))
        return "\n".join(
            [
                f'"""Circuit {json.dumps(self.circuit.name)}, compiled by cortico to NumPy.',
                "",
                *tensor_lines(self.circuit),
                "",
                "float32 inputs are computed in float32, all others in float64. In the comments, axes stand in",
                "brackets; the batch axes in front of them are left out.",
                *([f"Besides numpy this needs scipy: {scipy}."] if scipy else []),
                '"""',
                "",
                *imports,
                *([""] if imports else []),
                "\n".join(filter(None, ["import numpy as np", scipy])) + "\n\n",
            ]
        )

    def _signature(self) -> str:
        inputs, stored = self.circuit.inputs, stores_weights(self.circuit)
        arguments = [self.names[t.name] for t in inputs if t.kind is InputKind.RATE]
        gates = [f"{self.names[t.name]}=None" for t in inputs if t.kind is InputKind.MASK]
        options = [*gates, "weights=None" if stored else "weights"]
        options += ["threads=None", "work=None"] if self._has_threads() else []
        options += ["comm=None"] if self.shared else []
        outputs = ", ".join(output.name for output in self.circuit.outputs)
        source = (
            "`weights` maps names to arrays, or is what `pack` gives; by default they are read from the\n"
            "    file beside this one, once."
            if stored
            else "`weights` maps the names above to arrays, or is what `pack` makes of them."
        )
        of_ranks = ", of ranks one" if self.shared else ""
        comm = (
            "\n\n    `comm` is a communicator of mpi4py. Each of its ranks is given the same, computes its share\n"
            "    of areas or query tokens, and gets the whole."
            if self.shared
            else ""
        )
        threads = (
            f"\n\n    `threads` share the work, by default one per core{of_ranks}; a small input is left to those of BLAS.\n"
            "    `work` is a dictionary in which memory is kept for the next call: of this file or of other\n"
            "    layers, one call at a time."
            if self._has_threads()
            else ""
        )
        missing = "\n\n    A 0/1 input that is None is all ones." if gates else ""
        return (
            f"def attention({', '.join([*arguments, '*', *options])}):\n"
            f'    """{outputs} of the circuit.\n\n    {source}{threads}{comm}{missing}\n    """'
        )

    def _has_threads(self) -> bool:
        """Whether some of the work is shared by threads."""
        shared = (isinstance(s.operation, Project | PastProduct) for s in self.packing.statements)
        return self.tiling.tile is not None or any(shared)

    # ---- inputs and weights ------------------------------------------------------------------------

    def _weights(self) -> list[Parameter]:
        """Parameters that are arrays whose sizes are numbers."""
        plain = (p for p in self.circuit.parameters if p.formula is None)
        return [p for p in plain if all(isinstance(side, int) for side in p.shape)]

    def _prologue(self) -> list[str]:
        """Lines that check the inputs and bring every tensor under its name."""
        lines = [self._precision(), "sizes = {}"]
        for tensor in sorted(self.circuit.inputs, key=lambda t: t.kind is InputKind.MASK):
            lines += self._checked_input(tensor)
        if self._has_threads():
            if self.shared:
                lines.append("threads = 1 if threads is None and comm is not None else threads")
            lines.append(self._number_of_threads())
        lines += self.ranks.lines(tile=self.tiling.tile)
        lines += self._unpacked(self.shared)
        lines += [self._checked(p, self.names[p.name]) for p in self._sized_later()]
        for parameter in self.circuit.parameters:
            formula = parameter.formula
            if formula is not None and formula.kind not in PLANNED_FORMULAS:
                lines.append(f"{self.names[parameter.name]} = {self._formula(parameter, formula)}")
        return lines

    def _number_of_threads(self) -> str:
        recalls = any(isinstance(s.operation, PastProduct) for s in self.packing.statements)
        if not self.tiling.tile and not recalls:
            return "threads = number_of_threads(threads, 0)  # BLAS shares all products by itself"
        rates = [t for t in self.circuit.inputs if t.kind is InputKind.RATE]
        sizes = [f"{self.names[t.name]}.size" for t in rates] or ["0"]
        largest = sizes[0] if len(sizes) == 1 else f"max({', '.join(sizes)})"
        return f"threads = number_of_threads(threads, {largest})"

    def _precision(self) -> str:
        rates = [self.names[t.name] for t in self.circuit.inputs if t.kind is InputKind.RATE]
        single = " and ".join(f"np.asarray({name}).dtype == np.float32" for name in rates)
        return f"dtype = np.float32 if {single or 'False'} else np.float64"

    def _unpacked(self, shared: Shared | None = None) -> list[str]:
        """Lines that bring what `pack` gives under its names."""
        fields = self._fields()
        if not fields:
            return []
        given = "(dtype, rank, ranks)" if shared else "(dtype)"
        lines = []
        if stores_weights(self.circuit):
            lines = [f"weights = stored{given} if weights is None else weights"]
        return [
            *lines,
            f"packed = weights if isinstance(weights, Packed) else pack(weights, {given[1:]}",
            *(self.ranks.check() if shared else []),
            f"{', '.join(fields)}{',' * (len(fields) == 1)} = packed",
        ]

    def _sized_later(self) -> list[Parameter]:
        """Weights whose sizes are known only with the inputs."""
        known = self._weights()
        return [p for p in self.circuit.parameters if p.formula is None and p not in known]

    def _checked_input(self, tensor: Input, sides: tuple[Extent, ...] | None = None) -> list[str]:
        """Lines that check an input of `sides`, by default its own."""
        sides = tensor.shape if sides is None else sides
        shape, name = json.dumps(sides), self.names[tensor.name]
        if tensor.kind is InputKind.RATE:
            return [f'{name} = checked("{tensor.name}", {name}, {shape}, sizes, dtype)']
        # anything but zero counts as one
        check = f'{name} = checked("{tensor.name}", {name}, {shape}, sizes, bool).astype(dtype)'
        ones = f"np.ones([{sides_code(sides)}], bool)"
        return [f"if {name} is None:", f"    {name} = {ones}", check]

    def _checked(self, parameter: Parameter, array: str, kind: str = "dtype") -> str:
        shape, name = json.dumps(parameter.shape), self.names[parameter.name]
        own = self.ranks.slice_of(name)
        return f'{name} = checked("{parameter.name}", {array}, {shape}, sizes, {kind}{own})'

    def _formula(self, parameter: Parameter, formula: Formula, positions: str = "") -> str:
        """Code for a formula over tokens, by default over all of them."""
        arguments = ", ".join(self.names[name] for name in formula.arguments)
        positions = positions or f"np.arange({sides_code(parameter.shape[:1])})"
        return f"{formula.kind}({positions}, {arguments}).astype(dtype)"

    def _angles(self) -> frozenset[str]:
        """Weights that only formulas read, in double precision: angles grow with the position."""
        kinds = {
            name: p.formula.kind
            for p in self.circuit.parameters
            if p.formula
            for name in p.formula.arguments
        }
        return frozenset(name for name, kind in kinds.items() if kind not in PLANNED_FORMULAS)

    # ---- packing -----------------------------------------------------------------------------------

    def _fields(self) -> list[str]:
        """Names that `pack` gives: what statements read of it, and what is checked later."""
        read = {o.code for s in self.packing.statements for o in s.operands}
        read |= {result.code for result in self.packing.results}
        products = (s.operation for s in self.packing.statements)
        read |= {n for o in products if isinstance(o, Project) for n in (o.matrix, o.bias)}
        read |= {self.names[name] for name in self._angles()}
        made = [line.split(" = ")[0] for line in self.packing.lines if " = " in line]
        made = [self.names[p.name] for p in self._weights()] + made
        made += [s.result.code for s in self.packing.constants]
        later = [self.names[p.name] for p in self._sized_later()]
        return [*self.ranks.packed(), *(n for n in made if n in read), *later]

    def _pack(self) -> list[str]:
        """The function that prepares the weights, and the one that does so once for those on disk."""
        fields = self._fields()
        if not fields:
            return []
        angles = self._angles()
        rank = ", rank=0, ranks=1" if self.shared else ""
        names = sorted(p.name for p in self.circuit.parameters if p.formula is None)
        present = [
            f"missing = {{{', '.join(map(json.dumps, names))}}} - set(weights)",
            "if missing:",
            "    raise ValueError(f\"weights are missing: {', '.join(sorted(missing))}\")",
        ]
        lines = [
            *(present if names else []),
            "if dtype not in (np.float32, np.float64):",
            '    raise ValueError(f"dtype must be float32 or float64, found {dtype}")',
            "sizes = {}",
            *self.ranks.lines(of_weights=True),
        ]
        for parameter in self._weights():
            kind = "np.float64" if parameter.name in angles else "dtype"
            lines.append(self._checked(parameter, f'weights["{parameter.name}"]', kind))
        for statement in self.packing.constants:
            lines += statement_lines(statement, self.ranks.write_weights)
        lines += self.packing.lines
        lines += [f'{self.names[p.name]} = weights["{p.name}"]' for p in self._sized_later()]
        lines.append(f"return Packed({', '.join(fields)})")
        listed = ", ".join(f'"{field}"' for field in fields)
        parts = [
            f'#: What `attention` needs of the weights.\nPacked = namedtuple("Packed", [{listed}])\n',
            f'def pack(weights, dtype{rank}):\n    """The weights as `attention` reads them: checked, side by side, with gains and biases in them."""',
            textwrap.indent("\n".join(lines), "    "),
        ]
        if stores_weights(self.circuit):
            parts.append(
                f"@functools.cache\ndef stored(dtype{rank}):\n"
                '    """The weights in the file beside this one."""\n'
                f"    return pack(load_weights(), dtype{', rank, ranks' if rank else ''})\n"
            )
        return parts

    # ---- the program -------------------------------------------------------------------------------

    def _body(self) -> list[str]:
        """The statements before the tiles, the tile, and the statements after."""
        lines = [line for s in self.tiling.before for line in self._lines(s)]
        after, results = self.tiling.after, self.packing.results
        if self.tiling.tile:
            lines += self._batch()
            code = TileCode(
                self.tiling.tile, self.program, self.ranks.write.sizes, self.ranks.own_rows
            )
            lines += code.lines(shown(after, results))
            whole = code.exported()
            after = [replace(s, operands=_exchanged(s.operands, whole)) for s in after]
            results = list(_exchanged(results, whole))
            lines += self._no_longer_read(results, after)
        lines += [line for s in after for line in self._lines(s)]
        wanted = (result.axes for result in self.results)
        codes = [self.write.transposed(r, axes) for r, axes in zip(results, wanted, strict=True)]
        return [*lines, f"return {', '.join(codes)}\n\n"]

    def _no_longer_read(self, results: Iterable[Variable], after: Iterable[Statement]) -> list[str]:
        """The line that lets go of large arrays after the tiles, before others are made."""
        read = {v.code for v in results} | {o.code for s in after for o in s.operands}
        made = [s.result for s in self.tiling.before if isinstance(s.operation, Project | Part)]
        done = [v.code for v in made if v.batched and v.code not in read]
        return [f"del {', '.join(done)}"] if done and after else []

    def _lines(self, statement: Statement) -> list[str]:
        inner = self.ranks.is_inner(statement)
        once = self.ranks.with_bias_once(statement)
        lines = statement_lines(once, self.ranks.write if inner else self.write)
        return [*lines, *self.ranks.meeting_line(statement)]

    # ---- streaming ---------------------------------------------------------------------------------

    def _step(self) -> list[str]:
        """The function for one token at a time, where the circuit can be streamed."""
        statements, results = self.packing.statements, self.packing.results
        if self._sized_later() or not can_stream(self.lettered, statements, results):
            return []
        tokens = token_axes(self.lettered)
        code = StepCode(self.sizes, tokens)
        inputs = self.circuit.inputs
        names = [self.names[t.name] for t in inputs if t.kind is InputKind.RATE]
        gates = [f"{self.names[t.name]}=None" for t in inputs if t.kind is InputKind.MASK]
        weights = "weights=None" if stores_weights(self.circuit) else "weights"
        wanted = [tuple(a for a in r.axes if a not in tokens) for r in self.results]
        local = map(code.local, results)
        given = [self.write.transposed(r, axes) for r, axes in zip(local, wanted, strict=True)]
        lines = [
            *self._kept_state(kept(statements)),
            *self._checked_token(),
            *self._unpacked(),
            *self._formulas_of_token(),
            *code.lines(statements),
            f"return state, {given[0] if len(given) == 1 else '(' + ', '.join(given) + ')'}\n\n",
        ]
        outputs = ", ".join(output.name for output in self.circuit.outputs)
        return [
            f"def step(state, {', '.join([*names, '*', *gates, weights])}):\n"
            f'    """The state after one more token, and {outputs} of it. Inputs lack their axis of tokens.\n\n'
            "    `state` is None before the first token. It is a dictionary of arrays, of one size at every\n"
            '    position: `np.savez(file, **state)` and `dict(np.load(file))` keep and resume it.\n    """',
            textwrap.indent("\n".join(lines), "    "),
        ]

    def _kept_state(self, names: list[str]) -> list[str]:
        expected = ["position", *names]
        listed = ", ".join(f'"{name}"' for name in expected)
        return [
            "state = dict(state or {})",
            f"if state and set(state) != {{{listed}}}:",
            f'    raise ValueError(f"state has {{sorted(state)}}, expected {sorted(expected)}")',
            'position = int(state.get("position", 0))',
            'state["position"] = np.asarray(position + 1)',
        ]

    def _checked_token(self) -> list[str]:
        clock = next(a.extent for a in self.circuit.axes if a.role is Role.COLUMN)
        lines = [self._precision(), "sizes = {}"]
        for tensor in sorted(self.circuit.inputs, key=lambda t: t.kind is InputKind.MASK):
            lines += self._checked_input(tensor, tuple(s for s in tensor.shape if s != clock))
        return lines

    def _formulas_of_token(self) -> list[str]:
        return [
            f"{self.names[p.name]} = {self._formula(p, p.formula, 'np.array([position])')}[0]"
            for p in self.circuit.parameters
            if p.formula and p.formula.kind not in PLANNED_FORMULAS
        ]

    def _batch(self) -> list[str]:
        """Lines for the batch axes: those of all inputs, broadcast, which arrays of a tile then have."""
        shapes = [
            f"{self.names[t.name]}.shape[:-{len(t.shape)}]"
            if t.shape
            else f"{self.names[t.name]}.shape"
            for t in self.circuit.inputs
        ]
        if len(shapes) == 1:
            return [f"batch = {shapes[0]}"]
        lines = [f"batch = np.broadcast_shapes({', '.join(shapes)})"]
        assert self.tiling.tile is not None
        inner = {s.result.code for s in self.tiling.tile.statements}
        read = {o.code: o for s in self.tiling.tile.statements for o in s.operands if o.batched}
        for variable in read.values():
            if variable.code not in inner:
                sides = f"*{variable.code}.shape[-{len(variable.axes)}:]" if variable.axes else ""
                lines.append(
                    f"{variable.code} = np.broadcast_to({variable.code}, (*batch, {sides}))"
                )
        return lines


def _exchanged(variables: Iterable[Variable], whole: dict[str, Variable]) -> tuple[Variable, ...]:
    """`variables`, with the axes that they have after the tiles."""
    return tuple(replace(v, axes=whole[v.code].axes) if v.code in whole else v for v in variables)
