"""Prints a circuit as text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from cortico.ir.axes import Axis
from cortico.ir.circuit import Circuit
from cortico.ir.domain import Domain
from cortico.ir.errors import CircuitError
from cortico.ir.population import Compartment, Population, Projection
from cortico.ir.tensors import Input, InputKind, Parameter, Shape

#: The version of the text form.
VERSION = 1


def print_circuit(circuit: Circuit, weights_file: str | None = None) -> str:
    """The text of a circuit; `weights_file` names the safetensors file beside it.

    CircuitError when `weights_file` is not a plain file name.
    """
    sections = (
        _head(circuit, weights_file),
        map(_axis, circuit.axes),
        [*map(input_line, circuit.inputs), *map(_parameter, circuit.parameters)],
        [line for population in circuit.populations for line in _population(population)],
        map(_projection, circuit.projections),
        (f"output {output.name} = {output.source}" for output in circuit.outputs),
    )
    texts = ("\n".join(section) for section in sections)
    return "\n\n".join(text for text in texts if text) + "\n"


def check_file_name(name: str) -> str:
    """`name` itself. CircuitError when it could lead out of the folder of the circuit."""
    plain = name not in ("", ".", "..") and "\0" not in name
    if not plain or any(path(name).name != name for path in (PurePosixPath, PureWindowsPath)):
        raise CircuitError(f"weights file {name!r} must be a plain file name, without folders")
    return name


def quote(text: str) -> str:
    """A JSON string on one line that a person can read: only what cannot be printed is escaped."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)


def _head(circuit: Circuit, weights_file: str | None) -> Iterator[str]:
    yield f"cortico circuit {VERSION}"
    yield f"name {quote(circuit.name)}"
    if weights_file is not None:
        yield f"weights {quote(check_file_name(weights_file))}"


def _axis(axis: Axis) -> str:
    return f"axis {axis.name} : {axis.role} {axis.extent}" + (" in time" if axis.in_time else "")


def input_line(tensor: Input) -> str:
    """The line that declares an input."""
    kind = "" if tensor.kind is InputKind.RATE else f" {tensor.kind}"
    return f"input {tensor.name} {_shape(tensor.shape)}{kind}"


def _parameter(parameter: Parameter) -> str:
    text = f"parameter {parameter.name} {_shape(parameter.shape)}"
    if parameter.values is not None:
        text += f" stored {parameter.values.dtype.name}"
    return text if parameter.formula is None else f"{text} = {parameter.formula}"


def _shape(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"


def _population(population: Population) -> Iterator[str]:
    kind = f"{population.region} {population.cell_class}"
    transfer = "" if population.transfer == "identity" else f" {population.transfer}"
    path = f" at {population.path}" if population.path else ""
    integrates = f" integrates {population.integrates}" if population.integrates else ""
    yield (
        f"population {population.name} [{', '.join(population.axes)}] "
        f"{kind}{transfer}{integrates}{path}{_where(population.domain)}"
    )
    yield from map(_compartment, population.compartments)


def _compartment(compartment: Compartment) -> str:
    drive = " + ".join(map(str, compartment.drive))
    return f"  {compartment.name} {compartment.effect} {drive}".rstrip()


def _projection(projection: Projection) -> str:
    delay = f" delay {projection.delay}" if projection.delay else ""
    return (
        f"projection {projection.name} {projection.source} -> "
        f"{projection.post}.{projection.compartment} "
        f"weight {projection.weight}{delay}{_where(projection.domain)}"
    )


def _where(domain: Domain) -> str:
    return f" where {' and '.join(map(str, domain))}" if domain else ""
