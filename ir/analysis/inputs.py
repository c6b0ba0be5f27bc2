"""Binding of run-time arrays to a circuit: symbols get sizes, formulas get numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from cortico.ir.arrays import as_arrays
from cortico.ir.circuit import Circuit, resolve
from cortico.ir.errors import SpecError, bullet_list, near_name
from cortico.ir.tensors import FLOATS, FORMULAS, Input, InputKind, Parameter

Arrays = Mapping[str, np.ndarray]


class Taking(Protocol):
    """What takes inputs: a circuit, or a network."""

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> tuple[Input, ...]: ...


def bind_symbols(circuit: Taking, inputs: Arrays) -> dict[str, int]:
    """Symbol to number, read off the trailing axes of `inputs`; leading axes are a batch.

    A 0/1 input may be absent. SpecError lists every missing, unknown or misshapen input.
    """
    symbols: dict[str, int] = {}
    _refuse(circuit, [*_unknown(circuit, inputs), *_unfit(circuit, inputs, inputs, symbols)])
    return symbols


def given_inputs(circuit: Taking, given: Any) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """What a user gives as inputs, as arrays, and the sizes of symbols. SpecError lists all that is wrong.

    A 0/1 input holds zeros and ones, one of tokens whole numbers; rates may be any, NaN and infinity too.
    """
    names = [tensor.name for tensor in circuit.inputs]
    ids = token_inputs(circuit)
    arrays, problems = as_arrays(given, "input", next(iter(names), "x"), names, whole=ids)
    symbols: dict[str, int] = {}
    problems += [*_unknown(circuit, given), *_unfit(circuit, arrays, given, symbols)]
    for tensor in circuit.inputs:
        if tensor.name in arrays:
            problems += _NUMBERS[tensor.kind](tensor, arrays[tensor.name])
    _refuse(circuit, problems)
    return arrays, symbols


def _refuse(circuit: Taking, problems: list[str]) -> None:
    if problems:
        raise SpecError(f"inputs of {circuit.name!r} are wrong:{bullet_list(problems)}")


def _unknown(circuit: Taking, given: Iterable[str]) -> Iterator[str]:
    known = [tensor.name for tensor in circuit.inputs]
    return (f"unknown input {n!r}{near_name(str(n), known)}" for n in given if n not in known)


def _unfit(
    circuit: Taking, arrays: Arrays, given: Collection[str], symbols: dict[str, int]
) -> Iterator[str]:
    """What is missing of what must be given, and the shapes that do not fit; takes the sizes of symbols."""
    for tensor in sorted(circuit.inputs, key=lambda tensor: tensor.optional):
        if tensor.name in arrays:
            yield from _bind_shape(tensor, arrays[tensor.name].shape, symbols)
        elif not tensor.optional and tensor.name not in given:
            yield f"input {tensor.name!r} is missing, expected shape {tensor.given}"


def _no_flags(tensor: Input, array: np.ndarray) -> Iterator[str]:
    """A line for a 0/1 input that holds something else."""
    if array.dtype == bool:
        return
    others = array[(array != 0) & (array != 1)]
    if others.size:
        yield f"input {tensor.name!r} must hold 0 or 1, found {others.flat[0]}"


def no_tokens(tensor: Input, array: np.ndarray) -> Iterator[str]:
    """A line for an input of tokens that holds something else than their numbers."""
    count = int(tensor.shape[-1])
    expected = f"input {tensor.name!r} must hold whole numbers from 0 to {count - 1}, found"
    if array.dtype.kind not in "iu":
        broken = array[array != np.trunc(array)] if array.dtype.kind == "f" else array[:0]
        found = [*broken.flat[:1], *array.flat[:1]]
        yield f"{expected} {found[0] if found else 'none'}, of type {array.dtype}"
        return
    places = np.argwhere((array < 0) | (array >= count))
    if len(places):
        place = tuple(map(int, places[0]))
        yield f"{expected} {array[place]} at [{', '.join(map(str, place))}]"


#: Kind of an input to what is said of numbers that it must not hold.
_NUMBERS = {
    InputKind.RATE: lambda tensor, array: (),
    InputKind.MASK: _no_flags,
    InputKind.TOKEN: no_tokens,
}


def _bind_shape(tensor: Input, shape: tuple[int, ...], symbols: dict[str, int]) -> Iterator[str]:
    """Take the sizes of `tensor`'s symbols from `shape`, where they have none yet."""
    own = shape[max(len(shape) - len(tensor.given), 0) :]
    if len(own) == len(tensor.given) and 0 not in shape:
        for side, size in zip(tensor.given, own, strict=True):
            if isinstance(side, str):
                symbols.setdefault(side, size)
        if own == tuple(resolve(side, symbols) for side in tensor.given):
            return
    sides = tuple(symbols.get(str(side), side) for side in tensor.given)
    expected = ", ".join(map(str, ("…", *sides)))
    yield f"input {tensor.name!r} has shape {shape}, expected ({expected}), none empty"


