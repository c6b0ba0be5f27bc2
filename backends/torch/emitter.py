"""Text of the emitted PyTorch file: a planned program as the forward pass of a module."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import replace

from cortico.backends.arrays.attend import Attend
from cortico.backends.arrays.file import (
    ALL_ONES,
    TEMPLATE,
    AttentionFile,
    checked,
    statement_lines,
)
from cortico.backends.arrays.operations import Inside, Numbers, Select
from cortico.backends.arrays.program import Statement
from cortico.backends.linking import link
from cortico.backends.names import Names, settled
from cortico.backends.script_parts import sides_code
from cortico.backends.torch.layers import Layer, with_layers
from cortico.backends.torch.state import MODULE_NAMES, State
from cortico.backends.torch.writer import TorchWriter
from cortico.ir import Circuit
from cortico.ir.tensors import Shape

#: What the file may carry.
_TEMPLATES = ("cortico.backends.torch.template", TEMPLATE)


def emit_module(circuit: Circuit) -> str:
    """A standalone Python file with one `nn.Module`, `Attention`, that runs `circuit`."""
    return ModuleFile(circuit).text()


class ModuleFile(AttentionFile):
    """One circuit on its way to text."""

    def __init__(self, circuit: Circuit) -> None:
        super().__init__(circuit, TorchWriter)
        self.statements, layers = with_layers(
            self.found, self._fixed(), self.planner.sizes, self.program.names, Names(MODULE_NAMES)
        )
        inside = (s.result.code for s in self.found if isinstance(s.operation, Inside))
        self.booleans = frozenset(inside)
        self.state = self._state(layers)

    def _fixed(self) -> list[str]:
        """Parameters of known shape, but for those that formulas read."""
        fixed = (p for p in self.plain if not any(isinstance(side, str) for side in p.shape))
        return [self.names[p.name] for p in fixed if p.name not in self.tables]

    def _state(self, layers: list[Layer]) -> State:
        packed = {
            v.code for layer in layers for m in layer.members for v in (m.weight, m.bias) if v
        }
        by_variable = {self.names[p.name]: p for p in self.circuit.parameters}
        arguments = (name for formula in self.formulas.values() for name in formula.arguments)
        constants = dict.fromkeys(self.names[a] for a in arguments if a not in self.tables)
        plain = (self.names[p.name] for p in self.plain)
        direct = tuple(name for name in plain if name in self.read - packed)
        return State(tuple(layers), direct, tuple(constants), by_variable, self.planner.sizes)

    # ---- the file --------------------------------------------------------------------------------

    def text(self) -> str:
        shapes = {p.name: p.shape for p in self.plain}
        default = "" if not self.stored else "load_weights()" if self.plain else "{}"
        methods = [self.state.constructor(default), [*self._forward()], self.state.reader()]
        own = [
            self.head(_TEMPLATES[0]),
            "#: The shape of each weight.",
            f"SHAPES = {json.dumps(shapes)}",
            "class Attention(nn.Module):",
            textwrap.indent(self._docstring(), "    "),
            *(textwrap.indent("\n".join(["", *lines]), "    ") for lines in methods),
        ]
        return link(settled("\n".join(own)), *_TEMPLATES)

    def _docstring(self) -> str:
        source = (
            "maps names to arrays or tensors; by default they are read from the file beside this one."
            if self.stored
            else "maps the names above to arrays or tensors."
        )
        return "\n".join(
            [
                f'"""{self.outputs} of the circuit.',
                "",
                f"`weights` {source}",
                "`dtype` is by default that of the largest weight, at least float32; `to` changes it, and the device.",
                '"""',
            ]
        )

    # ---- the forward pass ------------------------------------------------------------------------

    def _forward(self) -> Iterator[str]:
        arguments = ["self", *self.wanted, *["*"] * bool(self.gates), *self.gates]
        yield f"def forward({', '.join(arguments)}):"
        missing = f" {ALL_ONES}" * bool(self.gates)
        yield f'    """The outputs for inputs with any batch axes in front.{missing}"""'
        yield from (f"    {line}" for line in self._body())

    def _body(self) -> Iterator[str]:
        yield from self._prologue()
        for statement in self.statements:
            yield from self.lines(statement)
        yield f"return {', '.join(self.returned(self.results))}"

    def _prologue(self) -> Iterator[str]:
        """Lines that check the inputs and bring every tensor under its name."""
        like = self.state.like()
        yield f"sizes, dtype, device = {{}}, {like}.dtype, {like}.device"
        yield from self.checked_inputs()
        for name in self.state.direct:
            parameter, code = self.state.parameters[name], f"self.{self.state.attributes[name]}"
            sized = any(isinstance(side, str) for side in parameter.shape)
            yield f"{name} = {checked(parameter, code) if sized else code}"
        yield from self.formula_lines(self.positions, self.read_by_formulas())

    def positions(self, shape: Shape) -> str:
        """Code for where the tokens stand that a formula of this shape is of."""
        return f"torch.arange({sides_code(shape[:1])}, device=device)"

    def read_by_formulas(self) -> dict[str, str]:
        """Code of what formulas read. In double precision whatever the rates are computed in, if it is angles:
        these grow with the position."""
        constants = self.state.constants
        exact = {self.state.parameters[c].name: self.state.constant(c) for c in constants}
        return {**exact, **self.tables}

    def lines(self, statement: Statement) -> list[str]:
        """A statement as it reads."""
        return statement_lines(self._with_numbers(statement), self.write)

    def _with_numbers(self, statement: Statement) -> Statement:
        """A statement, of whose operands booleans are numbers where it computes with them."""
        if isinstance(statement.operation, Select | Attend | Numbers):
            return statement
        operands = (
            replace(o, code=self.write.cast(o.code)) if o.code in self.booleans else o
            for o in statement.operands
        )
        return replace(statement, operands=tuple(operands))
