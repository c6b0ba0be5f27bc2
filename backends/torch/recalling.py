"""The module that goes on: tokens come part by part, and attention recalls keys and values of earlier ones.

It is the same program as the module for whole texts has. Statements that only keys and values need become a
function of their own, so that who calls decides which keys and values meet the queries.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from cortico.backends.arrays.attend import Attend
from cortico.backends.arrays.file import ALL_ONES
from cortico.backends.arrays.find_attention import alive
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.names import unmarked
from cortico.backends.script_parts import formula_call
from cortico.backends.torch.emitter import ModuleFile
from cortico.ir import Circuit
from cortico.ir.errors import UnsupportedError

_ABOUT = """\
`live` (..., 1 or heads, rows, columns) says which rows hear which columns, of those that the circuit connects;
None is all. `recall(query, source)` gives the queries, keys and values that meet, over (..., heads, tokens,
features); None is `query` and `source()`, the keys and values of these tokens. The last row is the last column,
and so on upwards."""
_KERNELS = "softmax attentions that a kernel computes, where one is expected"
_ELSEWHERE = "tokens that meet outside attention"
_POSITIONS = " `positions` (..., tokens) number the tokens; None is from 0 on."


def emit_recalling_module(circuit: Circuit) -> str:
    """As `emit_module`, with a `forward` that takes positions, pairs that are live, and a recall.

    UnsupportedError where the circuit is not one softmax attention whose tokens meet nowhere else.
    """
    return _RecallingFile(circuit).text()


class _RecallingFile(ModuleFile):
    """One circuit on its way to text."""

    def __init__(self, circuit: Circuit) -> None:
        super().__init__(circuit)
        found = _only_attention(circuit, self.found, self.tokens)
        self.placed = {self.names[name]: formula for name, formula in self.formulas.items()}
        self.attend = replace(found, row=_token(found, self.tokens))
        made = [
            s if s.operation != found else replace(s, operation=self.attend)
            for s in self.statements
        ]
        self.statements = [*_batched(made, self.placed)]
        self.source = self._source_only()

    def _source_only(self) -> list[Statement]:
        """The statements that only keys and values of attention need."""
        (place,) = (k for k, s in enumerate(self.statements) if s.operation == self.attend)
        before, after = self.statements[:place], self.statements[place + 1 :]
        meeting = {self.attend.key.code, self.attend.value.code}
        others = {o.code for o in self.attend.operands} - meeting
        others |= {o.code for s in after for o in s.operands} | {r.code for r in self.results}
        elsewhere = alive(before, others)
        return [s for s in alive(before, meeting) if s not in elsewhere]

    # ---- the forward pass ------------------------------------------------------------------------

    def _forward(self) -> Iterator[str]:
        own = [*self.gates, *["positions=None"] * bool(self.placed), "live=None", "recall=None"]
        yield f"def forward({', '.join(['self', *self.wanted, '*', *own])}):"
        first = f"The outputs for inputs with any batch axes in front.{f' {ALL_ONES}' * bool(self.gates)}"
        about = (_ABOUT + _POSITIONS * bool(self.placed)).splitlines()
        yield from (f"    {line}".rstrip() for line in (f'"""{first}', "", *about, '"""'))
        yield from (f"    {line}" for line in self._body())

    def _body(self) -> Iterator[str]:
        yield from self._prologue()
        for statement in self.statements:
            if statement.operation == self.attend:
                yield from self._meeting(statement)
            elif statement not in self.source:
                yield from self.lines(statement)
        yield f"return {', '.join(self.returned(self.results))}"

    def formula_lines(self, *_: object, **__: object) -> Iterator[str]:
        """Lines of what depends on positions: equal rotations once."""
        if self.placed:
            size = self.write.sizes[self.attend.row]
            yield f"places = torch.arange({size}, device=device) if positions is None else positions"
        made: dict[object, str] = {}
        read = self.read_by_formulas()
        for name, formula in self.placed.items():
            given = ["places", *(read[argument] for argument in formula.arguments)]
            exact = formula_call(unmarked(name), formula, given)
            yield f"{name} = {made.setdefault(exact, self.write.cast(exact))}"
            made[exact] = name

    def _meeting(self, statement: Statement) -> Iterator[str]:
        query, key, value = self.attend.arrays(self.write)
        yield "def source():"
        for line in (line for s in self.source for line in self.lines(s)):
            yield f"    {line}"
        yield f"    return {key}, {value}"
        yield f"met = meet({query}, source, recall)"
        options = dict(self.attend.options(self.write))
        gates = [options.pop("live")] if "live" in options else []
        options["live"] = f"both({', '.join(['live', *gates])})" if gates else "live"
        arguments = ", ".join(["*met", *(f"{name}={text}" for name, text in options.items())])
        shaped = self.attend.shaped(self.write, statement.result, f"attend_last({arguments})")
        yield f"{statement.result.code} = {shaped}  # [{', '.join(statement.result.axes)}]"


def _batched(statements: Iterable[Statement], names: Iterable[str]) -> Iterator[Statement]:
    """The statements, where variables of these names have batch axes, and so what is made of them."""
    batched = set(names)

    def seen(variable: Variable) -> Variable:
        return replace(variable, batched=True) if variable.code in batched else variable

    for statement in statements:
        if batched & {operand.code for operand in statement.operands}:
            batched.add(statement.result.code)
        operands = tuple(map(seen, statement.operands))
        yield replace(statement, result=seen(statement.result), operands=operands)


def _only_attention(
    circuit: Circuit, statements: Collection[Statement], tokens: Collection[str]
) -> Attend:
    """The operation in which tokens meet, along axes that are `tokens`. UnsupportedError where that is not one."""
    found = [s.operation for s in statements if isinstance(s.operation, Attend)]
    others = [s for s in statements if s.operation not in found]
    if len(found) != 1:
        raise _unsupported(circuit, f"{len(found)} {_KERNELS}")
    if found[0].biases:
        raise _unsupported(circuit, "a position bias of scores")
    if any(s.lost & {*tokens} or len({*tokens} & {*s.result.axes}) > 1 for s in others):
        raise _unsupported(circuit, _ELSEWHERE)
    return found[0]


def _token(attend: Attend, tokens: Collection[str]) -> str:
    """The axis of queries that is one of tokens. Without bounds, that of heads may stand for rows as well."""
    (row,) = (axis for axis in attend.query.axes if axis in tokens)
    return row


def _unsupported(circuit: Circuit, what: str) -> UnsupportedError:
    return UnsupportedError(
        f"circuit {circuit.name!r} cannot go on from earlier tokens: it has {what}"
    )
