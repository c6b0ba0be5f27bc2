"""Binding of run-time arrays to a circuit: symbols get sizes, formulas get numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cortico.ir import Circuit, Parameter, SpecError
from cortico.ir.circuit import resolve
from cortico.ir.errors import bullet_list, near_name
from cortico.ir.tensors import FORMULAS

Arrays = Mapping[str, np.ndarray]


def bind_symbols(circuit: Circuit, inputs: Arrays) -> dict[str, int]:
    """Symbol to number, read off the shapes of `inputs` (one array per input, no batch axes).

    SpecError lists every missing, unknown or misshapen input.
    """
    symbols: dict[str, int] = {}
    known = [tensor.name for tensor in circuit.inputs]
    problems = [f"unknown input {n!r}{near_name(n, known)}" for n in inputs if n not in known]
    for tensor in circuit.inputs:
        if tensor.name not in inputs:
            problems.append(f"input {tensor.name!r} is missing, expected shape {tensor.shape}")
            continue
        shape = inputs[tensor.name].shape
        if len(shape) == len(tensor.shape):
            for side, size in zip(tensor.shape, shape, strict=True):
                if isinstance(side, str):
                    symbols.setdefault(side, size)
            if shape == tuple(resolve(side, symbols) for side in tensor.shape):
                continue
        problems.append(f"input {tensor.name!r} has shape {shape}, expected {tensor.shape}")
    if problems:
        raise SpecError(f"inputs of {circuit.name!r} are wrong:{bullet_list(problems)}")
    return symbols


def parameter_values(
    circuit: Circuit, symbols: Mapping[str, int], given: Arrays | None = None
) -> dict[str, np.ndarray]:
    """Every parameter's array: `given` first, then stored values, then formulas."""
    given = given or {}
    values: dict[str, np.ndarray] = {}
    problems = []
    for parameter in circuit.parameters:
        array = given.get(parameter.name, parameter.values)
        if parameter.formula is None and array is None:
            problems.append(
                f"parameter {parameter.name!r} has no values: give an array {parameter.shape}"
            )
        elif parameter.formula is None and array is not None:
            expected = _shape(parameter, symbols)
            if array.shape != expected:
                problems.append(
                    f"parameter {parameter.name!r} has shape {array.shape}, expected {expected}"
                )
            values[parameter.name] = array
    if problems:
        raise SpecError(f"parameters of {circuit.name!r} are wrong:{bullet_list(problems)}")
    for parameter in circuit.parameters:
        if parameter.formula is not None:
            arguments = [values[name] for name in parameter.formula.arguments]
            evaluate = FORMULAS[parameter.formula.kind]
            values[parameter.name] = evaluate(_shape(parameter, symbols), *arguments)
    return values


def _shape(parameter: Parameter, symbols: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(resolve(side, symbols) for side in parameter.shape)
