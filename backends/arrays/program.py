"""The program under construction: statements, and fresh names for their results.

The names are marked: `cortico.backends.names.settled` makes plain ones of them when the text is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cortico.backends.arrays.operations import Operation, Reread
from cortico.backends.arrays.variables import Variable, axes_of, is_batched
from cortico.backends.names import MarkedNames, Names


@dataclass(frozen=True)
class Statement:
    """`result = operation(operands)`, under comments that say what it is in the circuit."""

    result: Variable
    operation: Operation
    operands: tuple[Variable, ...] = ()
    comments: tuple[str, ...] = ()

    @property
    def lost(self) -> frozenset[str]:
        """Axes of the operands of which an index of the result needs others than its own."""
        summed = axes_of(self.operands) - {*self.result.axes}
        return summed | self.operation.moved if isinstance(self.operation, Reread) else summed


@dataclass
class Program:
    """Statements in the order in which they run."""

    names: Names = field(default_factory=MarkedNames)
    statements: list[Statement] = field(default_factory=list)
    _comments: list[str] = field(default_factory=list)

    def comment(self, text: str) -> None:
        """A comment above the next statement."""
        self._comments.append(text)

    def assign(
        self,
        name: str,
        operation: Operation,
        axes: Iterable[str],
        operands: Sequence[Variable] = (),
    ) -> Variable:
        """Add a statement under a fresh name; returns its result."""
        comments, self._comments = tuple(self._comments), []
        return self._added(name, operation, axes, operands, comments)

    def aside(
        self, name: str, operation: Operation, axes: Iterable[str], operands: Sequence[Variable]
    ) -> Variable:
        """The same for a statement that may prove to be of no use: comments wait for the next."""
        return self._added(name, operation, axes, operands, ())

    def _added(
        self,
        name: str,
        operation: Operation,
        axes: Iterable[str],
        operands: Sequence[Variable],
        comments: tuple[str, ...],
    ) -> Variable:
        result = Variable(self.names.fresh(name), tuple(axes), is_batched(operands))
        self.statements.append(Statement(result, operation, tuple(operands), comments))
        return result

    def without_unread(self, kind: type, results: Iterable[Variable]) -> None:
        """Take out statements of an operation that nothing reads."""
        read = {v.code for v in results} | {o.code for s in self.statements for o in s.operands}
        self.statements = [
            s for s in self.statements if s.result.code in read or not isinstance(s.operation, kind)
        ]
