"""Text of the emitted PyTorch file: a planned program as the forward pass of a module."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import replace

from cortico.backends.arrays.attend import Attend
from cortico.backends.arrays.find_attention import optional_gates, with_attention
from cortico.backends.arrays.operations import Inside, Numbers, Select
from cortico.backends.arrays.planner import PLANNED_FORMULAS, Planner, tensor_names
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.names import Names, settled
from cortico.backends.script_parts import (
    sides_code,
    stores_weights,
    tensor_lines,
    two_blank_lines_between_functions,
    weights_reader,
)
from cortico.backends.torch.layers import Layer, with_layers
from cortico.backends.torch.state import State
from cortico.backends.torch.template import HELPERS, LOAD_WEIGHTS, MODULE_NAMES
from cortico.backends.torch.writer import TorchWriter
from cortico.ir import Circuit, Formula, Input, InputKind, Parameter
from cortico.ir.analysis.letters import axis_letters
from cortico.ir.rewrite import rename


def emit_module(circuit: Circuit) -> str:
    """A standalone Python file with one `nn.Module`, `Attention`, that runs `circuit`."""
    return _Emitter(circuit).text()


class _Emitter:
    """One circuit on its way to text."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit, self.names = circuit, tensor_names(circuit)
        planner = Planner(rename(circuit, axes=axis_letters(circuit)))
        self.results = planner.outputs()
        self.write = TorchWriter({a.name: planner.size_code(a.name) for a in planner.circuit.axes})
        program = with_attention(planner.program.statements, self.results)
        self.optional = optional_gates(program)
        read = {operand.code for s in program for operand in s.operands}
        read |= {result.code for result in self.results}
        self.formulas = [p for p in circuit.parameters if self._is_formula(p, read)]
        self.statements, layers = with_layers(
            program, self._fixed(), planner.sizes, planner.program.names, Names(MODULE_NAMES)
        )
        inside = (s.result.code for s in program if isinstance(s.operation, Inside))
        self.booleans = frozenset(inside)
        self.state = self._state(layers, read, planner.sizes)

    def _is_formula(self, parameter: Parameter, read: set[str]) -> bool:
        """Whether the forward pass evaluates the formula of this parameter first."""
        formula = parameter.formula
        return bool(formula and formula.kind not in PLANNED_FORMULAS) and (
            self.names[parameter.name] in read
        )

    def _fixed(self) -> list[str]:
        """Parameters of known shape."""
        plain = (p for p in self.circuit.parameters if p.formula is None)
        return [self.names[p.name] for p in plain if not any(isinstance(s, str) for s in p.shape)]

    def _state(self, layers: list[Layer], read: set[str], sizes: dict[str, int]) -> State:
        packed = {
            v.code for layer in layers for m in layer.members for v in (m.weight, m.bias) if v
        }
        by_variable = {self.names[p.name]: p for p in self.circuit.parameters}
        plain = [name for name, p in by_variable.items() if p.formula is None]
        arguments = (a for p in self.formulas if p.formula for a in p.formula.arguments)
        constants = dict.fromkeys(self.names[argument] for argument in arguments)
        direct = tuple(name for name in plain if name in read - packed)
        return State(tuple(layers), direct, tuple(constants), by_variable, sizes)

    # ---- the file --------------------------------------------------------------------------------

    def text(self) -> str:
        stored = stores_weights(self.circuit)
        methods = [self.state.constructor(stored=stored), [*self._forward()], self.state.reader()]
        parts = [
            *self._header(stored),
            weights_reader(self.circuit, LOAD_WEIGHTS),
            "class Attention(nn.Module):",
            textwrap.indent(self._docstring(stored), "    "),
            *(textwrap.indent("\n".join(["", *lines]), "    ") for lines in methods),
        ]
        text = "\n".join(part for part in parts if part)
        for name, code in HELPERS.items():
            if f" {name}(" in text or f"({name}(" in text:
                text = f"{text}\n{code}"
        return settled(two_blank_lines_between_functions(text))

    def _header(self, stored: bool) -> Iterator[str]:
        shapes = {p.name: p.shape for p in self.circuit.parameters if p.formula is None}
        yield f'"""Circuit {json.dumps(self.circuit.name)}, compiled by cortico to PyTorch.\n'
        yield "\n".join(tensor_lines(self.circuit))
        yield "\nIn the comments, axes stand in brackets; the batch axes in front of them are left out."
        yield '"""\n'
        yield "import json\nfrom pathlib import Path\n" * stored
        yield "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"
        yield "#: The shape of each weight."
        yield f"SHAPES = {json.dumps(shapes)}\n"

    def _docstring(self, stored: bool) -> str:
        outputs = ", ".join(output.name for output in self.circuit.outputs)
        source = (
            "maps names to arrays or tensors; by default they are read from the file beside this one."
            if stored
            else "maps the names above to arrays or tensors."
        )
        return "\n".join(
            [
                f'"""{outputs} of the circuit.',
                "",
                f"`weights` {source}",
                "`dtype` is by default that of the largest weight, at least float32; `to` changes it, and the device.",
                '"""',
            ]
        )

    # ---- the forward pass ------------------------------------------------------------------------

    def _forward(self) -> Iterator[str]:
        rates = [self.names[t.name] for t in self.circuit.inputs if t.kind is InputKind.RATE]
        gates = [
            f"{self.names[t.name]}=None" for t in self.circuit.inputs if t.kind is InputKind.MASK
        ]
        arguments = ", ".join(["self", *rates, *(["*"] if gates else []), *gates])
        yield f"def forward({arguments}):"
        missing = " A 0/1 input that is None is all ones." if gates else ""
        yield f'    """The outputs for inputs with any batch axes in front.{missing}"""'
        body = [*self._prologue(), *(line for s in self.statements for line in self._lines(s))]
        yield from (f"    {line}" for line in body)
        results = (self.write.transposed(result, result.axes) for result in self.results)
        yield f"    return {', '.join(results)}"

    def _prologue(self) -> Iterator[str]:
        """Lines that check the inputs and bring every tensor under its name."""
        like = self.state.like()
        yield f"sizes, dtype, device = {{}}, {like}.dtype, {like}.device"
        for tensor in sorted(self.circuit.inputs, key=lambda t: t.kind is InputKind.MASK):
            yield from self._checked_input(tensor, self.names[tensor.name])
        for name in self.state.direct:
            parameter, code = self.state.parameters[name], f"self.{self.state.attributes[name]}"
            if any(isinstance(side, str) for side in parameter.shape):
                code = f'checked("{parameter.name}", {code}, {json.dumps(parameter.shape)}, sizes)'
            yield f"{name} = {code}"
        for parameter in self.formulas:
            if parameter.formula:
                yield f"{self.names[parameter.name]} = {self._formula(parameter, parameter.formula)}"

    def _checked_input(self, tensor: Input, name: str) -> Iterator[str]:
        code = f'checked("{tensor.name}", {name}, {json.dumps(tensor.shape)}, sizes)'
        if tensor.kind is InputKind.RATE:
            yield f"{name} = {code}.to(dtype)"
        elif name in self.optional:
            yield f"if {name} is not None:"
            yield f"    {name} = {code} != 0"
        else:  # anything but zero counts as one
            ones = f"torch.ones([{sides_code(tensor.shape)}], device=device)"
            yield f"if {name} is None:"
            yield f"    {name} = {ones}"
            yield f"{name} = ({code} != 0).to(dtype)"

    def _formula(self, parameter: Parameter, formula: Formula) -> str:
        # in double precision whatever the rates are computed in: angles grow with the position
        arguments = ", ".join(self.state.constant(self.names[name]) for name in formula.arguments)
        return f"{formula.kind}([{sides_code(parameter.shape)}], {arguments}).to(dtype)"

    def _numbers(self, statement: Statement) -> tuple[Variable, ...]:
        """The operands of a statement, booleans as numbers where it computes with them."""
        if isinstance(statement.operation, Select | Attend | Numbers):
            return statement.operands
        return tuple(
            replace(o, code=f"{o.code}.to(dtype)") if o.code in self.booleans else o
            for o in statement.operands
        )

    def _lines(self, statement: Statement) -> Iterator[str]:
        """The comments of a statement, and the assignment with the axes of its result."""
        result = statement.result
        yield from (f"# {text}" for text in statement.comments)
        axes = f"  # [{', '.join(result.axes)}]" if result.axes else ""
        code = statement.operation.code(self.write, result, self._numbers(statement))
        yield f"{result.code} = {code}{axes}"
