"""How arrays over named axes are written down: the text of expressions in a library of arrays.

This is NumPy's; other libraries override what they call differently.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from cortico.backends.arrays.variables import Variable, is_batched
from cortico.ir.transfer import TRANSFERS


class Writer:
    """Text of expressions. `sizes` gives the code for the size of each axis."""

    library = "np"
    language = "numpy"  #: the column of transfer functions
    attend_arguments: tuple[str, ...] = ()  #: further arguments of the helper `attend`
    past_arguments: tuple[str, ...] = ()  #: and of `past_product`

    def __init__(self, sizes: Mapping[str, str]) -> None:
        self.sizes = sizes

    # ---- places along an axis ----------------------------------------------------------------------

    def positions(self, axis: str) -> str:
        """The indices of an axis, as an array of integers."""
        return f"{self.library}.arange({self.sizes[axis]})"

    def ones(self, axis: str) -> str:
        return f"{self.library}.ones({self.sizes[axis]}, dtype)"

    def differences(self, left: str, right: str) -> str:
        """`left - right` over (left, right)."""
        return f"{self.library}.subtract.outer({self.positions(left)}, {self.positions(right)})"

    def all_ones(self, sides: str) -> str:
        """A 0/1 input that was not given."""
        return f"{self.library}.ones([{sides}], bool)"

    def cast(self, code: str) -> str:
        """An array in the precision of the rates."""
        return f"{code}.astype(dtype)"

    def numbers(self, code: str) -> str:
        """An array of integers as one of rates."""
        return f"{self.library}.asarray({code}, dtype)"

    def equal(self, first: str, second: str) -> str:
        return f"{first} == {second}"

    def rows(self, table: str, ids: str, sides: int) -> str:
        """The rows of a table at whole numbers; a row has so many sides."""
        return f"{table}[{ids}]"

    # ---- reading -----------------------------------------------------------------------------------

    def transposed(self, variable: Variable, axes: tuple[str, ...]) -> str:
        """Code for a view of `variable` with its axes in the order `axes`."""
        if variable.axes == axes:
            return variable.code
        moved = [k - len(axes) for k, axis in enumerate(axes) if axis != variable.axes[k]]
        if len(moved) == 2:
            return f"{variable.code}.swapaxes({moved[0]}, {moved[1]})"
        if variable.batched:
            after = subscripts(replace(variable, axes=axes))
            return self.einsum(f"{subscripts(variable)}->{after}", variable.code)
        return self.permuted(variable.code, [variable.axes.index(axis) for axis in axes])

    def permuted(self, code: str, order: Sequence[int]) -> str:
        return f"{code}.transpose({', '.join(map(str, order))})"

    def indexed(self, variable: Variable, axes: tuple[str, ...]) -> str:
        """Code that reads `variable` so that it broadcasts against an array over `axes`.

        The variable's own axes must be a subset of `axes`; they are transposed when their order differs.
        """
        code = self.transposed(variable, tuple(axis for axis in axes if axis in variable.axes))
        steps = [":" if axis in variable.axes else "None" for axis in axes]
        if variable.batched:
            steps.insert(0, "...")
        else:
            while steps and steps[0] == "None":  # broadcasting adds leading axes by itself
                steps.pop(0)
        return code if "None" not in steps else f"{code}[{', '.join(steps)}]"

    # ---- arithmetic --------------------------------------------------------------------------------

    def product(self, variables: Iterable[Variable], axes: tuple[str, ...]) -> str:
        """Elementwise product of variables, broadcast over `axes`."""
        return " * ".join(self.indexed(variable, axes) for variable in variables)

    def sum(self, variable: Variable, onto: tuple[str, ...]) -> str:
        """The sum of `variable` over its axes that are not in `onto`."""
        kept = tuple(axis for axis in variable.axes if axis in onto)
        if kept == variable.axes:
            return self.transposed(variable, onto)
        if kept == onto:
            return self.reduced("sum", variable, onto)
        prefix = "..." if variable.batched else ""
        return self.einsum(f"{subscripts(variable)}->{prefix}{''.join(onto)}", variable.code)

    def largest(self, variable: Variable, onto: tuple[str, ...]) -> str:
        """The largest entry of `variable` over its axes that are not in `onto`, broadcast over `onto`."""
        kept = tuple(axis for axis in variable.axes if axis in onto)
        if kept == variable.axes:
            return self.indexed(variable, onto)
        code = self.reduced("max", variable, kept)
        return self.indexed(Variable(code, kept, variable.batched), onto)

    def reduced(self, method: str, variable: Variable, kept: tuple[str, ...]) -> str:
        """A method of arrays over all axes but `kept`."""
        places = [k - len(variable.axes) for k, a in enumerate(variable.axes) if a not in kept]
        axis = str(places[0]) if len(places) == 1 else str(tuple(places))
        return f"{variable.code}.{method}(axis={axis})"

    def einsum(self, formula: str, *codes: str) -> str:
        return f'{self.library}.einsum("{formula}", {", ".join(codes)})'

    def tensordot(self, first: str, second: str, places: Sequence[Sequence[int]]) -> str:
        return f"{self.library}.tensordot({first}, {second}, axes={list(places)})"

    def where(self, condition: str, value: str, other: str) -> str:
        return f"{self.library}.where({condition}, {value}, {other})"

    def maximum(self, first: str, second: str) -> str:
        return f"{self.library}.maximum({first}, {second})"

    def exp(self, argument: str) -> str:
        return f"{self.library}.exp({argument})"

    def transfer(self, name: str, argument: str) -> str:
        """A transfer function of `cortico.ir.transfer`."""
        text: str = getattr(TRANSFERS[name], self.language)
        return text.format(x=argument)

    def divide(self, numerator: str, divisor: str) -> str:
        """A division that gives zero where the divisor is zero: a helper of the emitted file."""
        return f"divide({numerator}, {divisor})"

    def past_product(self, *parts: str, kept: str = "") -> str:
        """Σ over the past of (query · key) value: a helper of the emitted file.

        With `kept`, what earlier calls left in `past` under that name is in the sum, too.
        """
        arguments = ", ".join([*parts, *self.past_arguments])
        if not kept:
            return f"past_product({arguments})"
        name = json.dumps(kept, ensure_ascii=False)
        return f"past_product_behind(past, {name}, start, {arguments})"

    @property
    def infinity(self) -> str:
        return f"{self.library}.inf"

    # ---- products of two arrays ------------------------------------------------------------------------

    def contracted(
        self, first: Variable, second: Variable, onto: tuple[str, ...]
    ) -> tuple[str, tuple[str, ...]]:
        """Code that multiplies two arrays and sums what is not in `onto`; and the axes of the result.

        Each summed axis must be in both.
        """
        summed = [axis for axis in first.axes if axis in second.axes and axis not in onto]
        if not summed:
            return self.product((first, second), onto), onto
        shared = [axis for axis in first.axes if axis in second.axes and axis in onto]
        if not shared and not (first.batched and second.batched):
            return self._tensordot(first, second, summed, onto)
        return self._matmul(first, second, summed, onto)

    def _tensordot(
        self, first: Variable, second: Variable, summed: list[str], onto: tuple[str, ...]
    ) -> tuple[str, tuple[str, ...]]:
        """One matrix product over all free axes: at most one operand has batch axes, which stay in front."""
        leading = next((axis for axis in onto if axis in (*first.axes, *second.axes)), None)
        if second.batched or (not first.batched and leading in second.axes):
            first, second = second, first
        places = [[v.axes.index(axis) - len(v.axes) for axis in summed] for v in (first, second)]
        result = tuple(axis for axis in (*first.axes, *second.axes) if axis not in summed)
        return self.tensordot(first.code, second.code, places), result

    def _matmul(
        self, first: Variable, second: Variable, summed: list[str], onto: tuple[str, ...]
    ) -> tuple[str, tuple[str, ...]]:
        """A stack of matrix products over the shared axes, or einsum where one side has no axis of its own."""
        rows = [axis for axis in onto if axis in first.axes and axis not in second.axes]
        columns = [axis for axis in onto if axis in second.axes and axis not in first.axes]
        if not rows or not columns:
            batched = "..." if is_batched((first, second)) else ""
            inputs = f"{subscripts(first)},{subscripts(second)}"
            return self.einsum(f"{inputs}->{batched}{''.join(onto)}", first.code, second.code), onto
        if onto.index(rows[-1]) > onto.index(columns[-1]):
            first, second, rows, columns = second, first, columns, rows
        row, column = rows[-1], columns[-1]
        stack = tuple(axis for axis in onto if axis not in (row, column))
        left = self._matrix(first, stack, (row,), tuple(summed))
        right = self._matrix(second, stack, tuple(summed), (column,))
        axes = (*stack, row, column)
        return self.matmul(left, right, axes), axes

    def matmul(self, left: str, right: str, axes: tuple[str, ...]) -> str:
        """Code for a stack of matrix products over `axes`."""
        return f"{left} @ {right}"

    def _matrix(
        self,
        variable: Variable,
        stack: tuple[str, ...],
        rows: tuple[str, ...],
        columns: tuple[str, ...],
    ) -> str:
        """Code that reads `variable` as a stack of matrices, several summed axes merged into one."""
        code = self.indexed(variable, (*stack, *rows, *columns))
        if len(rows) > 1:
            return f"merge_rows({code}, {len(rows)})"
        if len(columns) > 1:
            return f"merge_columns({code}, {len(columns)})"
        return code


def subscripts(variable: Variable) -> str:
    """The einsum subscripts of a variable. Axis names of one letter stand for themselves."""
    return ("..." if variable.batched else "") + "".join(variable.axes)
