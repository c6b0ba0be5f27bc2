"""Operations of the NumPy backend alone: matrix products with weights that were packed before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer


class ThreadedWriter(Writer):
    """NumPy where large products are shared by threads: the variable `threads` of the emitted file."""

    def past_product(self, query: str, key: str, value: str) -> str:
        return f"past_product({query}, {key}, {value}, threads)"


@dataclass(frozen=True)
class Project:
    """The operand times a packed matrix, over its axes `summed`, plus a packed bias if there is one."""

    matrix: str
    summed: tuple[str, ...]
    bias: str = ""
    stays: bool = False  #: in the file: nothing that it returns shares memory with the product

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        (source,) = operands
        rest = tuple(axis for axis in source.axes if axis not in self.summed)
        code = write.transposed(source, (*rest, *self.summed))
        if len(self.summed) > 1:
            code = f"merge_columns({code}, {len(self.summed)})"
        if isinstance(write, ThreadedWriter):
            memory = f', work, "{self.matrix}"' if self.stays else ""
            return f"project({code}, {self.matrix}, {self.bias or None}, threads{memory})"
        return f"{code} @ {self.matrix}" + (f" + {self.bias}" if self.bias else "")


@dataclass(frozen=True)
class Part:
    """Columns `start` to `stop` of the operand, as an array over axes of `sides` each."""

    start: int
    stop: int
    sides: tuple[int, ...]

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        (whole,) = operands
        if not self.sides:
            return f"{whole.code}[..., {self.start}]"
        code = f"{whole.code}[..., {self.start}:{self.stop}]"
        if len(self.sides) == 1:
            return code
        return f"split_columns({code}, {', '.join(map(str, self.sides))})"
