"""Softmax attention as one operation, which a library may have a kernel for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer
from cortico.ir import Bound


@dataclass(frozen=True)
class Attend:
    """softmax(gain · query keyᵀ + biases) value, where a row hears some columns; zero where it hears none.

    Queries are over (heads …, `row`, features …), keys and values over (some of the heads, `column`,
    features …). A sink is the score of one more key, whose value is zero. The text is a call of `attend`,
    a helper of the emitted file, on arrays over (heads, tokens, features).
    """

    row: str
    column: str
    query: Variable
    key: Variable
    value: Variable
    gain: str = ""
    bounds: tuple[Bound, ...] = ()
    gates: tuple[Variable, ...] = ()
    biases: tuple[Variable, ...] = ()
    sinks: tuple[Variable, ...] = ()
    optional: bool = False  #: the only gate may be None, which is all ones

    @property
    def operands(self) -> tuple[Variable, ...]:
        return (self.query, self.key, self.value, *self.gates, *self.biases, *self.sinks)

    @property
    def heads(self) -> tuple[str, ...]:
        """Axes of queries that are neither rows nor features. Those that keys share come first."""
        own = [a for a in self.query.axes if a != self.row and a not in self.matched]
        return tuple(sorted(own, key=lambda axis: axis not in self.key.axes))

    @property
    def matched(self) -> tuple[str, ...]:
        """Features that keys and queries share and values lack."""
        shared = (a for a in self.key.axes if a in self.query.axes)
        return tuple(a for a in shared if a not in self.value.axes)

    @property
    def shown(self) -> tuple[str, ...]:
        """Features of values."""
        return tuple(a for a in self.value.axes if a not in (self.column, *self.key.axes))

    @property
    def function(self) -> str:
        """The helper: one for bounds on both sides, where only columns are gated, does without all pairs."""
        columns = all({*gate.axes} == {self.column} for gate in self.gates)
        window = {bound.left for bound in self.bounds} == {self.row, self.column}
        return "attend_window" if window and columns and not self.biases + self.sinks else "attend"

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        options = [f"{name}={text}" for name, text in self.options(write)]
        arguments = [*self.arrays(write), *options, *write.attend_arguments]
        return self.shaped(write, result, f"{self.function}({', '.join(arguments)})")

    def arrays(self, write: Writer) -> tuple[str, str, str]:
        """Queries, keys and values over (heads, tokens, features)."""
        shared = tuple(a for a in self.heads if a in self.key.axes)
        return (
            _over_heads(write, self.query, self.heads, self.row, self.matched),
            _over_heads(write, self.key, shared, self.column, self.matched),
            _over_heads(write, self.value, shared, self.column, self.shown),
        )

    def shaped(self, write: Writer, result: Variable, text: str) -> str:
        """`text`, which is over (heads, rows, shown features), as an array over the axes of `result`."""
        text = _split(write, text, self.heads, self.shown)
        axes = (*self.heads, self.row, *self.shown)
        return write.transposed(Variable(text, axes, result.batched), result.axes)

    def options(self, write: Writer) -> Iterator[tuple[str, str]]:
        """Names and texts of the other arguments of the helper."""

        def score(variable: Variable) -> str:
            return _over_heads(write, variable, self.heads, self.row, (self.column,))

        yield "scale", self.gain or "1.0"
        least = [-bound.offset for bound in self.bounds if bound.right == self.row]
        most = [bound.offset for bound in self.bounds if bound.left == self.row]
        if least:
            yield "least", str(max(least))
        if most:
            yield "most", str(min(most))
        if self.gates:
            gates = (replace(gate, code=f"({gate.code} > 0)") for gate in self.gates)
            live = " & ".join(map(score, gates))
            yield (
                "live",
                f"None if {self.gates[0].code} is None else {live}" if self.optional else live,
            )
        if self.biases:
            yield "bias", " + ".join(map(score, self.biases))
        if self.sinks:
            yield "sinks", f"[{', '.join(map(score, self.sinks))}]"


def _over_heads(
    write: Writer, variable: Variable, heads: tuple[str, ...], row: str, columns: tuple[str, ...]
) -> str:
    """Code that reads `variable` over (heads, row, columns): several heads are one axis, columns too."""
    some = any(axis in heads for axis in variable.axes)
    code = write.indexed(variable, (*(heads if some else ["a head"]), row, *columns))
    if len(columns) > 1:
        code = f"merge_columns({code}, {len(columns)})"
    return f"merge_heads({code}, {len(heads)})" if some and len(heads) > 1 else code


def _split(write: Writer, code: str, heads: tuple[str, ...], shown: tuple[str, ...]) -> str:
    """`code`, which is over (heads, row, columns), with an axis for each of `heads` and `shown`."""
    if len(heads) > 1:
        code = f"split_heads({code}, {', '.join(write.sizes[axis] for axis in heads)})"
    if len(shown) > 1:
        code = f"split_columns({code}, {', '.join(write.sizes[axis] for axis in shown)})"
    return code if heads else f"{code}[..., 0, :, :]"
