"""How expressions on arrays read in PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer

#: Sums over fewer terms than this are written out: matrix products would be tiny, and PyTorch sums short axes slowly.
_FEWEST_TERMS = 4


class TorchWriter(Writer):
    """Text of PyTorch expressions; `device` and `dtype` are variables of the emitted file."""

    library = language = "torch"

    def positions(self, axis: str) -> str:
        return f"torch.arange({self.sizes[axis]}, device=device)"

    def ones(self, axis: str) -> str:
        return f"torch.ones({self.sizes[axis]}, dtype=dtype, device=device)"

    def differences(self, left: str, right: str) -> str:
        return f"({self.positions(left)}[:, None] - {self.positions(right)})"

    def all_ones(self, sides: str) -> str:
        return f"torch.ones([{sides}], device=device)"

    def cast(self, code: str) -> str:
        return f"{code}.to(dtype)"

    numbers = cast

    def rows(self, table: str, ids: str, sides: int) -> str:
        return f"F.embedding({ids}, {table})" if sides == 1 else super().rows(table, ids, sides)

    def transposed(self, variable: Variable, axes: tuple[str, ...]) -> str:
        if variable.code == "dtype(1)":  # the planner's number one
            return "torch.ones((), dtype=dtype, device=device)"
        return super().transposed(variable, axes)

    def permuted(self, code: str, order: Sequence[int]) -> str:
        return f"{code}.permute({', '.join(map(str, order))})"

    def reduced(self, method: str, variable: Variable, kept: tuple[str, ...]) -> str:
        name = {"max": "amax", "sum": "sum"}[method]
        return super().reduced(name, variable, kept).replace("(axis=", "(dim=")

    def tensordot(self, first: str, second: str, places: Sequence[Sequence[int]]) -> str:
        return f"torch.tensordot({first}, {second}, dims={list(places)})"

    @property
    def infinity(self) -> str:
        return "torch.inf"

    def contracted(
        self, first: Variable, second: Variable, onto: tuple[str, ...]
    ) -> tuple[str, tuple[str, ...]]:
        summed = [axis for axis in first.axes if axis in second.axes and axis not in onto]
        sides = [self.sizes[axis] for axis in summed]
        if len(summed) == 1 and sides[0].isdigit() and int(sides[0]) < _FEWEST_TERMS:
            terms = [
                self.product([_entry(each, summed[0], k) for each in (first, second)], onto)
                for k in range(int(sides[0]))
            ]
            return " + ".join(terms), onto
        return super().contracted(first, second, onto)


def _entry(variable: Variable, axis: str, number: int) -> Variable:
    """A variable at one place of an axis."""
    place = variable.axes.index(axis) - len(variable.axes)
    axes = tuple(each for each in variable.axes if each != axis)
    return replace(variable, code=f"{variable.code}.select({place}, {number})", axes=axes)
