"""The module of a block: what a single circuit gets, at any path, and with keys and values of earlier tokens."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from cortico.backends.arrays.attend import Attend
from cortico.backends.arrays.file import ALL_ONES
from cortico.backends.arrays.program import Statement
from cortico.backends.torch.emitter import ModuleFile
from cortico.backends.torch.recalling import attention_alone
from cortico.ir import Circuit, Role
from cortico.ir.errors import UnsupportedError
from cortico.ir.tensors import Shape


class BlockFile(ModuleFile):
    """The class of one block. With `goes_on`, its tokens may come after those of earlier calls."""

    def __init__(self, circuit: Circuit, name: str, block: str) -> None:
        """`name` is that of the class, `block` what the file of weights calls it."""
        super().__init__(circuit)
        self.name, self.block = name, block
        self.state = replace(self.state, shapes=f'SHAPES["{block}"]')
        self.goes_on = False

    @property
    def can_go_on(self) -> bool:
        """Whether no query hears a later token, and tokens meet nowhere but in one attention."""
        clocks = {axis.extent for axis in self.axes if axis.role is Role.COLUMN}
        sized = any(isinstance(side, str) for p in self.plain for side in p.shape)
        everywhere = all(self.tokens & {*result.axes} for result in self.results)
        if sized or not everywhere or len(clocks) != 1 or not isinstance(next(iter(clocks)), str):
            return False
        try:
            attend = attention_alone(self.circuit, self.found, self.tokens)
        except UnsupportedError:
            return False
        return attend is None or (
            any(b.left == attend.column and b.offset <= 0 for b in attend.bounds)
            and all(self.tokens & {*gate.axes} == {attend.column} for gate in attend.gates)
        )

    @property
    def keeps(self) -> bool:
        """Whether `forward` takes what is kept of earlier tokens."""
        return self.goes_on and self.attend is not None

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
            yield f"    `start` tokens came before{'; `past` keeps what is read of them' * self.keeps}."
        yield '    """'
        yield from (f"    {line}" for line in self._body())

    def _prologue(self) -> Iterator[str]:
        yield from super()._prologue()
        if self.keeps:
            yield "past = past_at(past, self.path)"
        if self.keeps and self.attend:
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
        (clock,) = {axis.extent for axis in self.axes if axis.role is Role.COLUMN}
        return f'sizes["{clock}"]'

    def _plain(self, variable: str) -> str:
        return next(name for name, code in self.names.items() if code == variable)

    def lines(self, statement: Statement) -> list[str]:
        operation = statement.operation
        if not self.keeps or not isinstance(operation, Attend):
            return super().lines(statement)
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
