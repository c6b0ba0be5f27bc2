"""Python text for pieces of a circuit: sizes, weights, index expressions, bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from cortico.backends.names import MarkedNames, Names
from cortico.ir import Bound, Circuit, Extent, Gain, Weight
from cortico.ir.analysis.dimensions import dimensions


@dataclass(frozen=True)
class Coder:
    """Writes pieces of a circuit as Python; holds the names everything has in the script, until it is settled."""

    circuit: Circuit
    names: Names
    symbols: dict[str, str]
    tensors: dict[str, str]
    axes: dict[str, str]
    populations: dict[str, str]

    @classmethod
    def of(cls, circuit: Circuit, **others: Any) -> Self:
        """A coder that has named everything in a circuit; `others` are the fields of a kind of coder."""
        names = MarkedNames()
        tensors = [t.name for t in circuit.inputs] + [p.name for p in circuit.parameters]
        return cls(
            circuit,
            names,
            tensors=names.of(tensors),
            symbols=names.of(circuit.symbols),
            axes=names.of(axis.name for axis in circuit.axes),
            populations=names.of(p.name for p in circuit.populations),
            **others,
        )

    def size(self, extent: Extent) -> str:
        return str(extent) if isinstance(extent, int) else self.symbols[extent]

    def weight(self, weight: Weight) -> str:
        """`gain * tensor[axes]`."""
        gain = self.gain(weight.gain)
        if weight.tensor is None:
            return gain
        tensor = self.read(self.tensors[weight.tensor.name], weight.tensor.axes)
        return tensor if weight.gain.is_one else f"{gain} * {tensor}"

    def read(self, array: str, axes: Iterable[str]) -> str:
        """`array[axes]`."""
        index = self.index(axes)
        return array + (f"[{index}]" if index else "")

    def index(self, axes: Iterable[str]) -> str:
        """`h, i`: the indices along axes."""
        return ", ".join(self.axes[axis] for axis in axes)

    def gain(self, gain: Gain) -> str:
        """A number, times powers of sizes that are known only when the script runs."""
        extents = {axis.name: axis.extent for axis in self.circuit.axes}
        fixed = tuple((a, p) for a, p in gain.sizes if isinstance(extents[a], int))
        sizes = {a: e for a, e in extents.items() if isinstance(e, int)}
        number = Gain(gain.coefficient, fixed).value(sizes)
        free = [(a, p) for a, p in gain.sizes if (a, p) not in fixed]
        powers = [f"{self.size(extents[a])} ** {float(p)}" for a, p in free]
        return " * ".join([repr(number)] * (number != 1 or not powers) + powers)

    def grid(self, axes: Sequence[str], leading: int = 0) -> Iterator[str]:
        """Lines that make the index of each axis an array along its dimension, behind `leading` others."""
        own = dimensions(self.circuit, axes)
        count = leading + len(set(own.values()))
        sizes = {axis: self.size(self.circuit.axis(axis).extent) for axis in axes}
        if len(axes) > count - leading:
            yield "# Axes that never meet lie along the same dimension."
            for axis in axes:
                place = leading + own[axis]
                yield f"{self.axes[axis]} = along({sizes[axis]}, {place}, {count})"
        elif count:
            names = ", ".join(["_"] * leading + [self.axes[axis] for axis in axes])
            ranges = ", ".join([":1"] * leading + [f":{size}" for size in sizes.values()])
            yield f"{names}{',' * (count == 1)} = np.ogrid[{ranges},]"

    def where(self, bounds: Iterable[Bound]) -> str:
        """The truth of all bounds at the indices of the grid; empty when there are none."""
        texts = []
        for bound in bounds:
            left, right = self.axes[bound.left], self.axes[bound.right]
            texts.append(f"({left} - {right} <= {bound.offset})")
        return " & ".join(texts)
