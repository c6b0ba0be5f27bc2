"""Text of the emitted file: a planned program between its header and its helpers."""

from __future__ import annotations

import json
import textwrap

from cortico.backends.arrays.planner import PLANNED_FORMULAS, Planner, tensor_names
from cortico.backends.arrays.program import Statement
from cortico.backends.arrays.writer import Writer
from cortico.backends.letters import axis_letters, with_letters
from cortico.backends.numpy.template import CHECKED, HELPERS
from cortico.backends.script_parts import (
    LOAD_WEIGHTS,
    sides_code,
    stores_weights,
    tensor_lines,
    two_blank_lines_between_functions,
)
from cortico.ir import Circuit, Formula, Input, InputKind, Parameter


def emit_source(circuit: Circuit) -> str:
    """A standalone Python module with one function, `attention`, that runs `circuit`."""
    planner = Planner(with_letters(circuit, axis_letters(circuit)))
    results = planner.outputs()
    write = Writer({axis.name: planner.size_code(axis.name) for axis in planner.circuit.axes})
    body = [line for s in planner.program.statements for line in statement_lines(s, write)]
    parts = [
        _header(circuit),
        LOAD_WEIGHTS if stores_weights(circuit) else "",
        _signature(circuit),
        textwrap.indent("\n".join(_prologue(circuit)), "    "),
        textwrap.indent("\n".join(body), "    "),
        f"    return {', '.join(result.code for result in results)}\n\n",
        CHECKED,
    ]
    text = "\n".join(part for part in parts if part)
    helpers = (code for name, code in HELPERS.items() if f"{name}(" in text)
    return two_blank_lines_between_functions("\n".join([text, *helpers]))


def statement_lines(statement: Statement, write: Writer) -> list[str]:
    """The comments of a statement, and the assignment with the axes of its result."""
    result = statement.result
    code = statement.operation.code(write, result, statement.operands)
    axes = f"  # [{', '.join(result.axes)}]" if result.axes else ""
    return [*(f"# {text}" for text in statement.comments), f"{result.code} = {code}{axes}"]


def _header(circuit: Circuit) -> str:
    title = json.dumps(circuit.name)
    standard = (
        "import functools\nimport json\nfrom pathlib import Path\n\n"
        if stores_weights(circuit)
        else ""
    )
    return "\n".join(
        [
            f'"""Circuit {title}, compiled by cortico to NumPy.',
            "",
            *tensor_lines(circuit),
            "",
            "float32 inputs are computed in float32, all others in float64. In the comments, axes stand in",
            "brackets; the batch axes in front of them are left out.",
            '"""',
            "",
            f"{standard}import numpy as np\n\n",
        ]
    )


def _signature(circuit: Circuit) -> str:
    names = tensor_names(circuit)
    arguments = [names[t.name] for t in circuit.inputs if t.kind is InputKind.RATE]
    gates = [f"{names[t.name]}=None" for t in circuit.inputs if t.kind is InputKind.MASK]
    weights = "weights=None" if stores_weights(circuit) else "weights"
    listed = ", ".join([*arguments, "*", *gates, weights])
    outputs = ", ".join(output.name for output in circuit.outputs)
    source = (
        "`weights` maps names to arrays; by default they are read from the file beside this one."
        if stores_weights(circuit)
        else "`weights` maps the names above to arrays."
    )
    missing = "\n\n    A 0/1 input that is None is all ones." if gates else ""
    return f'def attention({listed}):\n    """{outputs} of the circuit.\n\n    {source}{missing}\n    """'


def _prologue(circuit: Circuit) -> list[str]:
    """Lines that check the inputs and bring every tensor under its name."""
    names = tensor_names(circuit)
    rates = [names[t.name] for t in circuit.inputs if t.kind is InputKind.RATE]
    single = " and ".join(f"np.asarray({name}).dtype == np.float32" for name in rates)
    lines = [f"dtype = np.float32 if {single or 'False'} else np.float64", "sizes = {}"]
    for tensor in sorted(circuit.inputs, key=lambda t: t.kind is InputKind.MASK):
        lines += _checked_input(tensor, names[tensor.name])
    if stores_weights(circuit):
        lines.append("weights = load_weights() if weights is None else weights")
    for parameter in circuit.parameters:
        if parameter.formula is None:
            lines.append(_checked_parameter(parameter, names[parameter.name]))
    for parameter in circuit.parameters:
        if parameter.formula is not None and parameter.formula.kind not in PLANNED_FORMULAS:
            lines.append(f"{names[parameter.name]} = {_formula_code(parameter, parameter.formula)}")
    return lines


def _checked_input(tensor: Input, name: str) -> list[str]:
    shape = json.dumps(tensor.shape)
    if tensor.kind is InputKind.RATE:
        return [f'{name} = checked("{tensor.name}", {name}, {shape}, sizes, dtype)']
    # anything but zero counts as one
    check = f'{name} = checked("{tensor.name}", {name}, {shape}, sizes, bool).astype(dtype)'
    sides = sides_code(tensor.shape)
    return [f"if {name} is None:", f"    {name} = np.ones([{sides}], bool)", check]


def _checked_parameter(parameter: Parameter, name: str) -> str:
    shape = json.dumps(parameter.shape)
    array = f'weights["{parameter.name}"]'
    return f'{name} = checked("{parameter.name}", {array}, {shape}, sizes, dtype)'


def _formula_code(parameter: Parameter, formula: Formula) -> str:
    # in double precision whatever the rates are computed in: angles grow with the position
    arguments = ", ".join(
        f'np.asarray(weights["{name}"], np.float64)' for name in formula.arguments
    )
    shape = sides_code(parameter.shape)
    return f"{formula.kind}([{shape}], {arguments}).astype(dtype)"
