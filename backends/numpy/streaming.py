"""One token at a time: the same program with the axes of tokens taken out, and memories kept in a state.

A circuit can be streamed when tokens meet only in sums over the past. Then what a new token needs of all
earlier ones is one running memory (or total) for each such sum, of the same size at every position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from cortico.backends.arrays.file import assignment
from cortico.backends.arrays.operations import PastProduct, PastSum, Reread
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable, axes_of
from cortico.backends.arrays.writer import Writer
from cortico.backends.numpy.operations import Part
from cortico.ir import Circuit, Role


def token_axes(circuit: Circuit) -> frozenset[str]:
    """The axes along which tokens lie."""
    return frozenset(axis.name for axis in circuit.axes if axis.role is Role.COLUMN)


def can_stream(
    circuit: Circuit, statements: Sequence[Statement], results: Sequence[Variable]
) -> bool:
    """Whether tokens come one after another, and meet only in sums over the past."""
    tokens = token_axes(circuit)
    clocks = {circuit.axis(axis).extent for axis in tokens}
    pasts = [s for s in statements if isinstance(s.operation, PastProduct | PastSum)]
    return (
        bool(pasts)
        and len(clocks) == 1
        and all(sum(side in clocks for side in tensor.shape) <= 1 for tensor in circuit.inputs)
        and all(tokens & {*result.axes} for result in results)
        and all(_one_token_will_do(s, tokens) for s in statements)
    )


def _one_token_will_do(statement: Statement, tokens: frozenset[str]) -> bool:
    variables = (statement.result, *statement.operands)
    if any(len(tokens & {*variable.axes}) > 1 for variable in variables):
        return False
    if isinstance(statement.operation, PastProduct | PastSum | Part):
        return True
    if isinstance(statement.operation, Reread):  # of the same token, whatever it is called
        return all(len(tokens & {*v.axes}) == 1 for v in variables) or not statement.lost & tokens
    met = tokens & axes_of(statement.operands)
    return bool(statement.operands) and met <= {*statement.result.axes}


class StepCode:
    """The statements of one step."""

    def __init__(self, sizes: Mapping[str, str], tokens: frozenset[str]) -> None:
        self._write, self._tokens = Writer(sizes), tokens

    def lines(self, statements: Sequence[Statement]) -> Iterator[str]:
        """The program for one token, and what it leaves in `state`."""
        for statement in statements:
            yield from (f"# {text}" for text in statement.comments)
            yield from self._statement(statement)

    def local(self, variable: Variable) -> Variable:
        """A variable without its axis of tokens."""
        axes = tuple(axis for axis in variable.axes if axis not in self._tokens)
        return replace(variable, axes=axes)

    def _statement(self, statement: Statement) -> Iterator[str]:
        result, operands = self.local(statement.result), tuple(map(self.local, statement.operands))
        match statement.operation:
            case PastProduct() as operation:
                query, key, value = operation.matrices(
                    self._write, statement.result, statement.operands, self._tokens
                )
                yield f'state["{result.code}"] = remember(state.get("{result.code}"), {key}, {value})'
                code = operation.shaped(
                    self._write, f'recall({query}, state["{result.code}"])', result, operands
                )
            case PastSum():
                (arrival,) = operands
                yield f'state["{result.code}"] = total(state.get("{result.code}"), {arrival.code})'
                now = replace(arrival, code=f'state["{result.code}"]')
                code = self._write.transposed(now, result.axes)
            case operation:
                code = operation.code(self._write, result, operands)
        yield assignment(result, code)


def kept(statements: Sequence[Statement]) -> list[str]:
    """Names of what a state holds beside the position."""
    return [s.result.code for s in statements if isinstance(s.operation, PastProduct | PastSum)]
