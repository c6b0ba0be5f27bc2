"""What a statement computes. Each operation knows how it is written, from its operands and its result.

Which axes are summed, kept or broadcast is read off the axes of both: the same operation makes the
whole array, or one tile of it when some of the axes are dropped from every variable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer
from cortico.ir import Bound


class Operation(Protocol):
    """A function of arrays."""

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        """The expression that makes `result` of `operands`."""
        ...


@dataclass(frozen=True)
class Contract:
    """`gain` times the product of two arrays, summed over the axes that the result lacks."""

    gain: str = ""

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        first, second = operands
        text, axes = write.contracted(first, second, result.axes)
        if axes != result.axes:
            text = write.transposed(Variable(_grouped(text), axes, result.batched), result.axes)
        return f"{self.gain} * {_grouped(text)}" if self.gain else text


def _grouped(text: str) -> str:
    """An expression that may stand before a method or in a product."""
    return f"({text})" if " @ " in text or " * " in text else text


@dataclass(frozen=True)
class Scale:
    """`gain` times an array."""

    gain: str

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        return f"{self.gain} * {write.transposed(operands[0], result.axes)}"


@dataclass(frozen=True)
class Sum:
    """The sum over the axes that the result lacks."""

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        return write.sum(operands[0], result.axes)


@dataclass(frozen=True)
class Multiply:
    """The product of arrays, entry by entry."""

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        return write.product(operands, result.axes)


@dataclass(frozen=True)
class Add:
    """The sum of arrays, entry by entry."""

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        return " + ".join(write.indexed(part, result.axes) for part in operands)


@dataclass(frozen=True)
class Divide:
    """The first array over the second; zero where that is zero."""

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        numerator, divisor = (write.indexed(part, result.axes) for part in operands)
        return write.divide(numerator, divisor)


@dataclass(frozen=True)
class Transfer:
    """A transfer function of every entry."""

    name: str

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        return write.transfer(self.name, write.transposed(operands[0], result.axes))


@dataclass(frozen=True)
class Select:
    """The first array where all the others hold, elsewhere `other`: zero, or minus infinity.

    A 0/1 input holds where it is above zero.
    """

    silent: bool  #: minus infinity: the exponent of a cell that does not fire

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        value, *conditions = operands
        live = " & ".join(self.condition(write, c, result.axes) for c in conditions)
        other = f"-{write.infinity}" if self.silent else "0"
        return write.where(live, write.indexed(value, result.axes), other)

    @staticmethod
    def condition(write: Writer, variable: Variable, axes: tuple[str, ...]) -> str:
        if variable.gate is None:
            return write.indexed(variable, axes)
        positive = Variable(f"({variable.code} > 0)", variable.axes, variable.batched)
        return write.indexed(positive, axes)


@dataclass(frozen=True)
class Peak:
    """The largest of the operands' entries over the axes that the result lacks; 0 where that is -inf."""

    floored: bool = False  #: at least 0

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        first, *others = (write.largest(operand, result.axes) for operand in operands)
        for other in others:
            first = write.maximum(first, other)
        return f"finite({write.transfer('relu', first) if self.floored else first})"


@dataclass(frozen=True)
class Raised:
    """exp(-peak), which constants are multiplied by that are added to shifted exponentials."""

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        return write.exp(f"-{write.indexed(operands[0], result.axes)}")


@dataclass(frozen=True)
class ShiftedExponential:
    """exp(exponent - peak): the shift cancels later."""

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        exponent, peak = (write.indexed(operand, result.axes) for operand in operands)
        return write.exp(f"{exponent} - {peak}")


@dataclass(frozen=True)
class Ones:
    """Ones along one axis."""

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        return write.ones(result.axes[0])


@dataclass(frozen=True)
class Inside:
    """Where bounds on the two axes of the result hold."""

    bounds: tuple[Bound, ...]

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        left, right = result.axes
        differences = write.differences(left, right)
        tests = [
            f"{differences} <= {bound.offset}"
            if bound.left == left
            else f"{differences} >= {-bound.offset}"
            for bound in self.bounds
        ]
        return tests[0] if len(tests) == 1 else " & ".join(f"({test})" for test in tests)


@dataclass(frozen=True)
class OneHot:
    """1 where the last axis of the result is at the number of a token, 0 elsewhere."""

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        (ids,) = operands
        (token,) = {*result.axes} - {*ids.axes}
        each = write.indexed(ids, (*ids.axes, token))
        text = write.numbers(f"({write.equal(each, write.positions(token))})")
        return write.transposed(Variable(text, (*ids.axes, token), result.batched), result.axes)


