"""Text of the emitted JAX file: a planned program as a pure function."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator

from cortico.backends.arrays.attend import Attend
from cortico.backends.arrays.find_attention import optional_gates, with_attention
from cortico.backends.arrays.planner import PLANNED_FORMULAS, Planner, tensor_names
from cortico.backends.arrays.program import Statement
from cortico.backends.jax.template import HELPERS
from cortico.backends.jax.writer import JaxWriter
from cortico.backends.names import settled
from cortico.backends.script_parts import (
    sides_code,
    stores_weights,
    tensor_lines,
    two_blank_lines_between_functions,
    weights_reader,
)
from cortico.ir import Circuit, Formula, Input, InputKind, Parameter, Role, TensorRef
from cortico.ir.analysis.letters import axis_letters
from cortico.ir.rewrite import readings, rename

#: Rows that attention computes at once; longer inputs go block by block.
_BLOCK = 256


def emit_function(circuit: Circuit) -> str:
    """A standalone Python file with one pure function, `attention`, that runs `circuit`."""
    return _Emitter(circuit).text()


class _Emitter:
    """One circuit on its way to text."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit, self.names = circuit, tensor_names(circuit)
        planner = Planner(rename(circuit, axes=axis_letters(circuit)))
        self.results = planner.outputs()
        self.write = JaxWriter({a.name: planner.size_code(a.name) for a in planner.circuit.axes})
        self.statements = with_attention(planner.program.statements, self.results)
        self.optional = optional_gates(self.statements)
        self.read = {operand.code for s in self.statements for operand in s.operands}
        self.read |= {result.code for result in self.results}

    def text(self) -> str:
        stored = stores_weights(self.circuit)
        parts = [
            *self._header(stored),
            weights_reader(self.circuit),
            *self._signature(stored),
            *(textwrap.indent(line, "    ") for line in self._body()),
            HELPERS["shard"],
        ]
        text = "\n".join(part for part in parts if part)
        for name, code in HELPERS.items():
            if name != "shard" and re.search(rf"\b{name}[(,]", text):
                text = f"{text}\n{code}"
        return settled(two_blank_lines_between_functions(text))

    def _header(self, stored: bool) -> Iterator[str]:
        yield f'"""Circuit {json.dumps(self.circuit.name)}, compiled by cortico to JAX.\n'
        yield "\n".join(tensor_lines(self.circuit))
        yield (
            "\nInputs are computed in their own precision; float64 needs `jax_enable_x64`. In the comments, axes\n"
            'stand in brackets; the batch axes in front of them are left out.\n"""\n'
        )
        yield "import functools"
        yield "import json\nfrom pathlib import Path" * stored
        yield "\nimport jax\nimport numpy as np\nfrom jax import lax\nfrom jax import numpy as jnp"
        yield "from jax.sharding import Mesh, NamedSharding, PartitionSpec\n"
        yield "#: Weight to its axis of areas, over which it may be split."
        yield f"AREAS = {json.dumps(self._areas())}\n"
        if any(isinstance(s.operation, Attend) for s in self.statements):
            yield "#: Rows of queries that attention computes at once."
            yield f"BLOCK = {_BLOCK}\n"

    def _areas(self) -> dict[str, int]:
        """Weight to the place of its first axis of areas."""
        areas = {axis.name for axis in self.circuit.axes if axis.role is Role.AREA}
        weights = {p.name for p in self.circuit.parameters if p.formula is None}
        places: dict[str, int] = {}
        for ref in readings(self.circuit):
            found = [place for place, axis in enumerate(ref.axes) if axis in areas]
            if found and ref.name in weights:
                places.setdefault(ref.name, found[0])
        return places

    def _signature(self, stored: bool) -> Iterator[str]:
        rates = [self.names[t.name] for t in self.circuit.inputs if t.kind is InputKind.RATE]
        gates = [
            f"{self.names[t.name]}=None" for t in self.circuit.inputs if t.kind is InputKind.MASK
        ]
        outputs = ", ".join(output.name for output in self.circuit.outputs)
        yield f"def attention({', '.join(['weights', *rates, '*', *gates, 'mesh=None'])}):"
        yield f'    """{outputs} of the circuit, for inputs with any batch axes in front.\n'
        source = ", such as `load_weights()`" if stored else ""
        yield f"    `weights` maps the names above to arrays{source}. `mesh` is for `shard`."
        yield "    A 0/1 input that is None is all ones." if gates else ""
        yield '    """'

    def _body(self) -> Iterator[str]:
        yield from self._prologue()
        for statement in self.statements:
            yield from self._lines(statement)
        codes = [self.write.transposed(result, result.axes) for result in self.results]
        places = [self._query_place(o.source) for o in self.circuit.outputs]
        if any(places):
            split = [
                f"by_query({c}, {p}, mesh)" if p else c for c, p in zip(codes, places, strict=True)
            ]
            yield f"if mesh is not None:\n    return {', '.join(split)}"
        yield f"return {', '.join(codes)}"

    def _query_place(self, source: TensorRef) -> int:
        """The place, counted from the end, of the first axis of tokens; 0 when there is none."""
        columns = [self.circuit.axis(axis).role is Role.COLUMN for axis in source.axes]
        return columns.index(True) - len(columns) if True in columns else 0

    def _prologue(self) -> Iterator[str]:
        """Lines that check the inputs and bring every tensor under its name."""
        rates = [self.names[t.name] for t in self.circuit.inputs if t.kind is InputKind.RATE]
        given = [*(f"jnp.asarray({name})" for name in rates), "float"]
        kinds = ", ".join(given) if rates else "float"
        yield f"sizes, dtype = {{}}, jnp.result_type({kinds}).type"
        for tensor in sorted(self.circuit.inputs, key=lambda t: t.kind is InputKind.MASK):
            yield from self._checked_input(tensor, self.names[tensor.name])
        for parameter in self.circuit.parameters:
            name = self.names[parameter.name]
            if parameter.formula is None and name in self.read:
                code = f'checked("{parameter.name}", weights["{parameter.name}"], {json.dumps(parameter.shape)}, sizes)'
                yield f"{name} = {code}.astype(dtype)"
        for parameter in self._formulas():
            if parameter.formula:
                yield f"{self.names[parameter.name]} = {self._formula(parameter, parameter.formula)}"

    def _formulas(self) -> list[Parameter]:
        """Parameters that are formulas, evaluated first."""
        formulas = (p for p in self.circuit.parameters if p.formula)
        planned = (p for p in formulas if p.formula and p.formula.kind not in PLANNED_FORMULAS)
        return [p for p in planned if self.names[p.name] in self.read]

    def _checked_input(self, tensor: Input, name: str) -> Iterator[str]:
        code = f'checked("{tensor.name}", {name}, {json.dumps(tensor.shape)}, sizes)'
        if tensor.kind is InputKind.RATE:
            yield f"{name} = {code}.astype(dtype)"
        elif name in self.optional:
            yield f"if {name} is not None:\n    {name} = {code} != 0"
        else:  # anything but zero counts as one
            yield f"if {name} is None:\n    {name} = jnp.ones([{sides_code(tensor.shape)}])"
            yield f"{name} = ({code} != 0).astype(dtype)"

    def _formula(self, parameter: Parameter, formula: Formula) -> str:
        # at least in single precision, whatever the rates are computed in: angles grow with the position
        arguments = ", ".join(f'exact(weights["{name}"])' for name in formula.arguments)
        return f"{formula.kind}([{sides_code(parameter.shape)}], {arguments}).astype(dtype)"

    def _lines(self, statement: Statement) -> Iterator[str]:
        """The comments of a statement, and the assignment with the axes of its result."""
        result = statement.result
        yield from (f"# {text}" for text in statement.comments)
        axes = f"  # [{', '.join(result.axes)}]" if result.axes else ""
        code = statement.operation.code(self.write, result, statement.operands)
        yield f"{result.code} = {code}{axes}"
