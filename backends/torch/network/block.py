"""The module of a block: what a single circuit gets, at any path, and with keys and values of earlier tokens."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property

from cortico.backends.arrays.attend import Attend
from cortico.backends.arrays.file import ALL_ONES, statement_lines
from cortico.backends.arrays.going_on import (
    Meeting,
    Once,
    computed_once,
    each_alone,
    meeting,
    with_memory,
)
from cortico.backends.arrays.operations import PastProduct
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer
from cortico.backends.torch.emitter import ModuleFile
from cortico.backends.torch.writer import TorchWriter
from cortico.ir import Circuit, Extent, Role
from cortico.ir.tensors import Shape


class BlockFile(ModuleFile):
    """The class of one block. With `goes_on`, its tokens may come after those of earlier calls."""

    def __init__(
        self, circuit: Circuit, name: str, block: str, once: frozenset[str] = frozenset()
    ) -> None:
        """`name` is that of the class, `block` what the file of weights calls it; inputs `once` do not go on."""
        super().__init__(circuit)
        self.name, self.block, self.heard = name, block, once
        self.state = replace(self.state, shapes=f'SHAPES["{block}"]')
        self.goes_on = False

    @property
    def can_go_on(self) -> bool:
        """Whether no query hears a later token, and tokens meet where what is read of them can be kept."""
        return self.meeting is not None

    @cached_property
    def meeting(self) -> Meeting | None:
        """How tokens meet, where they may come after others."""
        clocks = self._clocks
        going = frozenset(axis.name for axis in self.axes if axis.extent in clocks)
        sized = any(isinstance(side, str) for p in self.plain for side in p.shape)
        everywhere = all(going & {*result.axes} for result in self.results)
        if sized or not everywhere or len(clocks) != 1 or not isinstance(next(iter(clocks)), str):
            return None
        if self.heard:
            alone = not self.formulas and each_alone(self.found, going)
            return Meeting() if alone else None
        return meeting(self.found, self.tokens)

    @property
    def _clocks(self) -> set[Extent]:
        """The numbers of tokens that may come after others."""
        others = {side for t in self.circuit.inputs if t.name in self.heard for side in t.shape}
        return {axis.extent for axis in self.axes if axis.role is Role.COLUMN} - others

    @cached_property
    def once(self) -> Once:
        """What is computed in the first call alone."""
        names = [self.names[name] for name in self.heard]
        return computed_once(self.statements, names, self.results)

    @property
    def keeps(self) -> bool:
        """Whether `forward` takes what is kept of earlier tokens."""
        if not self.goes_on or self.meeting is None:
            return False
        recalls = any(isinstance(s.operation, PastProduct) for s in self.found)
        return recalls or bool(self.meeting.rows) or bool(self.once.kept)

    @property
    def counts(self) -> bool:
        """Whether `forward` takes how many tokens came before."""
        return self.keeps or (self.goes_on and bool(self.formulas))

    @property
    def attend(self) -> Attend | None:
        return next((s.operation for s in self.found if isinstance(s.operation, Attend)), None)

    # ---- the class -----------------------------------------------------------------------------------

    def class_lines(self) -> Iterator[str]:
        """Its lines."""
        yield f"class {self.name}(nn.Module):"
        yield f'    """{self.outputs} of the block {self.block}, at any path."""'
        for lines in ([*self._constructor()], [*self._forward()], self.state.reader()):
            yield textwrap.indent("\n".join(["", *lines]), "    ")

    def _constructor(self) -> Iterator[str]:
        yield "def __init__(self, weights, path, dtype):"
        yield "    super().__init__()"
        yield "    self.path = path"
        if self.plain:
            yield "    weights = weights_at(path, weights)"
        lines = self.state.filling() if self.plain else [*self.state.filling()][1:]
        yield from (f"    {line}" for line in lines)

    def _forward(self) -> Iterator[str]:
        options = [*self.gates, *["start=0"] * self.counts, *["past=None"] * self.keeps]
        arguments = ["self", *self.wanted, *["*"] * bool(options), *options]
        yield f"def forward({', '.join(arguments)}):"
        yield '    """The outputs for inputs with any batch axes in front.'
        if options:
            yield ""
        yield from [f"    {ALL_ONES}"] * bool(self.gates)
        if self.counts:
            read = " and ".join(sorted(self.heard)) or "them"
            yield f"    `start` tokens came before{f'; `past` keeps what is read of {read}' * self.keeps}."
        yield '    """'
        yield from (f"    {line}" for line in self._body())

    def _body(self) -> Iterator[str]:
        if not self.keeps or not self.heard:
            yield from super()._body()
            return
        yield from self._prologue()
        yield from self.once.lines(self.lines)
        yield f"return {', '.join(self.returned(self.results))}"

    def _prologue(self) -> Iterator[str]:
        yield from super()._prologue()
        if self.keeps:
            yield "past = past_at(past, self.path)"
        if self.keeps and self.attend and not self.heard:
            for gate in self.attend.gates:
                yield f'{gate.code} = kept_flags(past, "{self._plain(gate.code)}", {gate.code}, start, {self._tokens})'

    def positions(self, shape: Shape) -> str:
        if not self.counts:
            return super().positions(shape)
        return f"torch.arange(start, start + {self._tokens}, device=device)"

    def formula_lines(
        self, positions: Callable[[Shape], str], arguments: Mapping[str, str], token: str = ""
    ) -> Iterator[str]:
        """The same lines, where what is equal is computed once."""
        made: dict[str, str] = {}
        for line in super().formula_lines(positions, arguments, token):
            name, _, code = line.partition(" = ")
            yield f"{name} = {made.setdefault(code, code)}"
            made[code] = name

    @property
    def _tokens(self) -> str:
        """Code for how many tokens there are in a call."""
        (clock,) = self._clocks
        return f'sizes["{clock}"]'

    def _plain(self, variable: str) -> str:
        return next(name for name, code in self.names.items() if code == variable)

    def lines(self, statement: Statement) -> list[str]:
        if not self.keeps or self.heard or self.meeting is None:
            return super().lines(statement)
        if isinstance(statement.operation, Attend):
            return self._attending(statement, statement.operation)
        if not self.meeting.has(statement):
            return super().lines(with_memory(statement))
        behind = [*self._kept(statement)]
        operands = tuple(replace(o, code=self._all.get(o.code, o.code)) for o in statement.operands)
        statement = self._with_numbers(replace(statement, operands=operands))
        return [*behind, *statement_lines(statement, self._pairs)]

    @cached_property
    def _all(self) -> dict[str, str]:
        """What is read at columns to the name of that with earlier tokens in front, once it has one."""
        return {}

    @cached_property
    def _pairs(self) -> Writer:
        """Expressions on arrays over pairs: rows are the tokens of this call, columns are all."""
        assert self.meeting is not None
        stop = f"(start + {self._tokens})"
        rows, columns = self.meeting.rows, self.meeting.columns
        return PairWriter({**self.sizes, columns: stop}, {rows: f"start, {stop}"})

    def _kept(self, statement: Statement) -> Iterator[str]:
        """Lines that put what a statement reads at columns behind what was read of earlier tokens."""
        assert self.meeting is not None
        own = {v.code for v in self.meeting.kept} - {*self._all}
        for variable in statement.operands:
            if variable.code in own:
                self._all[variable.code] = name = self.program.names.fresh(f"{variable.code}_all")
                yield f"{name} = {self._behind(variable)}"

    def _behind(self, variable: Variable) -> str:
        assert self.meeting is not None
        axis = variable.axes.index(self.meeting.columns) - len(variable.axes)
        name = json.dumps(variable.code, ensure_ascii=False)
        return f"kept_behind(past, {name}, {variable.code}, start, {axis})"

    def _attending(self, statement: Statement, operation: Attend) -> list[str]:
        query, *both = operation.arrays(self.write)
        kept = [
            f'kept_behind(past, "{name}", {code}, start)'
            for name, code in zip(("key", "value"), both, strict=True)
        ]
        options = ", ".join(f"{name}={text}" for name, text in operation.options(self.write))
        given = f"attend_behind({query}, {', '.join(kept)}, {options}, inner={operation.function})"
        code = operation.shaped(self.write, statement.result, given)
        axes = ", ".join(statement.result.axes)
        return [
            *(f"# {text}" for text in statement.comments),
            f"{statement.result.code} = {code}  # [{axes}]",
        ]


class PairWriter(TorchWriter):
    """Expressions where some axes begin later: `spans` are code for the first index and the one after the last."""

    def __init__(self, sizes: Mapping[str, str], spans: Mapping[str, str]) -> None:
        super().__init__(sizes)
        self._spans = spans

    def positions(self, axis: str) -> str:
        span = self._spans.get(axis)
        return f"torch.arange({span}, device=device)" if span else super().positions(axis)
