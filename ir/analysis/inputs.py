"""Binding of run-time arrays to a circuit: symbols get sizes, formulas get numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from cortico.ir.arrays import as_arrays
from cortico.ir.circuit import Circuit, resolve
from cortico.ir.errors import SpecError, bullet_list, near_name
from cortico.ir.tensors import FORMULAS, Input, InputKind, Parameter

Arrays = Mapping[str, np.ndarray]


def bind_symbols(circuit: Circuit, inputs: Arrays) -> dict[str, int]:
    """Symbol to number, read off the trailing axes of `inputs`; leading axes are a batch.

    A 0/1 input may be absent. SpecError lists every missing, unknown or misshapen input.
    """
    symbols: dict[str, int] = {}
    _refuse(circuit, [*_unknown(circuit, inputs), *_unfit(circuit, inputs, inputs, symbols)])
    return symbols


def given_inputs(circuit: Circuit, given: Any) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """What a user gives as inputs, as arrays, and the sizes of symbols. SpecError lists all that is wrong.

    A 0/1 input holds zeros and ones; numbers of rates may be any, NaN and infinity too.
    """
    names = [tensor.name for tensor in circuit.inputs]
    arrays, problems = as_arrays(given, "input", next(iter(names), "x"), names)
    symbols: dict[str, int] = {}
    problems += [*_unknown(circuit, given), *_unfit(circuit, arrays, given, symbols)]
    gates = (tensor for tensor in circuit.inputs if tensor.kind is InputKind.MASK)
    problems += [line for tensor in gates for line in _no_flags(tensor, arrays)]
    _refuse(circuit, problems)
    return arrays, symbols


def _refuse(circuit: Circuit, problems: list[str]) -> None:
    if problems:
        raise SpecError(f"inputs of {circuit.name!r} are wrong:{bullet_list(problems)}")


def _unknown(circuit: Circuit, given: Iterable[str]) -> Iterator[str]:
    known = [tensor.name for tensor in circuit.inputs]
    return (f"unknown input {n!r}{near_name(str(n), known)}" for n in given if n not in known)


def _unfit(
    circuit: Circuit, arrays: Arrays, given: Collection[str], symbols: dict[str, int]
) -> Iterator[str]:
    """What is missing of what must be given, and the shapes that do not fit; takes the sizes of symbols."""
    for tensor in sorted(circuit.inputs, key=lambda tensor: tensor.kind is InputKind.MASK):
        if tensor.name in arrays:
            yield from _bind_shape(tensor, arrays[tensor.name].shape, symbols)
        elif tensor.kind is InputKind.RATE and tensor.name not in given:
            yield f"input {tensor.name!r} is missing, expected shape {tensor.shape}"


def _no_flags(tensor: Input, arrays: Arrays) -> Iterator[str]:
    """A line for a 0/1 input that holds something else."""
    array = arrays.get(tensor.name)
    if array is None or array.dtype == bool:
        return
    others = array[(array != 0) & (array != 1)]
    if others.size:
        yield f"input {tensor.name!r} must hold 0 or 1, found {others.flat[0]}"


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
    plain = {p.name: p for p in circuit.parameters if p.formula is None}
    whole: Any = {} if given is None else given
    given, problems = as_arrays(whole, "parameter", next(iter(plain), "W_Q"), plain)
    problems += [
        f"unknown parameter {n!r}{near_name(str(n), plain)}" for n in whole if n not in plain
    ]
    values: dict[str, np.ndarray] = {}
    for name, parameter in plain.items():
        if name in whole and name not in given:  # what is no array is told once
            continue
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