@dataclass(frozen=True)
class Gather:
    """The rows of a table that the numbers of tokens name: its product with `OneHot`, summed over `token`.

    No array is larger than the result.
    """

    token: str

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        table, ids = operands
        shown = tuple(axis for axis in table.axes if axis != self.token)
        text = write.rows(write.transposed(table, (self.token, *shown)), ids.code, len(shown))
        return write.transposed(Variable(text, (*ids.axes, *shown), result.batched), result.axes)


@dataclass(frozen=True)
class Numbers:
    """Ones where a bound holds, zeros elsewhere: libraries add and scale truth values in ways of their own."""

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        return write.numbers(write.transposed(operands[0], result.axes))


@dataclass(frozen=True)
class Reorder:
    """The same array, with its axes in the order of the result."""

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        return write.transposed(operands[0], result.axes)


@dataclass(frozen=True)
class Reread:
    """The same array at other axes: an entry of the result at (j, m) is that of the operand at (i, m)."""

    names: Mapping[str, str]  #: each axis of the operand, and the axis that it becomes

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        (operand,) = operands
        axes = tuple(self.names[axis] for axis in operand.axes)
        return write.transposed(replace(operand, axes=axes), result.axes)

    @property
    def moved(self) -> frozenset[str]:
        """The axes of the operand that become others."""
        return frozenset(own for own, read in self.names.items() if own != read)


@dataclass(frozen=True)
class PastProduct:
    """Σ_{past <= now} (query · key) value: exact within chunks of tokens, a running memory across them.

    Operands are queries over (…, `now`, matched features), keys over (…, `past`, matched features) and
    values over (…, `past`, other features).
    """

    now: str
    past: str
    kept: str = ""  #: under which name earlier calls left the memory, where tokens go on

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        parts = self.matrices(write, result, operands)
        return self.shaped(write, write.past_product(*parts, kept=self.kept), result, operands)

    def matrices(
        self,
        write: Writer,
        result: Variable,
        operands: Sequence[Variable],
        dropped: frozenset[str] = frozenset(),
    ) -> list[str]:
        """Queries, keys and values with tokens along rows; without rows where those axes are `dropped`."""
        query, key, value = operands
        matched = tuple(a for a in key.axes if a in query.axes and a not in result.axes)
        shown = self._shown(operands)
        stack = tuple(a for a in result.axes if a not in (self.now, *shown))
        return [
            _as_matrix(write, variable, stack, row, columns, dropped)
            for variable, row, columns in (
                (query, self.now, matched),
                (key, self.past, matched),
                (value, self.past, shown),
            )
        ]

    def shaped(
        self, write: Writer, text: str, result: Variable, operands: Sequence[Variable]
    ) -> str:
        """`text`, which gives rows of shown features, as an array over the axes of the result."""
        shown = self._shown(operands)
        if len(shown) > 1:
            text = f"split_columns({text}, {', '.join(write.sizes[axis] for axis in shown)})"
        row = [self.now] if self.now in result.axes else []
        stack = [a for a in result.axes if a not in (self.now, *shown)]
        return write.transposed(Variable(text, (*stack, *row, *shown), result.batched), result.axes)

    def _shown(self, operands: Sequence[Variable]) -> tuple[str, ...]:
        query, _, value = operands
        return tuple(a for a in value.axes if a not in (*query.axes, self.past))


def _as_matrix(
    write: Writer,
    variable: Variable,
    stack: tuple[str, ...],
    row: str,
    columns: tuple[str, ...],
    dropped: frozenset[str],
) -> str:
    rows = () if row in dropped else (row,)
    there = replace(variable, axes=tuple(a for a in variable.axes if a not in dropped))
    code = write.indexed(there, (*stack, *rows, *columns))
    return code if len(columns) == 1 else f"merge_columns({code}, {len(columns)})"


@dataclass(frozen=True)
class PastSum:
    """The sum over `past` up to and including `now`."""

    now: str
    past: str

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        (operand,) = operands
        axes = tuple(self.now if axis == self.past else axis for axis in operand.axes)
        place = axes.index(self.now) - len(axes)
        text = f"{operand.code}.cumsum({place})"
        return write.transposed(Variable(text, axes, result.batched), result.axes)


@dataclass(frozen=True)
class Distance:
    """Linear position bias: slope times (`column` - `row`)."""

    row: str
    column: str

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        pair = (self.column, self.row)
        steps = Variable(write.numbers(write.differences(*pair)), pair, batched=False)
        return write.product((operands[0], steps), result.axes)
