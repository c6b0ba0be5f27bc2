"""What a faulty pass might do to stored numbers, gains and drives."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np

from cortico.ir import (
    Circuit,
    Gain,
    Parameter,
    Role,
    Weight,
)
from tests.attack.places import (
    POWERS,
    map_weights,
    one_weight,
    stored,
    with_compartment,
    with_values,
    without_drive,
)
from tests.verify.mutations import any_compartment

FACTORS = [-1.0, 2.0, 0.5, 1 + 1e-6, 1 - 1e-9, 1 + 1e-12, 0.0, 1e-3, 3.0]


def scaled_numbers(random: Random, circuit: Circuit) -> Circuit:
    p = random.choice(stored(circuit))
    return with_values(circuit, p.name, p.values.astype(float) * random.choice(FACTORS))


def nudged(random: Random, circuit: Circuit) -> Circuit:
    """One number is another, by a little of itself or of the largest."""
    p = random.choice(stored(circuit))
    values = p.values.astype(float)
    at = random.randrange(values.size)
    size = random.choice([abs(values.flat[at]), np.abs(values).max()])
    values.flat[at] += size * random.choice([1e-2, 1e-5, 1e-8, 1e-11, 1e-13])
    return with_values(circuit, p.name, values)


def zeroed(random: Random, circuit: Circuit) -> Circuit:
    """Numbers that vanish beside the largest are zero; or one slice; or everything."""
    p = random.choice(stored(circuit))
    values = p.values.astype(float)
    kind = random.randrange(4)
    if kind < 2:
        few = random.choice([1e-3, 1e-6, 1e-12, 0.9])
        values[np.abs(values) < few * np.abs(values).max()] = 0
    elif kind == 2:
        side = random.randrange(values.ndim)
        np.moveaxis(values, side, 0)[random.randrange(values.shape[side])] = 0
    else:
        values[...] = 0
    return with_values(circuit, p.name, values)


def rounded(random: Random, circuit: Circuit) -> Circuit:
    """Numbers rounded to another type and back, or to a few bits."""
    p = random.choice(stored(circuit))
    values = p.values.astype(float)
    if random.random() < 0.5:
        with np.errstate(over="ignore"):
            short = values.astype(random.choice(["float16", "float32"])).astype(float)
        return with_values(circuit, p.name, np.where(np.isfinite(short), short, values))
    mantissa, exponent = np.frexp(values)
    bits = random.choice([4, 12, 30, 46])
    return with_values(circuit, p.name, np.ldexp(np.round(mantissa * 2**bits) / 2**bits, exponent))


def shuffled_numbers(random: Random, circuit: Circuit) -> Circuit:
    """One tensor with its indices, or two of its sides, in another order."""
    p = random.choice([p for p in stored(circuit) if p.values.ndim])
    values = p.values.astype(float)
    sides = [
        (a, b) for a in range(values.ndim) for b in range(a) if values.shape[a] == values.shape[b]
    ]
    if sides and random.random() < 0.5:
        return with_values(circuit, p.name, values.swapaxes(*random.choice(sides)))
    side = random.randrange(values.ndim)
    order = random.sample(range(values.shape[side]), values.shape[side])
    return with_values(circuit, p.name, values.take(order, axis=side))


def swapped_tensors(random: Random, circuit: Circuit) -> Circuit:
    """A tensor with the numbers of another of its shape."""
    one = random.choice(stored(circuit))
    others = [p for p in stored(circuit) if p is not one and p.shape == one.shape]
    return with_values(circuit, one.name, random.choice(others).values)


def same_tensor(random: Random, circuit: Circuit) -> Circuit:
    """A tensor read in place of another of its shape. Right where both have the same numbers."""
    one = random.choice(stored(circuit))
    alike = [p for p in stored(circuit) if p is not one and p.shape == one.shape]
    equal = [p for p in alike if np.array_equal(p.values, one.values)]
    other = random.choice(equal or alike)

    def weight(old: Weight, axes: tuple[str, ...]) -> Weight:
        if old.tensor is None or old.tensor.name != one.name:
            return old
        return replace(old, tensor=replace(old.tensor, name=other.name))

    return map_weights(circuit, weight)


def swapped_heads(random: Random, circuit: Circuit) -> Circuit:
    """One head of a tensor is another one's."""
    p = random.choice([p for p in stored(circuit) if p.values.ndim > 1 and len(p.values) > 1])
    values = p.values.copy()
    one, other = random.sample(range(len(values)), 2)
    values[one] = values[other]
    return with_values(circuit, p.name, values)


