"""Parses the text of a circuit. One function per kind of line; nothing is ever evaluated."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from cortico.ir.axes import Axis, Extent, Role, Unfold
from cortico.ir.circuit import Circuit, Output
from cortico.ir.domain import EVERYWHERE, Bound, Domain, conjunction
from cortico.ir.errors import CircuitError
from cortico.ir.invariants import check
from cortico.ir.limits import EXPONENT, TEXT_BYTES
from cortico.ir.paths import PATH
from cortico.ir.population import (
    Compartment,
    Delay,
    DelayUnit,
    Effect,
    Integration,
    Population,
    Projection,
)
from cortico.ir.regions import CellClass, Region
from cortico.ir.tensors import FLOATS, Formula, Gain, Input, InputKind, Parameter, TensorRef, Weight
from cortico.ir.text.line import Line, lines_of
from cortico.ir.text.printer import VERSION, check_file_name

_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?|inf|nan)(?![A-Za-z0-9_.\[])")
_INTEGER = re.compile(r"-?[0-9]+(?![A-Za-z0-9_.])")
_COUNT = re.compile(r"[0-9]+(?![A-Za-z0-9_.])")
_FRACTION = re.compile(r"-?[0-9]{1,18}(?:/0*[1-9][0-9]{0,17})?(?![A-Za-z0-9_./])")
_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIZE = re.compile(r"size(?=\s*\()")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


@dataclass(frozen=True)
class Stored:
    """A parameter whose values lie in the weights file: their type, and the line that says so."""

    dtype: str
    line: Line


@dataclass
class Head:
    """What the first lines of a text say."""

    kind: ClassVar[str]
    name: str | None = None
    weights_file: str | None = None

    def require_title(self) -> None:
        """CircuitError where no line has said the name."""
        if self.name is None:
            example = f'name "my {self.kind}"'
            raise CircuitError(f"the text has no title, expected a line such as: {example}")


@dataclass
class Draft(Head):
    """What has been read so far."""

    kind = "circuit"
    axes: list[Axis] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    parameters: list[Parameter] = field(default_factory=list)
    populations: list[Population] = field(default_factory=list)
    #: Those of each population, in the same order.
    compartments: list[list[Compartment]] = field(default_factory=list)
    projections: list[Projection] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    #: Parameter name to where and how its values are stored.
    stored: dict[str, Stored] = field(default_factory=dict)


def parse_circuit(text: str, weights: Mapping[str, np.ndarray] | None = None) -> Circuit:
    """The circuit that `text` describes, checked; `weights` holds the stored parameters by name.

    CircuitError with line, text, what was found and what was expected.
    """
    return finish(read(text), weights)


def read(text: str) -> Draft:
    """Everything that the text says, unchecked, without the stored values."""
    require_short(text)
    draft = Draft()
    for line in body(text, draft.kind, VERSION):
        if line.indented:
            _read_compartment(line, draft)
        else:
            READERS[line.one_of(READERS, "a declaration")](line, draft)
        line.finish()
    draft.require_title()
    return draft


def finish(draft: Draft, weights: Mapping[str, np.ndarray] | None) -> Circuit:
    """The circuit of a draft, with stored values taken from `weights`, checked."""
    assert draft.name is not None
    known = {population.name: population for population in draft.populations}
    read = (p.plain(known[p.pre]) if p.pre in known else p for p in draft.projections)
    circuit = Circuit(
        draft.name,
        tuple(draft.axes),
        tuple(draft.inputs),
        tuple(_with_values(parameter, draft, weights) for parameter in draft.parameters),
        tuple(map(_with_compartments, draft.populations, draft.compartments)),
        tuple(read),
        tuple(draft.outputs),
    )
    check(circuit)
    return circuit


def _with_compartments(population: Population, compartments: list[Compartment]) -> Population:
    return dataclasses.replace(population, compartments=tuple(compartments))


def _with_values(
    parameter: Parameter, draft: Draft, weights: Mapping[str, np.ndarray] | None
) -> Parameter:
    stored = draft.stored.get(parameter.name)
    if stored is None:
        return parameter
    if weights is None or parameter.name not in weights:
        given = "no weights were given" if weights is None else "the weights lack it"
        stored.line.complain(f"parameter {parameter.name!r} has stored values, but {given}")
    values = weights[parameter.name]
    found, expected = (values.dtype.name, values.shape), (stored.dtype, parameter.shape)
    if found != expected:
        stored.line.complain(
            f"parameter {parameter.name!r} is declared {_kind(*expected)}, but its values are {_kind(*found)}"
        )
    return dataclasses.replace(parameter, values=values)


def _kind(dtype: str, shape: tuple[Extent, ...]) -> str:
    return f"{dtype} ({', '.join(map(str, shape))})"


# ---- lines ---------------------------------------------------------------------------------------


def require_short(text: str) -> None:
    """CircuitError for a text that is too large to be one."""
    if len(text) > TEXT_BYTES:
        raise CircuitError(f"the text is too large: expected at most {TEXT_BYTES:,} bytes")


def body(text: str, kind: str, version: int) -> Sequence[Line]:
    """The lines behind the first one, which says that the text is a `kind` of this version."""
    lines = lines_of(text)
    if not lines:
        raise CircuitError(f"the text is empty, expected 'cortico {kind} {version}'")
    _read_version(lines[0], kind, version)
    return lines[1:]


def _read_version(line: Line, kind: str, known: int) -> None:
    line.expect("cortico")
    line.expect(kind)
    version = line.integer("the version of the text form", _COUNT)
    if version != known:
        line.complain(f"text form {version}, but this cortico reads {known}")
    line.finish()


def read_name(line: Line, draft: Head) -> None:
    """What stands behind `name`."""
    if draft.name is not None:
        line.complain(f"the {draft.kind} has a name already")
    draft.name = read_string(line)


def read_weights_file(line: Line, draft: Head) -> None:
    """What stands behind `weights`."""
    if draft.weights_file is not None:
        line.complain(f"the {draft.kind} has a weights file already")
    name = read_string(line)
    try:
        draft.weights_file = check_file_name(name)
    except CircuitError as error:
        line.complain(str(error))


def _read_axis(line: Line, draft: Draft) -> None:
    name = line.name("the name of an axis")
    line.expect(":")
    role = Role(line.one_of(Role, "a role"))
    extent, unfold = _extent(line), Unfold.SPACE
    if line.accept("in"):
        unfold = Unfold(line.one_of(Unfold, "how it unfolds"))
    draft.axes.append(Axis(name, role, extent, unfold))


def read_input(line: Line) -> Input:
    """What stands behind `input`."""
    name, shape = line.name("the name of an input"), _shape(line)
    kind = InputKind.RATE if line.at_end else InputKind(line.one_of(InputKind, "a kind of input"))
    return Input(name, shape, kind)


def _read_input(line: Line, draft: Draft) -> None:
    draft.inputs.append(read_input(line))


def _read_parameter(line: Line, draft: Draft) -> None:
    name, shape = line.name("the name of a parameter"), _shape(line)
    formula = None
    if line.accept("stored"):
        draft.stored[name] = Stored(line.one_of(FLOATS, "a floating-point type"), line)
    elif line.accept("="):
        kind = line.name("the name of a formula")
        arguments = line.listing("(", lambda: line.name("the name of a parameter"), ")")
        formula = Formula(kind, arguments)
    draft.parameters.append(Parameter(name, shape, None, formula))


def _read_population(line: Line, draft: Draft) -> None:
    name, axes = line.name("the name of a population"), _axes(line)
    region = Region(line.one_of(Region, "a region"))
    cell_class = CellClass(line.one_of(CellClass, "a cell class"))
    transfer = "identity"
    if not line.at_end and not line.sees("integrates", "at", "where"):
        transfer = line.name("a transfer function, 'integrates', 'at' or 'where'")
    integrates = _integration(line) if line.accept("integrates") else None
    path = line.take(PATH, "a path such as layer[3].attention") if line.accept("at") else ""
    domain = _where(line)
    draft.populations.append(
        Population(name, axes, region, cell_class, (), transfer, domain, path, integrates)
    )
    draft.compartments.append([])


def _read_compartment(line: Line, draft: Draft) -> None:
    if not draft.populations:
        line.complain("a compartment must follow the line of its population")
    name = line.name("the name of a compartment")
    effect = Effect(line.one_of(Effect, "an effect"))
    drive = () if line.at_end else line.separated(lambda: _weight(line), "+")
    draft.compartments[-1].append(Compartment(name, effect, drive))


def _read_projection(line: Line, draft: Draft) -> None:
    name, pre = line.name("the name of a projection"), line.name("the name of a population")
    at = _axes(line) if line.starts("[") else ()
    line.expect("->")
    post = line.name("the name of a population")
    line.expect(".")
    compartment = line.name("the name of a compartment")
    weight = _weight(line) if line.accept("weight") else Weight()
    delay = _delay(line) if line.accept("delay") else None
    ends = (pre, post, compartment)
    draft.projections.append(Projection(name, *ends, weight, _where(line), at, delay))


def _read_output(line: Line, draft: Draft) -> None:
    name = line.name("the name of an output")
    line.expect("=")
    population = line.name("the name of a population")
    draft.outputs.append(Output(name, TensorRef(population, _axes(line))))


#: First word of a line to the function that reads the rest of it.
READERS: Mapping[str, Callable[[Line, Draft], None]] = MappingProxyType(
    {
        "name": read_name,
        "weights": read_weights_file,
        "axis": _read_axis,
        "input": _read_input,
        "parameter": _read_parameter,
        "population": _read_population,
        "projection": _read_projection,
        "output": _read_output,
    }
)


# ---- pieces --------------------------------------------------------------------------------------


def read_string(line: Line) -> str:
    """A text in quotes, written as JSON."""
    text = line.take(_STRING, 'a text in quotes, such as "layer 0"')
    try:
        return str(json.loads(text))
    except ValueError:
        line.complain(f"{text} is no JSON string")


def _number(line: Line, what: str) -> float:
    return float(line.take(_NUMBER, what))


def _integration(line: Line) -> Integration:
    rate = _number(line, "a number per ms")
    line.expect("per")
    line.expect("ms")
    return Integration(rate, _number(line, "the rate at the start") if line.accept("from") else 0.0)


def _delay(line: Line) -> Delay:
    amount = _number(line, "a delay such as 1.5 ms or 2 steps")
    return Delay(amount, DelayUnit(line.one_of(DelayUnit, "the unit of a delay")))


def _extent(line: Line) -> Extent:
    symbol = line.match(_SYMBOL)
    return line.integer("a size: a number or a name", _COUNT) if symbol is None else symbol


def _shape(line: Line) -> tuple[Extent, ...]:
    return line.listing("(", lambda: _extent(line), ")")


def _axes(line: Line) -> tuple[str, ...]:
    return line.listing("[", lambda: line.name("the name of an axis"), "]")


def _where(line: Line) -> Domain:
    return _bounds(line) if line.accept("where") else EVERYWHERE


def _bounds(line: Line) -> Domain:
    return conjunction(line.separated(lambda: _bound(line), "and"))


def _bound(line: Line) -> Bound:
    left = line.name("a bound such as j - i <= 0")
    line.expect("-")
    right = line.name("the name of an axis")
    line.expect("<=")
    return Bound(left, right, line.integer("a whole number", _INTEGER))


def _weight(line: Line) -> Weight:
    """A product of at most one number, powers of sizes, and at most one tensor, in that order."""
    number = line.match(_NUMBER)
    sizes: list[tuple[str, Fraction]] = []
    more = number is None or line.accept("*")
    while more and line.match(_SIZE) is not None:
        sizes.append(_power(line))
        more = line.accept("*")
    gain = Gain(1.0 if number is None else float(number), tuple(sizes))
    if not more:
        return Weight(None, gain)
    tensor = line.name("a weight such as 0.5 * size(a)^-1/2 * W[a, m]")
    return Weight(TensorRef(tensor, _axes(line)), gain)


def _power(line: Line) -> tuple[str, Fraction]:
    line.expect("(")
    axis = line.name("the name of an axis")
    line.expect(")")
    line.expect("^")
    exponent = Fraction(line.take(_FRACTION, "an exponent such as -1/2"))
    if abs(exponent) > EXPONENT or exponent.denominator > EXPONENT:
        line.complain(
            f"size({axis}) has the exponent {exponent}, expected numbers up to {EXPONENT}"
        )
    return axis, exponent