def all_live(circuit: Taking, inputs: Arrays, symbols: Mapping[str, int]) -> dict[str, np.ndarray]:
    """`inputs`, with ones for every 0/1 input that is absent."""
    absent = [t for t in circuit.inputs if t.name not in inputs]
    ones = {t.name: np.ones([resolve(s, symbols) for s in t.shape], bool) for t in absent}
    return {**inputs, **ones}


def token_inputs(circuit: Taking) -> dict[str, int]:
    """Inputs of tokens to how many different tokens there are."""
    tokens = (tensor for tensor in circuit.inputs if tensor.kind is InputKind.TOKEN)
    return {t.name: side for t in tokens for side in t.shape[-1:] if isinstance(side, int)}


def as_rates(circuit: Circuit, inputs: Arrays) -> dict[str, np.ndarray]:
    """`inputs` as the circuit reads them: of tokens, 1 at the number of each and 0 elsewhere (float64)."""
    tokens = token_inputs(circuit)
    return {
        name: np.asarray(np.expand_dims(array, -1) == np.arange(tokens[name]), np.float64)
        if name in tokens
        else array
        for name, array in inputs.items()
    }


def precision(circuit: Circuit, inputs: Arrays, weights: Arrays) -> type[np.floating[Any]]:
    """`precision_of` for a circuit: weights of rotations are angles, and do not decide."""
    exact = angles(circuit)
    return precision_of(circuit, inputs, (weights[n] for n in weights if n not in exact))


def precision_of(
    taking: Taking, inputs: Arrays, weights: Iterable[np.ndarray]
) -> type[np.floating[Any]]:
    """float32 where all inputs of rates are; without such inputs where the largest of the weights is no float64.

    Passes fold factors into some weights, which are float64 then, and make no weight larger.
    """
    rates = [t.name for t in taking.inputs if t.kind is InputKind.RATE]
    if rates:
        single = all(inputs[name].dtype == np.float32 for name in rates)
    else:
        wide = ((array.size, array.dtype.name not in FLOATS[:2]) for array in weights)
        single = not max(wide, default=(0, True))[1]
    return np.float32 if single else np.float64


def angles(circuit: Circuit) -> frozenset[str]:
    """The parameters that rotations read: in double precision, for angles grow with the position."""
    turning = (p.formula for p in circuit.parameters if p.formula and p.formula.kind == "rotation")
    return frozenset(name for formula in turning for name in formula.arguments)


def within_tables(circuit: Circuit, sizes: Mapping[str, int]) -> dict[str, int]:
    """`sizes` of symbols, none more than a table has rows that is read along it."""
    found = dict(sizes)
    for parameter in circuit.parameters:
        if parameter.formula and parameter.formula.kind == "rows":
            (table,) = (circuit.tensor(name) for name in parameter.formula.arguments)
            symbol, rows = parameter.shape[0], table.shape[0]
            if isinstance(rows, int) and isinstance(symbol, str) and symbol in found:
                found[symbol] = min(found[symbol], rows)
    return found


def infinite_weights(circuit: Circuit) -> Iterator[str]:
    """A line for each parameter with numbers that are none."""
    for parameter in circuit.parameters:
        if parameter.values is not None and not np.isfinite(parameter.values).all():
            yield f"parameter {parameter.name!r} has numbers that are NaN or infinite"


def stored_values(
    circuit: Circuit, symbols: Mapping[str, int], given: Arrays | None = None
) -> dict[str, np.ndarray]:
    """The array of every parameter without a formula: `given` first, then its own values.

    SpecError lists every parameter without numbers, and every unknown or misshapen one of `given`; else every
    table that has too few rows.
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
    problems = problems or _short_tables(circuit, symbols, values)
    if problems:
        raise SpecError(f"parameters of {circuit.name!r} are wrong:{bullet_list(problems)}")
    return values


def _short_tables(circuit: Circuit, symbols: Mapping[str, int], values: Arrays) -> list[str]:
    """A line for each table that has fewer rows than there are tokens."""
    read = [p for p in circuit.parameters if p.formula and p.formula.kind == "rows"]
    pairs = [
        (p, name, _shape(p, symbols)[0]) for p in read if p.formula for name in p.formula.arguments
    ]
    return [
        f"{p.name}: {tokens} tokens, the table {name} has {len(values[name])} rows"
        for p, name, tokens in pairs
        if tokens > len(values[name])
    ]


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