def value_bias_moved(random: Random, circuit: Circuit) -> Circuit:
    """b_O + W_O b_V in place of b_V, whether or not the rows of the mask sum to one."""
    tensor = {p.name: p.values for p in stored(circuit)}
    if not {"b_V", "b_O", "W_O"} <= tensor.keys():
        raise IndexError
    out, bias = tensor["W_O"].astype(float), tensor["b_V"].astype(float)
    letters = "hoc,hc->o" if out.ndim == 3 else "groc,gc->o"
    factor = random.choice([1.0, 1.0, 1.0, 0.5, -1.0])
    moved = tensor["b_O"].astype(float) + factor * np.einsum(letters, out, bias)
    return without_drive(with_values(circuit, "b_O", moved), "b_V")


def bias_dropped(random: Random, circuit: Circuit) -> Circuit:
    """A bias dropped, or the synapses of a tensor."""
    driven = [
        w.tensor.name
        for p in circuit.populations
        for c in p.compartments
        for w in c.drive
        if w.tensor and isinstance(circuit.tensor(w.tensor.name), Parameter)
    ]
    name = random.choice(driven)
    changed = without_drive(circuit, name)
    if random.random() < 0.5:  # the tensor stays, and nothing reads it
        return replace(changed, parameters=circuit.parameters)
    return changed


def bias_resized(random: Random, circuit: Circuit) -> Circuit:
    """A bias or synapses times a size, perhaps one that is one where a guard looks."""
    axes = [a for a in circuit.axes if isinstance(a.extent, str)] or list(circuit.axes)
    axis = random.choice(axes if random.random() < 0.8 else circuit.axes)
    size = axis.extent if isinstance(axis.extent, int) else random.choice([1, 5, 5])
    power = random.choice(POWERS)
    by = Gain(float(size) ** -float(power), ((axis.name, power),))
    return one_weight(random, circuit, lambda w: replace(w, gain=by * w.gain))


def gain_changed(random: Random, circuit: Circuit) -> Circuit:
    by = random.choice(FACTORS)
    return one_weight(random, circuit, lambda w: replace(w, gain=Gain(by) * w.gain))


def gain_axis(random: Random, circuit: Circuit) -> Circuit:
    """A gain by the size of another axis, or by another power of it."""
    other = random.choice(circuit.axes).name

    def weight(old: Weight) -> Weight:
        if not old.gain.sizes:
            return old
        (axis, power), *rest = random.sample(old.gain.sizes, len(old.gain.sizes))
        new = (other, power) if random.random() < 0.6 else (axis, random.choice(POWERS))
        return replace(old, gain=replace(old.gain, sizes=(new, *rest)))

    return map_weights(circuit, lambda w, axes: weight(w))


def constant_added(random: Random, circuit: Circuit) -> Circuit:
    """A constant in the drive: of the output, or anywhere."""
    population, compartment = any_compartment(random, circuit)
    if random.random() < 0.6:
        population = circuit.population(circuit.outputs[0].source.name)
        compartment = random.choice(population.compartments)
    gain = Gain(random.choice([1.0, -1.0, 1e-7, 1e-12, 100.0]))
    drive = (*compartment.drive, Weight(gain=gain))
    return with_compartment(circuit, population.name, replace(compartment, drive=drive))


def gain_of_tokens(random: Random, circuit: Circuit) -> Circuit:
    """A gain by the number of other tokens."""
    columns = [a.name for a in circuit.axes if a.role is Role.COLUMN]

    def weight(old: Weight, axes: tuple[str, ...]) -> Weight:
        sizes = tuple((random.choice(columns) if a in columns else a, p) for a, p in old.gain.sizes)
        return replace(old, gain=replace(old.gain, sizes=sizes))

    return map_weights(circuit, weight)


def resized_by_tokens(random: Random, circuit: Circuit) -> Circuit:
    """Synapses or a bias weighed by a number of tokens."""
    columns = [a.name for a in circuit.axes if a.role is Role.COLUMN]
    by = Gain(1.0, ((random.choice(columns), random.choice(POWERS)),))
    return one_weight(random, circuit, lambda w: replace(w, gain=by * w.gain))


def resized(random: Random, circuit: Circuit) -> Circuit:
    """Synapses or a bias weighed by the size of an axis."""
    axis = random.choice(circuit.axes).name
    by = Gain(1.0, ((axis, random.choice(POWERS)),))
    return one_weight(random, circuit, lambda w: replace(w, gain=by * w.gain))
