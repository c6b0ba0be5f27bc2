"""Operations of the NumPy backend alone: matrix products with weights that were packed before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer


class ThreadedWriter(Writer):
    """NumPy where large products are shared by threads: the variable `threads` of the emitted file.

    `slices` are the Python names of a rank's slice of some axes.
    """

    past_arguments = ("threads",)

    def __init__(self, sizes: Mapping[str, str], slices: Mapping[str, str] | None = None) -> None:
        super().__init__(sizes)
        self._slices = slices or {}

    def positions(self, axis: str) -> str:
        own = self._slices.get(axis)
        return f"np.arange({own}.start, {own}.stop)" if own else super().positions(axis)


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
    """The columns over `axes` of the operand, which come after those over each of `before`."""

    before: tuple[tuple[str, ...], ...]
    axes: tuple[str, ...]

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        (whole,) = operands
        start = columns_code(self.before, write.sizes)
        if not self.axes:
            return f"{whole.code}[..., {start}]"
        stop = columns_code((*self.before, self.axes), write.sizes)
        between = ":" if f"{start}{stop}".isdigit() else " : "
        code = f"{whole.code}[..., {start}{between}{stop}]"
        if len(self.axes) == 1:
            return code
        return f"split_columns({code}, {', '.join(write.sizes[axis] for axis in self.axes)})"


@dataclass(frozen=True)
class Own:
    """A rank's slice of the axis at `place`."""

    own: str
    place: int

    def code(self, write: Writer, result: Variable, operands: Sequence[Variable]) -> str:
        (whole,) = operands
        steps = [":"] * len(whole.axes)
        steps[self.place] = self.own
        if not whole.batched:
            return f"{whole.code}[{', '.join(steps[: self.place + 1])}]"
        return f"{whole.code}[{', '.join(['...', *steps])}]"


def columns_code(parts: Iterable[Sequence[str]], sizes: Mapping[str, str]) -> str:
    """Code for how many columns there are over the axes of each part, all together."""
    terms: Counter[tuple[str, ...]] = Counter()
    for axes in parts:
        codes = [sizes[axis] for axis in axes]
        terms[tuple(c for c in codes if not c.isdigit())] += prod(
            int(c) for c in codes if c.isdigit()
        )
    number = terms.pop((), 0)
    texts = [" * ".join([*([] if n == 1 else [str(n)]), *names]) for names, n in terms.items()]
    return " + ".join([*texts, *([str(number)] if number or not texts else [])])
