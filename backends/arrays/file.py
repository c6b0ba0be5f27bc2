"""What the emitted files of NumPy, PyTorch and JAX have in common: the plan, its head, how lines read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from cortico.backends.arrays.find_attention import optional_gates, with_attention
from cortico.backends.arrays.planner import PLANNED_FORMULAS, Planner, tensor_names
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.variables import Variable
from cortico.backends.arrays.writer import Writer
from cortico.backends.linking import heading
from cortico.backends.script_parts import sides_code, stores_weights, tensor_lines
from cortico.ir import Circuit, Formula, Input, InputKind, Parameter
from cortico.ir.analysis.letters import axis_letters
from cortico.ir.rewrite import rename

#: The template that all of them use.
TEMPLATE = "cortico.backends.arrays.template"

#: What a function says of its 0/1 inputs.
ALL_ONES = "A 0/1 input that is None is all ones."


class ArrayFile:
    """The emitted file of one circuit, before it is text."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit, self.names = circuit, tensor_names(circuit)
        self.lettered = rename(circuit, axes=axis_letters(circuit))
        self.planner = Planner(self.lettered)
        self.results = self.planner.outputs()
        self.program = self.planner.program
        axes = self.planner.circuit.axes
        self.sizes = {axis.name: self.planner.size_code(axis.name) for axis in axes}
        self.stored = stores_weights(circuit)
        #: Parameters that are arrays, and those that are computed before the program runs.
        self.plain = [p for p in circuit.parameters if p.formula is None]
        self.formulas = {
            p.name: p.formula
            for p in circuit.parameters
            if p.formula and p.formula.kind not in PLANNED_FORMULAS
        }

    @property
    def has_file(self) -> bool:
        """Whether weights lie beside the file."""
        return self.stored and bool(self.plain)

    @property
    def inputs(self) -> list[Input]:
        """Inputs of rates, then those of zeros and ones."""
        return sorted(self.circuit.inputs, key=lambda t: t.kind is InputKind.MASK)

    @property
    def rates(self) -> list[str]:
        """Arguments that are rates."""
        return [self.names[t.name] for t in self.circuit.inputs if t.kind is InputKind.RATE]

    @property
    def gates(self) -> list[str]:
        """Arguments that are zeros and ones, with their default."""
        gates = (t for t in self.circuit.inputs if t.kind is InputKind.MASK)
        return [f"{self.names[t.name]}=None" for t in gates]

    @property
    def outputs(self) -> str:
        """The names of the outputs, for a docstring."""
        return ", ".join(output.name for output in self.circuit.outputs)

    def head(self, template: str, **others: str) -> str:
        """The docstring of a file, as its template has it; `others` are words there."""
        tensors = "\n".join(tensor_lines(self.circuit))
        return heading(template).format(
            title=json.dumps(self.circuit.name), tensors=tensors, **others
        )

    def returned(self, write: Writer, results: Iterable[Variable]) -> list[str]:
        """Code for each of `results`, with the axes that the outputs have."""
        pairs = zip(results, self.results, strict=True)
        return [write.transposed(result, output.axes) for result, output in pairs]


class AttentionFile(ArrayFile):
    """A file whose library has a kernel for softmax attention, or gets one."""

    def __init__(self, circuit: Circuit, writer: type[Writer]) -> None:
        super().__init__(circuit)
        self.write = writer(self.sizes)
        self.found = with_attention(self.program.statements, self.results)
        self.optional = optional_gates(self.found)
        read = {operand.code for s in self.found for operand in s.operands}
        self.read = frozenset(read | {result.code for result in self.results})
        self.formulas = {k: f for k, f in self.formulas.items() if self.names[k] in self.read}

    def checked_inputs(self) -> Iterator[str]:
        """Lines that check the inputs."""
        for tensor in self.inputs:
            yield from self._checked_input(tensor, self.names[tensor.name])

    def _checked_input(self, tensor: Input, name: str) -> Iterator[str]:
        code = checked(tensor, name)
        if tensor.kind is InputKind.RATE:
            yield f"{name} = {self.write.cast(code)}"
        elif name in self.optional:
            yield f"if {name} is not None:"
            yield f"    {name} = {code} != 0"
        else:  # anything but zero counts as one
            yield f"if {name} is None:"
            yield f"    {name} = {self.write.all_ones(sides_code(tensor.shape))}"
            yield f"{name} = {self.write.cast(f'({code} != 0)')}"

    def formula_lines(self, arguments: Mapping[str, str]) -> Iterator[str]:
        """Lines that compute parameters; `arguments` have the code of each in the highest precision."""
        for parameter in self.circuit.parameters:
            formula = self.formulas.get(parameter.name)
            if formula:
                yield f"{self.names[parameter.name]} = {self._formula(parameter, formula, arguments)}"

    def _formula(self, parameter: Parameter, formula: Formula, arguments: Mapping[str, str]) -> str:
        given = ", ".join(arguments[name] for name in formula.arguments)
        return self.write.cast(f"{formula.kind}([{sides_code(parameter.shape)}], {given})")


def checked(tensor: Input | Parameter, code: str, *others: str) -> str:
    """Code that checks an array for a tensor against its shape: a call of a template's `checked`."""
    name, shape = json.dumps(tensor.name), json.dumps(tensor.shape)
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
