"""Tokens that come after those of earlier calls: which programs can do that, in any library.

A program can go on when no query hears a later token, and tokens meet in sums over the past and in arrays over
pairs of them alone. Then what is read of a token there (its key and its value) stays as it is when more come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from cortico.backends.arrays.attend import Attend
from cortico.backends.arrays.operations import PastProduct, PastSum, Reread
from cortico.backends.arrays.outside import summed_inside
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable, axes_of


def one_token_will_do(statement: Statement, tokens: frozenset[str], *taken_apart: type) -> bool:
    """Whether a statement does with each token what it would do if there were no other.

    `taken_apart` are operations whose result may have another axis of tokens than what it is a part of.
    """
    variables = (statement.result, *statement.operands)
    if any(len(tokens & {*variable.axes}) > 1 for variable in variables):
        return False
    if isinstance(statement.operation, (PastProduct, PastSum, *taken_apart)):
        return True
    if isinstance(statement.operation, Reread):  # of the same token, whatever it is called
        return all(len(tokens & {*v.axes}) == 1 for v in variables) or not statement.lost & tokens
    met = tokens & axes_of(statement.operands)
    return bool(statement.operands) and met == tokens & {*statement.result.axes}


def with_memory(statement: Statement) -> Statement:
    """The same, where a sum over the past has that of earlier calls in it."""
    operation = statement.operation
    if not isinstance(operation, PastProduct):
        return statement
    return replace(statement, operation=replace(operation, kept=statement.result.code))


@dataclass(frozen=True)
class Once:
    """A program in three parts: what reads no input, what reads nothing but inputs heard once, and all others.

    `kept` are results of the second that others read.
    """

    constants: tuple[Statement, ...]
    statements: tuple[Statement, ...]
    others: tuple[Statement, ...]
    kept: tuple[Variable, ...]

    def lines(self, text: Callable[[Statement], Iterable[str]]) -> Iterator[str]:
        """The text of all statements, where later calls have what is kept."""
        yield from (line for statement in self.constants for line in text(statement))
        lines = (line for statement in self.statements for line in text(statement))
        yield from once_lines((variable.code for variable in self.kept), lines)
        yield from (line for statement in self.others for line in text(statement))


def computed_once(
    statements: Sequence[Statement], once: Collection[str], results: Iterable[Variable]
) -> Once:
    """What a program computes of the inputs `once` alone; `results` are read outside."""
    known, found = {*once}, list[Statement]()
    for statement in statements:
        heard = {operand.code for operand in statement.operands if operand.batched}
        if heard and heard <= known:
            found.append(statement)
            known.add(statement.result.code)
    constants = tuple(s for s in statements if found and not s.result.batched)
    others = tuple(s for s in statements if s not in found and s not in constants)
    read = {o.code for s in others for o in s.operands} | {result.code for result in results}
    kept = tuple(s.result for s in found if s.result.code in read)
    return Once(constants, tuple(found), others, kept)


def once_lines(kept: Iterable[str], lines: Iterable[str]) -> Iterator[str]:
    """`lines` as they run in the first call: in later ones what they compute is `kept`, if anything is."""
    kept = [*kept]
    if kept:
        names = ", ".join(kept)
        yield "if start:"
        yield f"    {names}{',' * (len(kept) == 1)} = heard_before(past, start)"
        yield "else:"
        yield from (f"    {line}" for line in lines)
        yield f"    keep_once(past, {names})"


def each_alone(statements: Iterable[Statement], tokens: frozenset[str], *taken_apart: type) -> bool:
    """Whether a program does with each of `tokens` what it would do if there were no other, wherever it stands."""
    return all(
        one_token_will_do(statement, tokens, *taken_apart)
        and not isinstance(statement.operation, (PastProduct, PastSum))
        and not (isinstance(statement.operation, Attend) and statement.operation.bounds)
        for statement in statements
    )


@dataclass(frozen=True)
class Meeting:
    """How tokens meet: `rows` hear `columns`, none of which is after them; no names where they never meet.

    `kept` is read at columns by arrays over pairs: of each token it is made once.
    """

    rows: str = ""
    columns: str = ""
    kept: tuple[Variable, ...] = ()

    def has(self, statement: Statement) -> bool:
        """Whether a statement is one of those in which tokens meet."""
        return bool(self.rows) and {self.rows, self.columns} <= _axes(statement)


def meeting(statements: Iterable[Statement], tokens: frozenset[str]) -> Meeting | None:
    """How tokens meet in a program; None where a token may depend on later ones, or that cannot be told."""
    statements = [*statements]
    if any(isinstance(s.operation, PastSum) for s in statements):
        return None
    inner = [s for s in statements if _pair(s, tokens)]
    if not all(one_token_will_do(s, tokens) for s in statements if s not in inner):
        return None
    pairs = {_pair(s, tokens) for s in inner}
    if [len(pair) for pair in pairs] != [2]:
        return None if pairs else Meeting()
    one, other = pairs.pop()
    return _in_order(inner, one, other) or _in_order(inner, other, one)


def _in_order(inner: list[Statement], rows: str, columns: str) -> Meeting | None:
    """The same for one order of the two axes."""
    plain = [s for s in inner if not isinstance(s.operation, Attend)]
    kept = tuple(_read_at(columns, plain))
    summed = any(columns in s.lost for s in plain)
    hear_back = not summed or any(
        b.left == columns and b.offset <= 0 for b in summed_inside(plain, rows, columns)
    )
    fits = all(rows not in s.lost if s in plain else _attends_back(s, rows, columns) for s in inner)
    alike = all(v.batched and rows not in v.axes for v in kept)
    return Meeting(rows, columns, kept) if hear_back and fits and alike else None


def _attends_back(statement: Statement, rows: str, columns: str) -> bool:
    """Whether attention in one operation hears no later token, and 0/1 inputs are of the tokens heard."""
    attend = statement.operation
    assert isinstance(attend, Attend)
    return (
        (attend.row, attend.column) == (rows, columns)
        and any(b.left == columns and b.offset <= 0 for b in attend.bounds)
        and all(columns in gate.axes and rows not in gate.axes for gate in attend.gates)
        and all({rows, columns} <= {*bias.axes} for bias in attend.biases)
    )


def _read_at(columns: str, inner: list[Statement]) -> Iterator[Variable]:
    """What statements over pairs read at columns and do not make, each once."""
    made = {s.result.code for s in inner}
    operands = {o.code: o for s in inner for o in s.operands}
    yield from (o for o in operands.values() if columns in o.axes and o.code not in made)


def _pair(statement: Statement, tokens: frozenset[str]) -> frozenset[str]:
    """The axes of tokens that meet in a statement, where there are several."""
    if isinstance(statement.operation, PastProduct):
        return frozenset()
    found = tokens & _axes(statement)
    together = any(len(tokens & {*v.axes}) > 1 for v in (statement.result, *statement.operands))
    return found if together or isinstance(statement.operation, Attend) else frozenset()


def _axes(statement: Statement) -> set[str]:
    return {*statement.result.axes} | axes_of(statement.operands)
