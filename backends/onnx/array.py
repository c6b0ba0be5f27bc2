"""Arrays that record what is done with them as ONNX nodes.

They have the type and the number of axes that NumPy's would have, and just those operations that the code
of the NumPy backend uses. Sizes may be unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any

import numpy as np

from cortico.backends.onnx.graph import Graph, element

Number = int | float | np.generic
Axes = int | tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Array:
    """The value called `name` in `graph`."""

    graph: Graph
    name: str
    dtype: np.dtype[Any]
    ndim: int

    __array_ufunc__ = None  # NumPy's numbers leave arithmetic to this class

    # ---- arithmetic ------------------------------------------------------------------------------

    def __add__(self, other: Array | Number) -> Array:
        return self.paired("Add", other)

    def __radd__(self, other: Number) -> Array:
        return self.constant(other).paired("Add", self)

    def __sub__(self, other: Array | Number) -> Array:
        return self.paired("Sub", other)

    def __rsub__(self, other: Number) -> Array:
        return self.constant(other).paired("Sub", self)

    def __mul__(self, other: Array | Number) -> Array:
        both = isinstance(other, Array) and self.dtype == other.dtype == np.bool_
        return self.paired("And" if both else "Mul", other)

    def __rmul__(self, other: Number) -> Array:
        return self.constant(other).paired("Mul", self)

    def __truediv__(self, other: Array | Number) -> Array:
        return self.paired("Div", other)

    def __rtruediv__(self, other: Number) -> Array:
        return self.constant(other).paired("Div", self)

    def __neg__(self) -> Array:
        return self.apply("Neg")

    def __pow__(self, power: float) -> Array:
        """In double precision: it is sizes that are raised to a power."""
        return self.astype(np.float64).paired("Pow", power)

    def __matmul__(self, other: Array) -> Array:
        one, two = alike(self, other)
        return self.new("MatMul", one, two, ndim=max(one.ndim, two.ndim), dtype=one.dtype)

    def __gt__(self, other: Array | Number) -> Array:
        return self.paired("Greater", other, np.dtype(bool))

    def __le__(self, other: Array | Number) -> Array:
        return self.paired("LessOrEqual", other, np.dtype(bool))

    def __ge__(self, other: Array | Number) -> Array:
        return self.paired("GreaterOrEqual", other, np.dtype(bool))

    def __and__(self, other: Array) -> Array:
        return self.paired("And", other)

    def equals(self, other: Array | Number) -> Array:
        return self.paired("Equal", other, np.dtype(bool))

    def larger(self, other: Array | Number) -> Array:
        return self.paired("Max", other)

    def apply(self, kind: str, dtype: np.dtype[Any] | None = None) -> Array:
        """An operator of one argument, element by element."""
        return self.new(kind, self, dtype=dtype or self.dtype)

    # ---- shape -----------------------------------------------------------------------------------

    def transpose(self, *order: int) -> Array:
        return self.new("Transpose", self, perm=list(order))

    def swapaxes(self, one: int, two: int) -> Array:
        order = list(range(self.ndim))
        order[one], order[two] = order[two], order[one]
        return self.transpose(*order)

    def __getitem__(self, steps: Any) -> Array:
        """New axes of size one, for `None` between `:` and `...`; nothing else is read."""
        steps = steps if isinstance(steps, tuple) else (steps,)
        own = sum(isinstance(step, slice) for step in steps)
        wide: list[Any] = []
        for step in steps:
            hidden = self.ndim - own
            wide += [slice(None)] * hidden if isinstance(step, EllipsisType) else [step]
        places = [k for k, step in enumerate(wide) if step is None]
        return self.unsqueeze(places) if places else self

    def unsqueeze(self, places: Sequence[int]) -> Array:
        axes = self.constant(np.array(places, np.int64))
        return self.new("Unsqueeze", self, axes, ndim=self.ndim + len(places))

    def size(self, axis: int) -> Array:
        """The size of one axis, an int64 without axes."""
        place = axis % self.ndim
        shape = self.graph.add("Shape", self.name, start=place, end=place + 1)
        whole = Array(self.graph, shape, np.dtype(np.int64), 1)
        return whole.new("Squeeze", whole, whole.constant(np.array([0])), ndim=0)

    def merged(self, first: int, last: int) -> Array:
        """The axes from `first` up to, not including, `last` as one."""
        parts = [self.constant(np.array([0] * first + [-1], np.int64))]
        if last < self.ndim:
            rest = self.graph.add("Shape", self.name, start=last)
            parts.append(Array(self.graph, rest, np.dtype(np.int64), 1))
        shape = parts[0] if len(parts) == 1 else parts[0].new("Concat", *parts, axis=0)
        return self.new("Reshape", self, shape, ndim=self.ndim - (last - first) + 1)

    def split(self, place: int, sizes: Sequence[Array | int]) -> Array:
        """The axis at `place` as several, of these sizes."""
        parts = [self.constant(np.zeros(place, np.int64))] * (place > 0)
        for size in sizes:
            one = size if isinstance(size, Array) else self.constant(np.array(size, np.int64))
            parts.append(one.unsqueeze([0]))
        if place + 1 < self.ndim:
            rest = self.graph.add("Shape", self.name, start=place + 1)
            parts.append(Array(self.graph, rest, np.dtype(np.int64), 1))
        shape = parts[0].new("Concat", *parts, axis=0)
        return self.new("Reshape", self, shape, ndim=self.ndim - 1 + len(sizes))

    def cumsum(self, axis: int) -> Array:
        return self.new("CumSum", self, self.constant(np.array(axis, np.int64)))

    # ---- sums --------------------------------------------------------------------------------------

    def sum(self, axis: Axes) -> Array:
        return self._reduced("ReduceSum", axis)

    def max(self, axis: Axes) -> Array:
        return self._reduced("ReduceMax", axis)

    def _reduced(self, kind: str, axis: Axes) -> Array:
        axes = axis if isinstance(axis, tuple) else (axis,)
        places = self.constant(np.array(axes, np.int64))
        numbers = self.astype(np.int64) if self.dtype == bool else self
        return numbers.new(kind, numbers, places, keepdims=0, ndim=self.ndim - len(axes))

    # ---- types ---------------------------------------------------------------------------------------

    def astype(self, dtype: Any) -> Array:
        dtype = np.dtype(dtype)
        if dtype == self.dtype:
            return self
        return self.new("Cast", self, dtype=dtype, to=element(dtype))

    def constant(self, value: Any) -> Array:
        """A stored number or array; a number takes this array's type."""
        own = isinstance(value, float | int | np.generic)
        array = np.asarray(value, self.dtype if own else None)
        return Array(self.graph, self.graph.constant(array), array.dtype, array.ndim)

    # ---- nodes ---------------------------------------------------------------------------------------

    def paired(self, kind: str, other: Array | Number, dtype: np.dtype[Any] | None = None) -> Array:
        """An operator of two arguments, element by element."""
        two = other if isinstance(other, Array) else self.constant(other)
        one, two = alike(self, two)
        return self.new(kind, one, two, ndim=max(one.ndim, two.ndim), dtype=dtype or one.dtype)

    def new(
        self,
        kind: str,
        *inputs: Array,
        ndim: int | None = None,
        dtype: np.dtype[Any] | None = None,
        **attributes: Any,
    ) -> Array:
        name = self.graph.add(kind, *(array.name for array in inputs), **attributes)
        axes = inputs[0].ndim if ndim is None else ndim
        return Array(self.graph, name, dtype or inputs[0].dtype, axes)


def alike(*arrays: Array) -> tuple[Array, ...]:
    """`arrays` with one type: that of the numbers with a point among them, sizes counting least."""
    floats = [a for a in arrays if np.issubdtype(a.dtype, np.floating)]
    deciding = [a for a in floats if a.ndim] or floats or arrays
    dtype = np.result_type(*(array.dtype for array in deciding))
    return tuple(array.astype(dtype) for array in arrays)
