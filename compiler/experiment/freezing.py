"""Freezing: inputs that never change become weights, and what depends on nothing else is computed.

    memory[h,c,a] = Σ_j v[h,j,c] k[h,j,a]      with the context given: a number per cell

Keys and values of a fixed context are then constant currents, and linear cross attention is an affine
map of the query tokens: the fast-weight view of linear attention (Schlag et al. 2021, arXiv
2102.11174), with the weights held still.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cortico.backends.constants import constant_current, constant_rates
from cortico.ir import (
    Circuit,
    CircuitError,
    Compartment,
    Effect,
    Input,
    InputKind,
    Parameter,
    Population,
    SpecError,
    TensorRef,
    check,
)
from cortico.ir.analysis.axes import read_alike
from cortico.ir.analysis.constants import constant_populations
from cortico.ir.analysis.inputs import (
    Arrays,
    as_rates,
    bind_symbols,
    no_tokens,
    token_inputs,
)
from cortico.ir.analysis.readers import is_output
from cortico.ir.arguments import kind
from cortico.ir.arrays import require_arrays
from cortico.ir.errors import bullet_list, near_name
from cortico.ir.rewrite import (
    fresh_name,
    map_axes,
    map_parameters,
    map_populations,
    map_weights,
    readings,
    replace_projections,
    with_bias,
    without_unused,
)


@kind
def freeze(circuit: Circuit, given: Mapping[str, Any]) -> Circuit:
    """The circuit with inputs held at the arrays `given`, which become weights.

    A key names an input (`"context"`), or one reading of it (`"x[j, m]"`): self-attention reads x as
    queries over i and as keys and values over j, and only what is read as said is held. An array has
    the shape of the input, without batch axes; symbols in it get its sizes.

    Populations that depend on nothing else are computed and left out, and what they send becomes a
    drive. Those stay whose weights are symbolic, or which send what depends on a symbolic size.
    SpecError for keys and arrays that do not fit.
    """
    whole = [str(ref) for ref in readings(circuit) if ref.name in token_inputs(circuit)]
    whole += token_inputs(circuit)
    arrays = require_arrays(given, "input", circuit.name, "context", whole)
    circuit, arrays = _readings_apart(circuit, arrays)
    result = _folded(_with_values(circuit, arrays))
    try:
        check(result)
    except CircuitError as error:
        raise SpecError(f"cannot freeze {', '.join(given)}: {error}") from None
    return result


# ---- inputs to parameters ------------------------------------------------------------------------


def _with_values(circuit: Circuit, arrays: Arrays) -> Circuit:
    """The circuit with inputs as parameters of these values, and their symbols bound."""
    held = tuple(tensor for tensor in circuit.inputs if tensor.name in arrays)
    unknown = [name for name in arrays if name not in {tensor.name for tensor in held}]
    if unknown:
        known = _names(circuit)
        raise SpecError(
            f"circuit {circuit.name!r} has no input {unknown[0]!r}{near_name(unknown[0], known)}; "
            f"it has {', '.join(known)}"
        )
    symbols = bind_symbols(replace(circuit, inputs=held), arrays)
    problems = [problem for tensor in held for problem in _problems(tensor, arrays[tensor.name])]
    if problems:
        raise SpecError(f"what to freeze in {circuit.name!r} is wrong:{bullet_list(problems)}")
    bound = circuit.bind(**{s: n for s, n in symbols.items() if s in circuit.symbols})
    rates = as_rates(circuit, arrays)
    values = (
        Parameter(t.name, rates[t.name].shape, rates[t.name].astype(np.float64)) for t in held
    )
    return replace(
        bound,
        inputs=tuple(tensor for tensor in bound.inputs if tensor.name not in arrays),
        parameters=(*values, *bound.parameters),
    )


def _problems(tensor: Input, array: np.ndarray) -> Iterator[str]:
    if array.ndim != len(tensor.given):
        yield f"{tensor.name!r} has shape {array.shape}, expected {tensor.given}: one example"
    if tensor.kind is InputKind.TOKEN:
        yield from no_tokens(tensor, array)
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        yield f"{tensor.name!r} has entries that are no finite numbers"
    elif tensor.kind is InputKind.MASK and not np.isin(array, (0, 1)).all():
        yield f"{tensor.name!r} says what exists: its entries must be 0 or 1"


def _names(circuit: Circuit) -> list[str]:
    """What may be frozen: inputs, and their readings where there are several."""
    found = _readings(circuit)
    read = [reading.name for reading in found.values()]
    several = [text for text, reading in found.items() if read.count(reading.name) > 1]
    return [*(tensor.name for tensor in circuit.inputs), *several]


# ---- one reading of an input -----------------------------------------------------------------------


def _readings(circuit: Circuit) -> dict[str, TensorRef]:
    """`x[j, m]` and so on: each way in which an input is read."""
    inputs = {tensor.name for tensor in circuit.inputs}
    return {str(reading): reading for reading in readings(circuit) if reading.name in inputs}


def _readings_apart(circuit: Circuit, arrays: Arrays) -> tuple[Circuit, dict[str, np.ndarray]]:
    """The circuit with an input of its own for each reading that `arrays` names."""
    renamed: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        name = re.sub(r"\s*,\s*", ", ", key.strip())
        reading = _readings(circuit).get(name)
        if reading is not None:
            circuit, name = _apart(circuit, reading)
        renamed[name] = array
    return circuit, renamed


def _apart(circuit: Circuit, reading: TensorRef) -> tuple[Circuit, str]:
    """An input of its own for a reading, along axes whose sizes are then its own."""
    tensor = next(each for each in circuit.inputs if each.name == reading.name)
    for axis in reading.axes:
        circuit = _own_size(circuit, axis)
    name = fresh_name(circuit, f"{tensor.name}_{'_'.join(reading.axes[:1])}")
    shape = tuple(circuit.axis(axis).extent for axis in reading.axes)
    own = TensorRef(name, reading.axes)
    inputs = (*circuit.inputs, replace(tensor, name=name, shape=shape))
    circuit = map_weights(circuit, lambda w: replace(w, tensor=own) if w.tensor == reading else w)
    read = {each.name for each in _readings(circuit).values()}
    kept = tuple(each for each in inputs if each.name in {*read, name} or each.name != tensor.name)
    return replace(circuit, inputs=kept), name


def _own_size(circuit: Circuit, axis: str) -> Circuit:
    """The circuit with a symbol of its own for an axis that shares one, and for those read as it."""
    extent, alike = circuit.axis(axis).extent, read_alike(circuit, axis)
    sharing = {each.name for each in circuit.axes if each.extent == extent}
    if not isinstance(extent, str) or sharing == alike:
        return circuit
    symbol = f"{extent}_{axis}"
    circuit = map_axes(circuit, lambda a: replace(a, extent=symbol) if a.name in alike else a)
    for reading in {ref for ref in readings(circuit) if alike & {*ref.axes}}:
        circuit = _refitted(circuit, reading)
    return circuit


def _refitted(circuit: Circuit, reading: TensorRef) -> Circuit:
    """The circuit with a tensor that fits a reading: another one if it is read otherwise as well."""
    tensor = circuit.tensor(reading.name)
    shape = tuple(circuit.axis(axis).extent for axis in reading.axes)
    others = {ref for ref in readings(circuit) if ref.name == reading.name}
    if isinstance(tensor, Input):
        if others != {reading}:
            return circuit  # the reading that is held gets an input of its own
        inputs = (replace(t, shape=shape) if t == tensor else t for t in circuit.inputs)
        return replace(circuit, inputs=tuple(inputs))
    if others == {reading}:
        return map_parameters(circuit, lambda p: replace(p, shape=shape) if p is tensor else p)
    own = replace(tensor, name=fresh_name(circuit, reading.name), shape=shape)
    circuit = replace(circuit, parameters=(*circuit.parameters, own))
    other = replace(reading, name=own.name)
    return map_weights(circuit, lambda w: replace(w, tensor=other) if w.tensor == reading else w)


# ---- constants -------------------------------------------------------------------------------------


def _folded(circuit: Circuit) -> Circuit:
    """The circuit without populations that fire the same whatever arrives."""
    constant = constant_populations(circuit)
    rates = constant_rates(circuit, constant)
    kept: set[str] = set()
    for projection in circuit.projections:
        if projection.pre in constant and projection.post not in constant:
            found = constant_current(circuit, projection, rates)
            if found is None:
                kept.add(projection.pre)
            else:
                drive = f"{projection.name}_current"
                place = (projection.post, projection.compartment)
                circuit = with_bias(circuit, place, drive, *found)
                circuit = replace_projections(circuit, [projection], [])
    kept |= {name for name in constant if is_output(circuit, name)}
    return without_unused(_without_constant(circuit, constant, kept, rates))


def _without_constant(
    circuit: Circuit, constant: frozenset[str], kept: set[str], rates: Arrays
) -> Circuit:
    """The circuit without constant populations, but for `kept` ones: each is driven to its rate."""
    circuit = replace(
        circuit,
        populations=tuple(p for p in circuit.populations if p.name not in constant - kept),
        projections=tuple(p for p in circuit.projections if p.post not in constant),
    )
    circuit = map_populations(circuit, lambda p: _bare(p) if p.name in kept else p)
    for population in (circuit.population(name) for name in sorted(kept)):
        place = (population.name, population.compartments[0].name)
        name = f"{population.name}_rate"
        circuit = with_bias(circuit, place, name, population.axes, rates[population.name])
    return circuit


def _bare(population: Population) -> Population:
    """The population with one compartment, which nothing drives yet, and no transfer function."""
    part = Compartment(population.compartments[0].name, Effect.MULTIPLIES)
    return replace(population, compartments=(part,), transfer="identity")
