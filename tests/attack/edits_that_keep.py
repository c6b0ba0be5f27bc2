"""Rewrites with numbers after which a circuit computes the same but for rounding; and some that may not."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np

from cortico.ir import (
    Circuit,
    Gain,
    Parameter,
    Projection,
    Role,
    Weight,
)
from cortico.passes import PASSES
from tests.attack.places import (
    fresh_name,
    map_weights,
    refs,
    stored,
    with_values,
    without_drive,
)
from tests.verify.mutations import with_synapses


def gain_out(random: Random, circuit: Circuit) -> Circuit:
    """W/1000 with gain 1000, or by a power of two, which is exact."""
    p = random.choice(stored(circuit))
    factor = random.choice([1000.0, 3.0, -1.0, 4.0, 0.125, 7.0])
    changed = with_values(circuit, p.name, p.values.astype(float) / factor)

    def weight(old: Weight, axes: tuple[str, ...]) -> Weight:
        mine = old.tensor is not None and old.tensor.name == p.name
        return replace(old, gain=Gain(factor) * old.gain) if mine else old

    if any(q.formula and p.name in q.formula.arguments for q in circuit.parameters):
        return circuit
    return map_weights(changed, weight)


def size_out(random: Random, circuit: Circuit) -> Circuit:
    """A gain by a size as a number, where the size is one."""
    sizes = {a.name: a.extent for a in circuit.axes if isinstance(a.extent, int)}

    def weight(old: Weight, axes: tuple[str, ...]) -> Weight:
        known = all(axis in sizes for axis, _ in old.gain.sizes)
        return replace(old, gain=Gain(old.gain.value(sizes))) if known else old

    return map_weights(circuit, weight)


def parts(random: Random, circuit: Circuit) -> Circuit:
    """A tensor of synapses as the sum of two, of its positive and negative, or of any, numbers."""
    p = random.choice([p for p in circuit.projections if p.weight.tensor])
    assert p.weight.tensor is not None
    tensor = circuit.tensor(p.weight.tensor.name)
    if not isinstance(tensor, Parameter) or tensor.values is None:
        raise IndexError
    first = tensor.values > 0
    if random.random() < 0.5:
        rng = np.random.default_rng(random.randrange(2**32))
        first = rng.random(tensor.values.shape) < 0.5
    names = [fresh_name(circuit, f"{tensor.name}_{word}") for word in ("one", "other")]
    arrays = [np.where(first, tensor.values, 0), np.where(first, 0, tensor.values)]
    sign = random.choice([1.0, 1.0, -1.0])
    arrays[1] = sign * arrays[1]
    parameters = [
        Parameter(n, tensor.shape, a.astype(tensor.values.dtype))
        for n, a in zip(names, arrays, strict=True)
    ]
    gains = [Gain(), Gain(sign)]
    projections = [
        Projection(
            fresh_name(circuit, f"{p.name}_{word}"), p.pre, p.post, p.compartment,
            Weight(replace(p.weight.tensor, name=n), g * p.weight.gain), p.domain, p.at,
        )
        for word, n, g in zip(("one", "other"), names, gains, strict=True)
    ]  # fmt: skip
    more = replace(circuit, parameters=(*circuit.parameters, *parameters))
    return with_synapses(more, p, *projections)


def copied_tensor(random: Random, circuit: Circuit) -> Circuit:
    """A tensor under another name, read in some places, or one that nothing reads."""
    p = random.choice([p for p in circuit.parameters if p.values is not None])
    name = fresh_name(circuit, f"{p.name}_copy")
    more = replace(circuit, parameters=(*circuit.parameters, replace(p, name=name)))
    if random.random() < 0.3:
        return more

    def weight(old: Weight, axes: tuple[str, ...]) -> Weight:
        mine = old.tensor is not None and old.tensor.name == p.name and random.random() < 0.7
        return replace(old, tensor=replace(old.tensor, name=name)) if mine else old

    return map_weights(more, weight)


def balanced(random: Random, circuit: Circuit) -> Circuit:
    """Values by a power of two larger, and the output weights smaller."""
    tensor = {p.name: p.values for p in stored(circuit)}
    pair = random.choice([(("W_V", "b_V", "extra_V"), "W_O"), (("W_Q", "b_Q"), "W_K")])
    factor = random.choice([2.0, -4.0, 0.5])
    if pair[1] not in tensor or (pair[1] == "W_K" and {"b_K", "extra_K"} & {*tensor}):
        raise IndexError
    for name in pair[0]:
        if name in tensor:
            circuit = with_values(circuit, name, tensor[name].astype(float) * factor)
    return with_values(circuit, pair[1], tensor[pair[1]].astype(float) / factor)


def nothing_dropped(random: Random, circuit: Circuit) -> Circuit:
    """Synapses and drives whose numbers are all zero, dropped."""
    zero = {p.name for p in stored(circuit) if not p.values.any()}
    projections = tuple(
        p for p in circuit.projections if not p.weight.tensor or p.weight.tensor.name not in zero
    )
    changed = replace(circuit, projections=projections)
    for name in zero:
        changed = without_drive(changed, name)
    return changed


def approximate(random: Random, circuit: Circuit) -> Circuit:
    """An approximate pass that says it is exact."""
    return random.choice([kind for kind in PASSES if not kind.exact])().run(circuit)


def exact_pass(random: Random, circuit: Circuit) -> Circuit:
    return random.choice([kind for kind in PASSES if kind.exact])().run(circuit)


def uncoupled(random: Random, circuit: Circuit) -> Circuit | None:
    """Source tokens of an input and a symbol of their own; formulas of positions stay shared."""
    columns = [a for a in circuit.axes if a.role is Role.COLUMN]
    if len(columns) != 2 or columns[0].extent != columns[1].extent or len(circuit.symbols) != 1:
        return None
    axis = columns[1].name
    if any(b for p in (*circuit.populations, *circuit.projections) for b in p.domain):
        return None
    own = {ref.name: ref.axes for ref in refs(circuit) if axis in ref.axes}
    inputs = {t.name: t for t in circuit.inputs}
    names = {name: f"{name}_of_{axis}" for name in own if name in inputs}

    def shape(old: tuple, axes: tuple[str, ...]) -> tuple:
        return tuple("w" if a == axis else s for s, a in zip(old, axes, strict=True))

    def weight(w: Weight, axes: tuple[str, ...]) -> Weight:
        if w.tensor is None or axis not in w.tensor.axes or w.tensor.name not in names:
            return w
        return replace(w, tensor=replace(w.tensor, name=names[w.tensor.name]))

    more = [
        replace(inputs[n], name=new, shape=shape(inputs[n].shape, own[n]))
        for n, new in names.items()
    ]
    parameters = tuple(
        replace(p, shape=shape(p.shape, own[p.name])) if p.name in own else p
        for p in circuit.parameters
    )
    axes = tuple(replace(a, extent="w") if a.name == axis else a for a in circuit.axes)
    return map_weights(
        replace(circuit, axes=axes, inputs=(*circuit.inputs, *more), parameters=parameters), weight
    )
