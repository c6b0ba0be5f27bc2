"""Softmax attention found in a program: the statements that make it up become one `Attend`.

What is found is `Divide(Contract(mask, value), pool)`: the mask holds shifted exponentials of
`gain · query · key + biases`, silent outside bounds and 0/1 inputs; the pool sums it, and sinks. Whatever
differs stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from cortico.backends.arrays.attend import Attend
from cortico.backends.arrays.operations import (
    Add,
    Contract,
    Divide,
    Inside,
    Operation,
    Select,
    ShiftedExponential,
    Sum,
)
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable, axes_of
from cortico.ir import Bound
from cortico.ir.domain import bound_axes


def with_attention(statements: Sequence[Statement], results: Sequence[Variable]) -> list[Statement]:
    """The same program, where softmax attention is one statement; statements without use are left out."""
    wanted = {result.code for result in results}
    current = list(statements)
    for place, statement in enumerate(statements):
        found = _Search(current).attention(statement)
        if found:
            mask, fused = found
            after = alive([*current[:place], fused, *current[place + 1 :]], wanted)
            if all(s.result.code != mask.code for s in after):  # else it would be computed twice
                current[place] = fused
    return _with_optional_gates(alive(current, wanted))


def alive(statements: Iterable[Statement], wanted: Iterable[str]) -> list[Statement]:
    """The statements that the variables called `wanted` need."""
    needed, kept = set(wanted), []
    for statement in reversed(list(statements)):
        if statement.result.code in needed:
            needed.update(operand.code for operand in statement.operands)
            kept.append(statement)
    return kept[::-1]


def _with_optional_gates(statements: list[Statement]) -> list[Statement]:
    """Attention with one 0/1 input, that nothing else reads, does without the input where it is None."""
    gates = optional_gates(statements)
    return [
        replace(s, operation=replace(s.operation, optional=True))
        if isinstance(s.operation, Attend) and {g.code for g in s.operation.gates} & gates
        else s
        for s in statements
    ]


def optional_gates(statements: Iterable[Statement]) -> set[str]:
    """Names of 0/1 inputs that are read by attention only, one at a time."""
    single: set[str] = set()
    others: set[str] = set()
    for statement in statements:
        operation = statement.operation
        gates = operation.gates if isinstance(operation, Attend) else ()
        alone = {gate.code for gate in gates} if len(gates) == 1 else set()
        single |= alone
        others |= {operand.code for operand in statement.operands} - alone
    return single - others


@dataclass
class _Scores:
    """gain · query · key + biases, inside bounds and gates."""

    query: Variable
    key: Variable
    gain: str
    biases: list[Variable]
    bounds: tuple[Bound, ...] = ()
    gates: tuple[Variable, ...] = ()


class _Search:
    """Looks for attention behind the division of a statement."""

    def __init__(self, statements: Sequence[Statement]) -> None:
        self.made = {statement.result.code: statement for statement in statements}

    def attention(self, statement: Statement) -> tuple[Variable, Statement] | None:
        """The mask, and the statement that does without it; None when this is not attention."""
        if not isinstance(statement.operation, Divide):
            return None
        numerator, pool = statement.operands
        product = self._made(numerator, Contract())
        pair = product and self._mask_and_value(product)
        if not pair:
            return None
        mask, value = pair
        (column,) = {*mask.axes} - {*numerator.axes}
        exponent, peak = self.made[mask.code].operands
        sinks = self._sinks(pool, mask, peak, column)
        scores = self._scores(exponent, mask, column)
        if sinks is None or scores is None:
            return None
        attend = self._attend(scores, value, column, tuple(sinks))
        if attend is None or {*attend.heads, attend.row, *attend.shown} != {*statement.result.axes}:
            return None
        return mask, replace(statement, operation=attend, operands=attend.operands)

    def _made(self, variable: Variable, operation: Operation) -> Statement | None:
        """The statement that makes `variable`, if by this operation."""
        statement = self.made.get(variable.code)
        return statement if statement and statement.operation == operation else None

    def _mask_and_value(self, product: Statement) -> tuple[Variable, Variable] | None:
        """The two factors of a sum over one axis, of which the first holds shifted exponentials."""
        for mask, value in (product.operands, product.operands[::-1]):
            lost = axes_of((mask, value)) - {*product.result.axes}
            if self._made(mask, ShiftedExponential()) and len(lost) == 1 and lost <= {*mask.axes}:
                return mask, value
        return None

    def _sinks(
        self, pool: Variable, mask: Variable, peak: Variable, column: str
    ) -> list[Variable] | None:
        """The exponents in the pool besides the mask; None where it sums anything else."""
        whole = self._made(pool, Add())
        terms = list(whole.operands) if whole else [pool]
        sums = [t for t in terms if (made := self._made(t, Sum())) and made.operands == (mask,)]
        if len(sums) != 1 or {*sums[0].axes} != {*mask.axes} - {column}:
            return None
        sinks = []
        for term in terms:
            made = self._made(term, ShiftedExponential())
            if made and made.operands[1] == peak and column not in term.axes:
                sinks.append(made.operands[0])
            elif term not in sums:
                return None
        return sinks

    def _scores(self, exponent: Variable, mask: Variable, column: str) -> _Scores | None:
        chosen = self._made(exponent, Select(silent=True))
        value, *conditions = chosen.operands if chosen else [exponent]
        scores = self._product(value, column)
        if scores is None:
            return None
        for condition in conditions:
            made = self.made.get(condition.code)
            if made and isinstance(made.operation, Inside):
                scores.bounds += made.operation.bounds
            elif condition.gate:
                scores.gates += (condition,)
            else:
                return None
        return scores

    def _product(self, score: Variable, column: str) -> _Scores | None:
        """A score as the product of a query and a key, plus biases."""
        whole = self._made(score, Add())
        terms = list(whole.operands) if whole else [score]
        for term in terms:
            made = self.made.get(term.code)
            if made and isinstance(made.operation, Contract):
                first, second = made.operands
                query, key = (second, first) if column in first.axes else (first, second)
                if column in key.axes and column not in query.axes:
                    return _Scores(query, key, made.operation.gain, [t for t in terms if t != term])
        return None

    def _attend(
        self, scores: _Scores, value: Variable, column: str, sinks: tuple[Variable, ...]
    ) -> Attend | None:
        row = _row(scores, column)
        if row is None:
            return None
        attend = Attend(
            row,
            column,
            scores.query,
            scores.key,
            value,
            scores.gain,
            scores.bounds,
            scores.gates,
            tuple(scores.biases),
            sinks,
        )
        return attend if _is_regular(attend) else None


def _row(scores: _Scores, column: str) -> str | None:
    """The axis of queries: the one that bounds tie to `column`, else the last that keys lack."""
    tied = bound_axes(scores.bounds) - {column}
    own = [a for a in scores.query.axes if a not in scores.key.axes and (a in tied or not tied)]
    return own[-1] if own and len(tied) < 2 else None


def _is_regular(attend: Attend) -> bool:
    """Whether keys and values share the same heads, and every other array has all of the heads or none."""
    shared = {*attend.heads} & {*attend.key.axes}
    scores = (*attend.gates, *attend.biases)
    others = (*scores, *attend.sinks)
    places = {*attend.heads, attend.row, attend.column}
    return (
        bool(attend.matched and attend.shown)
        and attend.gain.partition(" * ")[0] not in ("0.0", "-0.0")  # kernels make 0 * inf of it
        and {*attend.key.axes} == {*shared, attend.column, *attend.matched}
        and {*attend.value.axes} == {*shared, attend.column, *attend.shown}
        and all(part.batched for part in (attend.query, attend.key, attend.value))
        and all({*part.axes} <= places for part in others)
        and all(attend.column in part.axes for part in scores)
        and all({*attend.heads} <= {*o.axes} or not {*attend.heads} & {*o.axes} for o in others)
    )
