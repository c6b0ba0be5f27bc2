"""Who reads rates and tensors."""

from __future__ import annotations

from cortico.ir.circuit import Circuit
from cortico.ir.rewrite import readings


def is_output(circuit: Circuit, population: str) -> bool:
    """Whether the outside reads the rates of a population."""
    return any(output.source.name == population for output in circuit.outputs)


def is_read_once(circuit: Circuit, tensor: str) -> bool:
    """Whether one drive, one projection or one formula reads a tensor, and nothing else does."""
    formulas = (parameter.formula for parameter in circuit.parameters)
    arguments = [name for formula in formulas if formula for name in formula.arguments]
    return [*(reading.name for reading in readings(circuit)), *arguments].count(tensor) == 1
