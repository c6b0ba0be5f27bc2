"""What the emitted files of NumPy, PyTorch and JAX have in common: the plan, its head, how lines read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from cortico.backends.arrays.find_attention import optional_gates, with_attention
from cortico.backends.arrays.planner import PLANNED_FORMULAS, Planner, tensor_names
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer
from cortico.backends.linking import heading
from cortico.backends.script_parts import formula_call, sides_code, stores_weights, tensor_lines
from cortico.ir import Circuit, Extent, Input, InputKind, Parameter, Role
from cortico.ir.analysis.inputs import angles
from cortico.ir.analysis.letters import axis_letters
from cortico.ir.analysis.rest import outputs_at_rest
from cortico.ir.rewrite import rename
from cortico.ir.tensors import Shape

#: The template that all of them use.
TEMPLATE = "cortico.backends.arrays.template"

#: What a function says of its 0/1 inputs.
ALL_ONES = "A 0/1 input that is None is all ones."


class ArrayFile:
    """The emitted file of one circuit, before it is text."""

    def __init__(self, circuit: Circuit, writer: type[Writer]) -> None:
        circuit = outputs_at_rest(circuit)
        self.circuit, self.names = circuit, tensor_names(circuit)
        self.planner = Planner(rename(circuit, axes=axis_letters(circuit)))
        self.results = self.planner.outputs()
        self.program, self.axes = self.planner.program, self.planner.circuit.axes
        self.tokens = frozenset(axis.name for axis in self.axes if axis.role is Role.COLUMN)
        self.sizes = {axis.name: self.planner.size_code(axis.name) for axis in self.axes}
        self.write = writer(self.sizes)
        self.stored = stores_weights(circuit)
        self.plain = [p for p in circuit.parameters if p.formula is None]
        #: Of parameters that are computed before the program runs.
        self.formulas = {
            p.name: p.formula
            for p in circuit.parameters
            if p.formula and p.formula.kind not in PLANNED_FORMULAS
        }
        #: 0/1 inputs that may stay None.
        self.optional: frozenset[str] = frozenset()

    @property
    def has_file(self) -> bool:
        """Whether weights lie beside the file."""
        return self.stored and bool(self.plain)

    @property
    def rates(self) -> list[str]:
        """Arguments that are rates."""
        return [self.names[t.name] for t in self.circuit.inputs if t.kind is InputKind.RATE]

    @property
    def deciding(self) -> str:
        """What says in which precision all is computed: inputs of rates, if there are any."""
        return "inputs" if self.rates or not self.plain else "weights"

    @property
    def wanted(self) -> list[str]:
        """Arguments that must be given: rates and tokens."""
        return [self.names[t.name] for t in self.circuit.inputs if not t.optional]

    @property
    def gates(self) -> list[str]:
        """Arguments that are zeros and ones, with their default."""
        return [f"{self.names[t.name]}=None" for t in self.circuit.inputs if t.optional]

    @property
    def outputs(self) -> str:
        """The names of the outputs, for a docstring."""
        return ", ".join(output.name for output in self.circuit.outputs)

    def head(self, template: str, **others: str) -> str:
        """The docstring of a file, as its template has it; `others` are words there."""
        others = {"deciding": self.deciding, **others}
        title, tensors = json.dumps(self.circuit.name), "\n".join(tensor_lines(self.circuit))
        return heading(template).format(title=title, tensors=tensors, **others)

    def checked_inputs(self, without: Extent = "") -> Iterator[str]:
        """Lines that check the inputs, which may lack the side `without`."""
        for tensor in sorted(self.circuit.inputs, key=lambda t: t.optional):
            shape = tuple(side for side in tensor.shape if side != without)
            yield from self._checked_input(replace(tensor, shape=shape), self.names[tensor.name])

    def _checked_input(self, tensor: Input, name: str) -> Iterator[str]:
        if tensor.kind is InputKind.RATE:
            yield f"{name} = {self.rate(tensor, name)}"
        elif tensor.kind is InputKind.TOKEN:
            yield f"{name} = {self.ids(tensor, name)}"
        elif name in self.optional:
            yield f"if {name} is not None:"
            yield f"    {name} = {checked(tensor, flags(tensor, name))} != 0"
        else:
            yield f"if {name} is None:"
            yield f"    {name} = {self.write.all_ones(sides_code(tensor.shape))}"
            yield f"{name} = {self.gate(tensor, name)}"

    def rate(self, tensor: Input, name: str) -> str:
        """Code for an input of rates, checked and in the precision of all."""
        return self.write.cast(checked(tensor, name))

    def ids(self, tensor: Input, name: str) -> str:
        """Code for an input of tokens, checked: whole numbers."""
        return checked(tensor, token_numbers(tensor, name))

    def gate(self, tensor: Input, name: str) -> str:
        """Code for a 0/1 input, checked, as numbers."""
        return self.write.cast(f"({checked(tensor, flags(tensor, name))} != 0)")

    def formula_lines(
        self, positions: Callable[[Shape], str], arguments: Mapping[str, str], token: str = ""
    ) -> Iterator[str]:
        """Lines that compute parameters at `positions`; `arguments` are the code of each, `token` reads one."""
        for parameter in self.circuit.parameters:
            formula = self.formulas.get(parameter.name)
            if formula:
                given = [positions(parameter.shape), *(arguments[n] for n in formula.arguments)]
                called = formula_call(parameter.name, formula, given)
                code = self.write.cast(f"{called}{token}")
                yield f"{self.names[parameter.name]} = {code}"

    def returned(self, results: Iterable[Variable]) -> list[str]:
        """Code for each of `results`, with the axes that the outputs have."""
        pairs = zip(results, self.results, strict=True)
        return [self.write.transposed(result, output.axes) for result, output in pairs]


class AttentionFile(ArrayFile):
    """A file whose library has a kernel for softmax attention, or gets one."""

    def __init__(self, circuit: Circuit, writer: type[Writer]) -> None:
        super().__init__(circuit, writer)
        self.found = with_attention(self.program.statements, self.results)
        self.optional = frozenset(optional_gates(self.found))
        read = {operand.code for s in self.found for operand in s.operands}
        self.read = frozenset(read | {result.code for result in self.results})
        self.formulas = {k: f for k, f in self.formulas.items() if self.names[k] in self.read}
        exact = angles(circuit)
        arguments = [name for formula in self.formulas.values() for name in formula.arguments]
        #: Parameters that formulas read, other than angles, which have a precision of their own.
        self.tables = {name: self.names[name] for name in arguments if name not in exact}
        self.read |= {*self.tables.values()}


def flags(tensor: Input, code: str) -> str:
    """Code that checks that a 0/1 input holds nothing else: a call of a template's `flags`."""
    return f"flags({json.dumps(tensor.name)}, {code})"


def token_numbers(tensor: Input, code: str) -> str:
    """Code that checks that an input of tokens holds their numbers: a call of a template's `token_numbers`."""
    return f"token_numbers({json.dumps(tensor.name)}, {code}, {tensor.shape[-1]})"


def checked(tensor: Input | Parameter, code: str, *others: str) -> str:
    """Code that checks an array for a tensor against its shape: a call of a template's `checked`."""
    sides = tensor.given if isinstance(tensor, Input) else tensor.shape
    name, shape = json.dumps(tensor.name), json.dumps(sides)
    return f"checked({', '.join([name, code, shape, 'sizes', *others])})"


def statement_lines(statement: Statement, write: Writer) -> list[str]:
    """The comments of a statement, and the assignment with the axes of its result."""
    result = statement.result
    code = statement.operation.code(write, result, statement.operands)
    return [*(f"# {text}" for text in statement.comments), assignment(result, code)]


def assignment(result: Variable, code: str) -> str:
    """`result = code  # [axes]`."""
    axes = ", ".join(filter(None, result.axes))
    return f"{result.code} = {code}" + (f"  # [{axes}]" if axes else "")
