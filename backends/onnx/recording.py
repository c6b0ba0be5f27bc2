"""A planned program, run once on arrays that record ONNX nodes.

The program is that of the NumPy, PyTorch and JAX backends: its statements are read in NumPy's words, with
`np` a library that records. So all multiply in the same order, and shift softmax by the same peak.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cortico.backends.arrays.attend import Attend
from cortico.backends.arrays.find_attention import with_attention
from cortico.backends.arrays.planner import PLANNED_FORMULAS, Planner, tensor_names
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer
from cortico.backends.onnx.array import Array
from cortico.backends.onnx.graph import Graph
from cortico.backends.onnx.numpy_on_onnx import Helpers
from cortico.ir import Circuit, Extent, Formula, Input, InputKind, Parameter
from cortico.ir.analysis.letters import axis_letters
from cortico.ir.analysis.rest import outputs_at_rest
from cortico.ir.rewrite import rename


class OnnxWriter(Writer):
    """Text of NumPy's expressions, transfer functions in that of ONNX operators."""

    language = "onnx"

    def equal(self, first: str, second: str) -> str:
        return f"{first}.equals({second})"

    def rows(self, table: str, ids: str, sides: int) -> str:
        return f"np.take({table}, {ids}, axis=0)"

    def transfer(self, name: str, argument: str) -> str:
        return re.sub(r"\b([A-Z]\w*)\(", r"np.operators.\1(", super().transfer(name, argument))


class Recording:
    """Runs the program of a circuit. `given` are its inputs, and parameters as arrays of either kind."""

    def __init__(
        self, circuit: Circuit, graph: Graph, dtype: np.dtype[Any], given: Mapping[str, Any]
    ) -> None:
        self.circuit, self.graph, self.dtype = outputs_at_rest(circuit), graph, dtype
        self.helpers, self.given = Helpers(graph), given
        self.names, self.sizes = tensor_names(circuit), self._sizes()
        self.scope = {**self.helpers.table(), "dtype": dtype.type, "sizes": self.sizes}

    def outputs(self, fuse: bool) -> list[Array]:
        """The circuit's outputs; with operators `Attention` if `fuse`, where they mean the same."""
        planner = Planner(rename(self.circuit, axes=axis_letters(self.circuit)))
        results = planner.outputs()
        write = OnnxWriter(
            {axis.name: planner.size_code(axis.name) for axis in planner.circuit.axes}
        )
        for name, variable in self.names.items():
            self.scope[variable] = self._tensor(name)
        statements = planner.program.statements
        for statement in _fused(statements, results) if fuse else statements:
            code = statement.operation.code(write, statement.result, statement.operands)
            self.scope[statement.result.code] = self._value(code)
        return [self.helpers.names.array(self._value(result.code)) for result in results]

    def _value(self, code: str) -> Any:
        """The value of an expression. Only ever called on text that cortico emitted."""
        return eval(code, self.scope)

    def _sizes(self) -> dict[str, Array]:
        """Symbol to its size, read off the first input that has it."""
        found: dict[str, Array] = {}
        for tensor in self.circuit.inputs:
            for place, side in enumerate(tensor.given):
                if isinstance(side, str) and side not in found:
                    found[side] = self.given[tensor.name].size(place - len(tensor.given))
        return found

    def _tensor(self, name: str) -> Array | None:
        """An input or parameter as an array of rates; None for one that the program makes itself."""
        tensor = self.circuit.tensor(name)
        if isinstance(tensor, Parameter) and tensor.formula is not None:
            if tensor.formula.kind in PLANNED_FORMULAS:
                return None
            return self._placed(tensor.formula, self._size(tensor.shape[0]))
        array = self.given[name]
        if isinstance(array, Array):
            is_ids = isinstance(tensor, Input) and tensor.kind is InputKind.TOKEN
            return self._numbers(array, tensor.shape[-1]) if is_ids else array.astype(self.dtype)
        return self._stored(name, np.asarray(array, self.dtype))

    def _numbers(self, ids: Array, count: Extent) -> Array:
        """The same numbers of tokens; the graph stops at others. Gather counts negative ones from the end."""
        names = self.helpers.names
        assert isinstance(count, int)
        return names.take(names.arange(count), names.where(ids > -1, ids, count), axis=0)

    def _placed(self, formula: Formula, tokens: Array | int) -> Array:
        """What a formula makes of the positions of so many tokens."""
        places = self.helpers.names.arange(tokens)
        if formula.kind == "first":
            return places.equals(0).astype(self.dtype)
        (argument,) = formula.arguments
        if formula.kind == "rows":
            table = self._tensor(argument)
            assert table is not None  # a table has values, it is no formula
            return self.helpers.names.take(table, places, axis=0)
        return self.helpers.rotation(places, self._double(argument)).astype(self.dtype)

    def _double(self, name: str) -> Array:
        """A parameter in double precision: angles grow with the position."""
        array = self.given[name]
        if isinstance(array, Array):
            return array.astype(np.float64)
        return self._stored(name, np.asarray(array, np.float64))

    def _stored(self, name: str, array: np.ndarray) -> Array:
        return Array(self.graph, self.graph.initializer(name, array), array.dtype, array.ndim)

    def _size(self, side: Extent) -> Array | int:
        return self.sizes[side] if isinstance(side, str) else side


def _fused(statements: Sequence[Statement], results: Sequence[Variable]) -> Sequence[Statement]:
    """The program with `Attend` statements, if the operator can stand for all of them."""
    found = with_attention(statements, results)
    attends = [s.operation for s in found if isinstance(s.operation, Attend)]
    return found if attends and all(map(_is_plain, attends)) else statements


def _is_plain(attend: Attend) -> bool:
    """Softmax over all tokens, or those up to the query: then every query sees some.

    Where one sees none a circuit gives zeros and the operator NaN.
    """
    if attend.gates or attend.biases or attend.sinks:
        return False
    if not all(part.batched for part in (attend.query, attend.key, attend.value)):
        return False
    causal = [b.right == attend.row and b.offset == 0 for b in attend.bounds]
    return causal in ([], [True])
