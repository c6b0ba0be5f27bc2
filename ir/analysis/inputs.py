"""Binding of run-time arrays to a circuit: symbols get sizes, formulas get numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cortico.ir.circuit import Circuit, resolve
from cortico.ir.errors import SpecError, bullet_list, near_name
from cortico.ir.tensors import FORMULAS, Input, InputKind, Parameter

Arrays = Mapping[str, np.ndarray]


def bind_symbols(circuit: Circuit, inputs: Arrays) -> dict[str, int]:
    """Symbol to number, read off the trailing axes of `inputs`; leading axes are a batch.

    A 0/1 input may be absent. SpecError lists every missing, unknown or misshapen input.
    """
    symbols: dict[str, int] = {}
    known = [tensor.name for tensor in circuit.inputs]
    problems = [f"unknown input {n!r}{near_name(n, known)}" for n in inputs if n not in known]
    for tensor in sorted(circuit.inputs, key=lambda tensor: tensor.kind is InputKind.MASK):
        if tensor.name in inputs:
            problems += _bind_shape(tensor, inputs[tensor.name].shape, symbols)
        elif tensor.kind is InputKind.RATE:
            problems.append(f"input {tensor.name!r} is missing, expected shape {tensor.shape}")
    if problems:
        raise SpecError(f"inputs of {circuit.name!r} are wrong:{bullet_list(problems)}")
    return symbols


def _bind_shape(tensor: Input, shape: tuple[int, ...], symbols: dict[str, int]) -> Iterator[str]:
    """Take the sizes of `tensor`'s symbols from `shape`, where they have none yet."""
    own = shape[max(len(shape) - len(tensor.shape), 0) :]
    if len(own) == len(tensor.shape) and 0 not in shape:
        for side, size in zip(tensor.shape, own, strict=True):
            if isinstance(side, str):
                symbols.setdefault(side, size)
        if own == tuple(resolve(side, symbols) for side in tensor.shape):
            return
    sides = tuple(symbols.get(str(side), side) for side in tensor.shape)
    expected = ", ".join(map(str, sides))
    yield f"input {tensor.name!r} has shape {shape}, expected (…, {expected}), none empty"


def all_live(circuit: Circuit, inputs: Arrays, symbols: Mapping[str, int]) -> dict[str, np.ndarray]:
    """`inputs`, with ones for every 0/1 input that is absent."""
    absent = [t for t in circuit.inputs if t.name not in inputs]
    ones = {t.name: np.ones([resolve(s, symbols) for s in t.shape], bool) for t in absent}
    return {**inputs, **ones}


def infinite_weights(circuit: Circuit) -> Iterator[str]:
    """A line for each parameter with numbers that are none."""
    for parameter in circuit.parameters:
        if parameter.values is not None and not np.isfinite(parameter.values).all():
            yield f"parameter {parameter.name!r} has numbers that are NaN or infinite"


def stored_values(
    circuit: Circuit, symbols: Mapping[str, int], given: Arrays | None = None
) -> dict[str, np.ndarray]:
    """The array of every parameter without a formula: `given` first, then its own values.

    SpecError lists every parameter without numbers, and every unknown or misshapen one of `given`.
    """
    given = given or {}
    plain = {p.name: p for p in circuit.parameters if p.formula is None}
    problems = [f"unknown parameter {n!r}{near_name(n, plain)}" for n in given if n not in plain]
    values: dict[str, np.ndarray] = {}
    for name, parameter in plain.items():
        array = given.get(name, parameter.values)
        expected = _shape(parameter, symbols)
        if array is None:
            problems.append(f"parameter {name!r} has no values: give an array {expected}")
        elif array.shape != expected:
            problems.append(f"parameter {name!r} has shape {array.shape}, expected {expected}")
        else:
            values[name] = array
    if problems:
        raise SpecError(f"parameters of {circuit.name!r} are wrong:{bullet_list(problems)}")
    return values


def parameter_values(
    circuit: Circuit, symbols: Mapping[str, int], given: Arrays | None = None
) -> dict[str, np.ndarray]:
    """Every parameter's array, formulas evaluated."""
    values = stored_values(circuit, symbols, given)
    for parameter in circuit.parameters:
        if parameter.formula is not None:
            arguments = [values[name] for name in parameter.formula.arguments]
            evaluate = FORMULAS[parameter.formula.kind]
            values[parameter.name] = evaluate(_shape(parameter, symbols), *arguments)
    return values


def _shape(parameter: Parameter, symbols: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(resolve(side, symbols) for side in parameter.shape)
