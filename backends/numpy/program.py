"""The program under construction: statements, fresh names, and how a pair of arrays is contracted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cortico.backends.names import Names
from cortico.backends.numpy.terms import Variable, indexed, subscripts, transposed

#: Names that the emitted file uses itself.
RESERVED = frozenset(
    [
        "np",
        "json",
        "functools",
        "Path",
        "attention",
        "load_weights",
        "weights",
        "sizes",
        "dtype",
        "checked",
        "divide",
        "finite",
        "merge_rows",
        "merge_columns",
        "rotation",
        "distance",
    ]
)


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Name to a Python identifier that is neither a keyword nor a name of the emitted file."""
    return Names(RESERVED).of(names)


@dataclass
class Program:
    """Lines of the emitted function body, the helpers they call, and the names they use."""

    names: Names = field(default_factory=lambda: Names(RESERVED))
    lines: list[str] = field(default_factory=list)
    helpers: set[str] = field(default_factory=set)

    def comment(self, text: str) -> None:
        self.lines.append(f"# {text}")

    def assign(self, name: str, code: str, axes: Iterable[str], batched: bool) -> Variable:
        """Add the statement `name = code`; returns the variable, whose axes the line tells."""
        variable = Variable(self.names.fresh(name), tuple(axes), batched)
        shape = f"  # [{', '.join(variable.axes)}]" if variable.axes else ""
        self.lines.append(f"{variable.code} = {code}{shape}")
        return variable

    def call(self, helper: str, arguments: str) -> str:
        """Code that calls one of the helper functions of the emitted file."""
        self.helpers.add(helper)
        return f"{helper}({arguments})"


def product_code(variables: Iterable[Variable], axes: tuple[str, ...]) -> str:
    """Elementwise product of variables, broadcast over `axes`."""
    return " * ".join(indexed(variable, axes) for variable in variables)


def pair_code(
    program: Program, first: Variable, second: Variable, onto: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """Code that multiplies two arrays and sums the axes not in `onto`; and the axes of the result."""
    first, second = (
        _sum_lonely(program, *pair, onto) for pair in ((first, second), (second, first))
    )
    summed = [axis for axis in first.axes if axis in second.axes and axis not in onto]
    if not summed:
        return product_code((first, second), onto), onto
    shared = [axis for axis in first.axes if axis in second.axes and axis in onto]
    if not shared and not (first.batched and second.batched):
        return _tensordot(first, second, summed, onto)
    return _matmul(program, first, second, summed, onto)


def _sum_lonely(
    program: Program, variable: Variable, other: Variable, onto: tuple[str, ...]
) -> Variable:
    """Sum the axes of `variable` that neither the other factor nor the result has."""
    lonely = [axis for axis in variable.axes if axis not in other.axes and axis not in onto]
    if not lonely:
        return variable
    kept = tuple(axis for axis in variable.axes if axis not in lonely)
    return program.assign("total", sum_code(variable, kept), kept, variable.batched)


def sum_code(variable: Variable, onto: tuple[str, ...]) -> str:
    """Code that sums the axes of `variable` that are not in `onto`."""
    summed = [axis for axis in variable.axes if axis not in onto]
    if not summed:
        return transposed(variable, onto)
    kept = tuple(axis for axis in variable.axes if axis in onto)
    places = [variable.axes.index(axis) - len(variable.axes) for axis in summed]
    axis = str(places[0]) if len(places) == 1 else str(tuple(places))
    if kept == onto:
        return f"{variable.code}.sum(axis={axis})"
    prefix = "..." if variable.batched else ""
    return f'np.einsum("{subscripts(variable)}->{prefix}{"".join(onto)}", {variable.code})'


def _tensordot(
    first: Variable, second: Variable, summed: list[str], onto: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """One matrix product over all free axes: at most one operand has batch axes, which stay in front."""
    if second.batched:
        first, second = second, first
    places = [[v.axes.index(axis) - len(v.axes) for axis in summed] for v in (first, second)]
    result = tuple(axis for axis in (*first.axes, *second.axes) if axis not in summed)
    return f"np.tensordot({first.code}, {second.code}, axes={places})", result


def _matmul(
    program: Program, first: Variable, second: Variable, summed: list[str], onto: tuple[str, ...]
) -> tuple[str, tuple[str, ...]]:
    """A stack of matrix products over the shared axes, or einsum where one side has no axis of its own."""
    rows = [axis for axis in onto if axis in first.axes and axis not in second.axes]
    columns = [axis for axis in onto if axis in second.axes and axis not in first.axes]
    if not rows or not columns:
        batched = "..." if first.batched or second.batched else ""
        inputs = f"{subscripts(first)},{subscripts(second)}"
        return f'np.einsum("{inputs}->{batched}{"".join(onto)}", {first.code}, {second.code})', onto
    if onto.index(rows[-1]) > onto.index(columns[-1]):
        first, second, rows, columns = second, first, columns, rows
    row, column = rows[-1], columns[-1]
    stack = tuple(axis for axis in onto if axis not in (row, column))
    left = _matrix(program, first, stack, (row,), tuple(summed))
    right = _matrix(program, second, stack, tuple(summed), (column,))
    return f"{left} @ {right}", (*stack, row, column)


def _matrix(
    program: Program,
    variable: Variable,
    stack: tuple[str, ...],
    rows: tuple[str, ...],
    columns: tuple[str, ...],
) -> str:
    """Code that reads `variable` as a stack of matrices, several summed axes merged into one."""
    code = indexed(variable, (*stack, *rows, *columns))
    if len(rows) > 1:
        return program.call("merge_rows", f"{code}, {len(rows)}")
    if len(columns) > 1:
        return program.call("merge_columns", f"{code}, {len(columns)}")
    return code
