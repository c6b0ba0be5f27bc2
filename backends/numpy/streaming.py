"""One token at a time: the same program with the axes of tokens taken out, and memories kept in a state.

A circuit can be streamed when tokens meet only in sums over the past. Then what a new token needs of all
earlier ones is one running memory (or total) for each such sum, of the same size at every position.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from cortico.backends.arrays.file import assignment
from cortico.backends.arrays.going_on import one_token_will_do
from cortico.backends.arrays.operations import PastProduct, PastSum
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer
from cortico.backends.numpy.operations import Part
from cortico.backends.numpy.plan import Plan
from cortico.backends.numpy.weights import precision, unpacked
from cortico.ir import Role


def step_function(plan: Plan) -> Iterator[str]:
    """The function `step` of an emitted file, where the circuit can be streamed."""
    if plan.sized_later or not _can_stream(plan):
        return
    weights = "weights=None" if plan.stored else "weights"
    yield f"def {plan.entry.step}(state, {', '.join([*plan.wanted, '*', *plan.gates, weights])}):"
    yield f'''\
    """The state after one more token, and {plan.outputs} of it. Inputs lack their axis of tokens.

    `state` is None before the first token. It is a dictionary of arrays, of one size at every
    position: `np.savez(file, **state)` and `dict(np.load(file))` keep and resume it.
    """'''
    yield textwrap.indent("\n".join(_body(plan)), "    ")


def _body(plan: Plan) -> Iterator[str]:
    statements, code = plan.packing.statements, _StepCode(plan.sizes, plan.tokens)
    pasts = (s for s in statements if isinstance(s.operation, PastProduct | PastSum))
    kept = json.dumps([s.result.code for s in pasts], ensure_ascii=False)
    yield f"state, position = next_token(state, {kept})"
    yield precision(plan)
    clock = next(a.extent for a in plan.circuit.axes if a.role is Role.COLUMN)
    yield from plan.checked_inputs(without=clock)
    yield from unpacked(plan, on_ranks=False)
    yield from plan.formula_lines(lambda shape: "np.array([position])", plan.names, "[0]")
    yield from code.lines(statements)
    pairs = zip(plan.packing.results, plan.results, strict=True)
    given = [plan.write.transposed(code.local(r), code.local(o).axes) for r, o in pairs]
    yield f"return state, {given[0] if len(given) == 1 else '(' + ', '.join(given) + ')'}"


def _can_stream(plan: Plan) -> bool:
    """Whether tokens come one after another, and meet only in sums over the past."""
    statements, tokens = plan.packing.statements, plan.tokens
    clocks = {axis.extent for axis in plan.axes if axis.name in tokens}
    return (
        any(isinstance(s.operation, PastProduct | PastSum) for s in statements)
        and len(clocks) == 1
        and all(sum(side in clocks for side in tensor.shape) <= 1 for tensor in plan.circuit.inputs)
        and all(tokens & {*result.axes} for result in plan.packing.results)
        and all(one_token_will_do(s, tokens, Part) for s in statements)
    )


class _StepCode:
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
