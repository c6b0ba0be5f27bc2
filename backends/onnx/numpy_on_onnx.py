"""What NumPy code calls, on arrays that record ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cortico.backends.onnx.array import Array, Number, alike
from cortico.backends.onnx.graph import Graph

#: Type of a size.
_INT = np.dtype(np.int64)


class NumpyOnOnnx:
    """Stands for the module `numpy` in emitted code."""

    inf, float32, float64, newaxis = np.inf, np.float32, np.float64, None

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.subtract = self  # for np.subtract.outer
        self.operators = _Operators(self)

    def asarray(self, array: Any, dtype: Any = None) -> Any:
        if isinstance(array, Array):
            return array if dtype is None else array.astype(dtype)
        return np.asarray(array, dtype)

    # ---- new arrays ------------------------------------------------------------------------------

    def arange(self, size: Array | int) -> Array:
        start, step = (self.stored(np.array(number, _INT)) for number in (0, 1))
        stop = size if isinstance(size, Array) else self.stored(np.array(size, _INT))
        name = self._graph.add("Range", start.name, stop.name, step.name)
        return Array(self._graph, name, _INT, 1)

    def ones(self, size: Array | int, dtype: Any) -> Array:
        return (self.arange(size) > -1).astype(dtype)

    def array(self, value: Array | Number) -> Array:
        """A number that the code computed by itself becomes a stored one."""
        return value if isinstance(value, Array) else self.stored(np.asarray(value))

    def stored(self, array: np.ndarray) -> Array:
        return Array(self._graph, self._graph.constant(array), array.dtype, array.ndim)

    def take(self, table: Array, places: Array, axis: int) -> Array:
        ndim = table.ndim - 1 + places.ndim
        return table.new("Gather", table, places, axis=axis, ndim=ndim)

    # ---- element by element ------------------------------------------------------------------------

    def exp(self, array: Array | Number) -> Array:
        return self.array(array).apply("Exp")

    def cos(self, array: Array | Number) -> Array:
        return self.array(array).apply("Cos")

    def sin(self, array: Array | Number) -> Array:
        return self.array(array).apply("Sin")

    def maximum(self, one: Array | Number, two: Array | Number) -> Array:
        return self.array(one).larger(two)

    def where(self, condition: Array, one: Array | Number, two: Array | Number) -> Array:
        chosen = alike(self._like(one, two), self._like(two, one))
        ndim = max(condition.ndim, *(value.ndim for value in chosen))
        return chosen[0].new("Where", condition, *chosen, ndim=ndim, dtype=chosen[0].dtype)

    def _like(self, value: Array | Number, other: Array | Number) -> Array:
        """`value` as an array, a number with the type of `other`."""
        if isinstance(other, Array) and not isinstance(value, Array):
            return other.constant(value)
        return self.array(value)

    def outer(self, one: Array, two: Array) -> Array:
        """`np.subtract.outer` of two arrays of one axis."""
        return one[:, None] - two[None, :]

    def stack(self, arrays: Sequence[Array], axis: int) -> Array:
        place = axis % (arrays[0].ndim + 1)
        wide = [array.unsqueeze([place]) for array in arrays]
        return wide[0].new("Concat", *wide, axis=place)

    # ---- sums of products ----------------------------------------------------------------------------

    def einsum(self, subscripts: str, *arrays: Array) -> Array:
        arrays = alike(*arrays)
        *inputs, output = subscripts.replace("->", ",").split(",")
        if len(inputs) == 1 and sorted(inputs[0]) == sorted(output):
            return arrays[0].transpose(*_order(inputs[0], output, arrays[0].ndim))
        batch = max(a.ndim - len(i.replace("...", "")) for a, i in zip(arrays, inputs, strict=True))
        ndim = len(output.replace("...", "")) + (batch if "..." in output else 0)
        return arrays[0].new("Einsum", *arrays, equation=subscripts, ndim=ndim)

    def tensordot(self, one: Array, two: Array, axes: Sequence[Sequence[int]]) -> Array:
        letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        first, second = ([next(letters) for _ in range(array.ndim)] for array in (one, two))
        for left, right in zip(*axes, strict=True):
            second[right] = first[left]
        kept = [letter for letter in first + second if (letter in first) != (letter in second)]
        return self.einsum(f"{''.join(first)},{''.join(second)}->{''.join(kept)}", one, two)


class _Operators:
    """ONNX operators of one argument or two, element by element, under their names."""

    def __init__(self, names: NumpyOnOnnx) -> None:
        self._names = names

    def __getattr__(self, kind: str) -> Callable[..., Array]:
        def applied(one: Array | Number, two: Array | Number | None = None) -> Array:
            array = self._names.array(one)
            return array.apply(kind) if two is None else array.paired(kind, two)

        return applied


def _order(before: str, after: str, ndim: int) -> list[int]:
    """The permutation of axes from one subscript to another; `...` stands for those in front."""
    hidden = ndim - len(before.replace("...", ""))
    names, wanted = (text.replace("...", "") for text in (before, after))
    return [*range(hidden), *(hidden + names.index(axis) for axis in wanted)]


class Helpers:
    """The functions that stand in emitted files, for arrays that have no shape yet."""

    def __init__(self, graph: Graph) -> None:
        self.names = NumpyOnOnnx(graph)

    def table(self) -> dict[str, Any]:
        """Each function, and the library, under the name that code calls it by."""
        own = ("divide", "finite", "merge_rows", "merge_columns", "merge_heads", "split_columns")
        others = ("split_heads", "past_product", "attend")
        return {"np": self.names, **{name: getattr(self, name) for name in (*own, *others)}}

    def divide(self, excitation: Array | Number, inhibition: Array | Number) -> Array:
        inhibition = self.names.array(inhibition)
        zero = inhibition.equals(0)
        ratio = excitation / self.names.where(zero, 1, inhibition)
        return self.names.where(zero, 0, ratio)

    def finite(self, peak: Array | Number) -> Array:
        peak = self.names.array(peak)
        return self.names.where(peak.apply("IsInf", np.dtype(bool)), 0, peak)

    def rotation(self, positions: Array, frequencies: Array | np.ndarray) -> Array:
        """Rotary embedding, [[cos, -sin], [sin, cos]] per token and plane, in double precision."""
        angles = positions.astype(np.float64)[:, None] * frequencies
        cos, sin = self.names.cos(angles), self.names.sin(angles)
        rows = [self.names.stack(pair, -1) for pair in ([cos, -sin], [sin, cos])]
        return self.names.stack(rows, -2)

    def past_product(self, query: Array, key: Array, value: Array) -> Array:
        """Σ_{j <= i} (query_i · key_j) value_j over (..., i, c)."""
        rows, columns = (self.names.arange(array.size(-2)) for array in (query, key))
        seen = self.names.outer(rows, columns) >= 0
        return self.names.where(seen, query @ key.swapaxes(-1, -2), 0) @ value

    def attend(
        self,
        query: Array,
        key: Array,
        value: Array,
        scale: Array | float,
        least: int | None = None,
    ) -> Array:
        """The operator `Attention`: softmax over all tokens, or with `least` those up to the query."""
        if isinstance(scale, Array):
            query, scale = query * scale, 1.0
        causal = int(least is not None)
        return query.new("Attention", query, key, value, scale=float(scale), is_causal=causal)

    # ---- axes that become one, or several --------------------------------------------------------

    def merge_rows(self, array: Array, count: int) -> Array:
        return array.merged(array.ndim - 1 - count, array.ndim - 1)

    def merge_columns(self, array: Array, count: int) -> Array:
        return array.merged(array.ndim - count, array.ndim)

    def merge_heads(self, array: Array, count: int) -> Array:
        return array.merged(array.ndim - 2 - count, array.ndim - 2)

    def split_columns(self, array: Array, *sizes: Array | int) -> Array:
        return array.split(array.ndim - 1, sizes)

    def split_heads(self, array: Array, *sizes: Array | int) -> Array:
        return array.split(array.ndim - 3, sizes)
