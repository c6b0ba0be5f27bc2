"""What a faulty pass might do to a circuit with numbers, and what a right one may do.

`ANY` may be right or wrong, `RIGHT` computes the same but for rounding. An edit gives None, or raises
IndexError, where there is nothing for it to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from random import Random

import numpy as np

from cortico.ir import (
    Bound,
    Circuit,
    CircuitError,
    Compartment,
    Effect,
    Gain,
    Input,
    InputKind,
    Parameter,
    Projection,
    Role,
    TensorRef,
    Weight,
    check,
)
from cortico.passes import PASSES
from cortico.passes.edit import fresh_name, map_compartment, map_parameters, map_populations
from tests.verify.mutations import MUTATIONS, any_compartment, with_cells, with_synapses
from tests.verify.rewrites import REWRITES, rename_axes

Edit = Callable[[Random, Circuit], Circuit | None]

_POWERS = [Fraction(1, 2), Fraction(-1, 2), Fraction(1), Fraction(-1)]
_FACTORS = [-1.0, 2.0, 0.5, 1 + 1e-6, 1 - 1e-9, 1 + 1e-12, 0.0, 1e-3, 3.0]


def edited(random: Random, circuit: Circuit, edits: tuple[Edit, ...]) -> tuple[Circuit, str]:
    """The circuit after one edit that fits it, and the name of the edit; itself if none does."""
    for _ in range(60):
        edit = random.choice(edits)
        try:
            new = edit(random, circuit)
        except IndexError:  # nothing there to change
            continue
        if new is not None and new != circuit and _is_valid(new):
            return new, edit.__name__.strip("_") if hasattr(edit, "__name__") else str(edit)
    return circuit, "nothing"


def _is_valid(circuit: Circuit) -> bool:
    try:
        check(circuit)
    except CircuitError:
        return False
    return True


# ---- places --------------------------------------------------------------------------------------


def stored(circuit: Circuit) -> list[Parameter]:
    return [p for p in circuit.parameters if p.values is not None]


def with_values(circuit: Circuit, name: str, values: np.ndarray) -> Circuit:
    """The circuit with other numbers in a parameter, of the type that they had."""

    def changed(p: Parameter) -> Parameter:
        if p.name != name or p.values is None:
            return p
        limit = np.finfo(p.values.dtype).max
        array = np.clip(values, -limit, limit).astype(p.values.dtype)
        return replace(p, values=array, shape=array.shape)

    return map_parameters(circuit, changed)


def map_weights(circuit: Circuit, change: Callable[[Weight, tuple[str, ...]], Weight]) -> Circuit:
    """The circuit with each weight changed, knowing the axes of the cells that it acts on."""
    populations = tuple(
        replace(
            p,
            compartments=tuple(
                replace(c, drive=tuple(change(w, p.axes) for w in c.drive)) for c in p.compartments
            ),
        )
        for p in circuit.populations
    )
    projections = tuple(
        replace(p, weight=change(p.weight, circuit.population(p.post).axes))
        for p in circuit.projections
    )
    return replace(circuit, populations=populations, projections=projections)


def refs(circuit: Circuit, axis: str | None = None) -> Iterator[TensorRef]:
    """Where plain parameters are read, those behind formulas among them; along an axis only, if given."""
    found: list[TensorRef] = []

    def look(weight: Weight, axes: tuple[str, ...]) -> Weight:
        if weight.tensor:
            tensor, at = circuit.tensor(weight.tensor.name), weight.tensor.axes
            formula = tensor.formula if isinstance(tensor, Parameter) else None
            if formula is not None:
                found.append(weight.tensor)
                at = at[1:2] if formula.kind == "rotation" else at[:-2]
                found.append(TensorRef(formula.arguments[0], at))
            else:
                found.append(weight.tensor)
        return weight

    map_weights(circuit, look)
    return (ref for ref in dict.fromkeys(found) if axis is None or axis in ref.axes)


# ---- axes with other indices ---------------------------------------------------------------------


def _cut_axis(random: Random, circuit: Circuit) -> Circuit | None:
    """An axis without one index, best one that is dead, with or without its gains put right."""
    axes = [a.name for a in circuit.axes if isinstance(a.extent, int) and a.extent > 1]
    axis = random.choice(axes)
    size = circuit.axis(axis).extent
    assert isinstance(size, int)
    dead = [k for k in range(size) if _is_dead(circuit, axis, k)]
    gone = random.choice(dead) if dead and random.random() < 0.8 else random.randrange(size)
    kept = [k for k in range(size) if k != gone]
    if random.random() < 0.2:
        random.shuffle(kept)
    cut = _taken(circuit, axis, kept)
    return _settled(cut, axis, size) if random.random() < 0.5 else cut


def _is_dead(circuit: Circuit, axis: str, k: int) -> bool:
    """Whether some tensor has nothing but zeros at an index of an axis."""
    values = {p.name: p.values for p in stored(circuit)}
    along = [ref for ref in refs(circuit, axis) if ref.name in values]
    return any(not values[r.name].take(k, axis=r.axes.index(axis)).any() for r in along)


def _taken(circuit: Circuit, axis: str, kept: list[int]) -> Circuit:
    """The circuit with some indices of an axis only, in this order; also in shapes of inputs."""
    sides: dict[str, list[int]] = {}
    for ref in refs(circuit, axis):
        sides[ref.name] = [k for k, a in enumerate(ref.axes) if a == axis]

    def shape(old: tuple, name: str) -> tuple:
        return tuple(len(kept) if k in sides.get(name, []) else s for k, s in enumerate(old))

    def parameter(p: Parameter) -> Parameter:
        values = p.values
        for side in sides.get(p.name, []) if values is not None else []:
            values = values.take(kept, axis=side)
        return replace(p, shape=shape(p.shape, p.name), values=values)

    return replace(
        map_parameters(circuit, parameter),
        axes=tuple(replace(a, extent=len(kept)) if a.name == axis else a for a in circuit.axes),
        inputs=tuple(replace(t, shape=shape(t.shape, t.name)) for t in circuit.inputs),
    )


def _settled(circuit: Circuit, axis: str, size: int) -> Circuit:
    """The gains of a cut axis as they were before."""

    def weight(old: Weight, axes: tuple[str, ...]) -> Weight:
        powers = [p for a, p in old.gain.sizes if a == axis]
        rest = tuple(pair for pair in old.gain.sizes if pair[0] != axis)
        factor = float(size) ** float(sum(powers, Fraction(0)))
        gain = Gain(old.gain.coefficient * factor, rest) if powers else old.gain
        return replace(old, gain=gain)

    return map_weights(circuit, weight)


def _permuted(random: Random, circuit: Circuit) -> Circuit:
    """The indices of an axis in another order: in all tensors, or in all but one."""
    inner = {a for t in circuit.inputs for r in refs(circuit) if r.name == t.name for a in r.axes}
    axes = [a for a in circuit.axes if isinstance(a.extent, int) and a.extent > 1]
    axis = random.choice([a for a in axes if a.name not in inner])
    order = random.sample(range(int(axis.extent)), int(axis.extent))
    names = {r.name for r in refs(circuit, axis.name)}
    if random.random() < 0.5:
        names -= {random.choice(sorted(names))}
    changed = _taken(circuit, axis.name, order)
    new = {p.name: p for p in changed.parameters}
    return map_parameters(circuit, lambda p: new[p.name] if p.name in names else p)


def _fixed_tokens(random: Random, circuit: Circuit) -> Circuit:
    """A symbol is five, which is where a guard looks, or another symbol."""
    symbol = random.choice(circuit.symbols)
    others = [s for s in circuit.symbols if s != symbol]
    if not others:
        return circuit.bind(**{symbol: random.choice([5, 4, 3])})
    other = random.choice(others)

    def shape(old: tuple) -> tuple:
        return tuple(other if s == symbol else s for s in old)

    return replace(
        circuit,
        axes=tuple(replace(a, extent=shape((a.extent,))[0]) for a in circuit.axes),
        inputs=tuple(replace(t, shape=shape(t.shape)) for t in circuit.inputs),
        parameters=tuple(replace(p, shape=shape(p.shape)) for p in circuit.parameters),
    )


def _roles(random: Random, circuit: Circuit) -> Circuit:
    """Axes that mean something else in the brain: no number changes."""
    chosen = random.choice(circuit.axes)
    role = random.choice(list(Role))
    axes = tuple(replace(a, role=role) if a is chosen else a for a in circuit.axes)
    return replace(circuit, axes=axes)


def _swapped_axes(random: Random, circuit: Circuit) -> Circuit:
    """Two axes of the same extent under each other's names: in all places, or in cells only."""
    one, other = random.sample(circuit.axes, 2)
    if one.extent != other.extent:
        return circuit
    names = {a.name: a.name for a in circuit.axes} | {one.name: other.name, other.name: one.name}
    renamed = rename_axes(circuit, names)
    if random.random() < 0.5:
        return replace(renamed, axes=circuit.axes)
    p = random.choice(circuit.populations)
    axes = tuple(names[a] for a in p.axes)
    return with_cells(circuit, p, replace(p, axes=axes))


# ---- numbers -------------------------------------------------------------------------------------


def _scaled_numbers(random: Random, circuit: Circuit) -> Circuit:
    p = random.choice(stored(circuit))
    return with_values(circuit, p.name, p.values.astype(float) * random.choice(_FACTORS))


def _nudged(random: Random, circuit: Circuit) -> Circuit:
    """One number is another, by a little of itself or of the largest."""
    p = random.choice(stored(circuit))
    values = p.values.astype(float)
    at = random.randrange(values.size)
    size = random.choice([abs(values.flat[at]), np.abs(values).max()])
    values.flat[at] += size * random.choice([1e-2, 1e-5, 1e-8, 1e-11, 1e-13])
    return with_values(circuit, p.name, values)


def _zeroed(random: Random, circuit: Circuit) -> Circuit:
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


def _rounded(random: Random, circuit: Circuit) -> Circuit:
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


def _shuffled_numbers(random: Random, circuit: Circuit) -> Circuit:
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


def _swapped_tensors(random: Random, circuit: Circuit) -> Circuit:
    """A tensor with the numbers of another of its shape."""
    one = random.choice(stored(circuit))
    others = [p for p in stored(circuit) if p is not one and p.shape == one.shape]
    return with_values(circuit, one.name, random.choice(others).values)


def _same_tensor(random: Random, circuit: Circuit) -> Circuit:
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


def _swapped_heads(random: Random, circuit: Circuit) -> Circuit:
    """One head of a tensor is another one's."""
    p = random.choice([p for p in stored(circuit) if p.values.ndim > 1 and len(p.values) > 1])
    values = p.values.copy()
    one, other = random.sample(range(len(values)), 2)
    values[one] = values[other]
    return with_values(circuit, p.name, values)


def _value_bias_moved(random: Random, circuit: Circuit) -> Circuit:
    """b_O + W_O b_V in place of b_V, whether or not the rows of the mask sum to one."""
    tensor = {p.name: p.values for p in stored(circuit)}
    if not {"b_V", "b_O", "W_O"} <= tensor.keys():
        raise IndexError
    out, bias = tensor["W_O"].astype(float), tensor["b_V"].astype(float)
    letters = "hoc,hc->o" if out.ndim == 3 else "groc,gc->o"
    factor = random.choice([1.0, 1.0, 1.0, 0.5, -1.0])
    moved = tensor["b_O"].astype(float) + factor * np.einsum(letters, out, bias)
    return _without_drive(with_values(circuit, "b_O", moved), "b_V")


def _without_drive(circuit: Circuit, name: str) -> Circuit:
    def cells(p):
        parts = (
            replace(c, drive=tuple(w for w in c.drive if not w.tensor or w.tensor.name != name))
            for c in p.compartments
        )
        return replace(p, compartments=tuple(parts))

    changed = map_populations(circuit, cells)
    return replace(changed, parameters=tuple(p for p in changed.parameters if p.name != name))


def _bias_dropped(random: Random, circuit: Circuit) -> Circuit:
    """A bias dropped, or the synapses of a tensor."""
    driven = [
        w.tensor.name
        for p in circuit.populations
        for c in p.compartments
        for w in c.drive
        if w.tensor and isinstance(circuit.tensor(w.tensor.name), Parameter)
    ]
    name = random.choice(driven)
    changed = _without_drive(circuit, name)
    if random.random() < 0.5:  # the tensor stays, and nothing reads it
        return replace(changed, parameters=circuit.parameters)
    return changed


def _bias_resized(random: Random, circuit: Circuit) -> Circuit:
    """A bias or synapses times a size, perhaps one that is one where a guard looks."""
    axes = [a for a in circuit.axes if isinstance(a.extent, str)] or list(circuit.axes)
    axis = random.choice(axes if random.random() < 0.8 else circuit.axes)
    size = axis.extent if isinstance(axis.extent, int) else random.choice([1, 5, 5])
    power = random.choice(_POWERS)
    by = Gain(float(size) ** -float(power), ((axis.name, power),))
    return _one_weight(random, circuit, lambda w: replace(w, gain=by * w.gain))


def _one_weight(random: Random, circuit: Circuit, change: Callable[[Weight], Weight]) -> Circuit:
    total: list[Weight] = []
    map_weights(circuit, lambda w, axes: total.append(w) or w)  # type: ignore[func-returns-value]
    biases = [k for k, w in enumerate(total) if w.tensor and len(w.tensor.axes) < 3]
    place = random.choice(biases if biases and random.random() < 0.6 else range(len(total)))
    count = iter(range(len(total)))
    return map_weights(circuit, lambda w, axes: change(w) if next(count) == place else w)


def _gain_changed(random: Random, circuit: Circuit) -> Circuit:
    by = random.choice(_FACTORS)
    return _one_weight(random, circuit, lambda w: replace(w, gain=Gain(by) * w.gain))


def _gain_axis(random: Random, circuit: Circuit) -> Circuit:
    """A gain by the size of another axis, or by another power of it."""
    other = random.choice(circuit.axes).name

    def weight(old: Weight) -> Weight:
        if not old.gain.sizes:
            return old
        (axis, power), *rest = random.sample(old.gain.sizes, len(old.gain.sizes))
        new = (other, power) if random.random() < 0.6 else (axis, random.choice(_POWERS))
        return replace(old, gain=replace(old.gain, sizes=(new, *rest)))

    return map_weights(circuit, lambda w, axes: weight(w))


def _constant_added(random: Random, circuit: Circuit) -> Circuit:
    """A constant in the drive: of the output, or anywhere."""
    population, compartment = any_compartment(random, circuit)
    if random.random() < 0.6:
        population = circuit.population(circuit.outputs[0].source.name)
        compartment = random.choice(population.compartments)
    gain = Gain(random.choice([1.0, -1.0, 1e-7, 1e-12, 100.0]))
    drive = (*compartment.drive, Weight(gain=gain))
    return map_compartment(
        circuit, population.name, compartment.name, lambda c: replace(c, drive=drive)
    )


# ---- interface -----------------------------------------------------------------------------------


def _masked_input(random: Random, circuit: Circuit) -> Circuit:
    """An input said to be 0 or 1, or no longer so, and squared on the way in."""
    chosen = random.choice(circuit.inputs)
    kind = random.choice(list(InputKind))
    inputs = tuple(replace(t, kind=kind) if t is chosen else t for t in circuit.inputs)
    changed = replace(circuit, inputs=inputs)
    return _squared_input(changed, chosen) if random.random() < 0.8 else changed


def _squared_inputs(random: Random, circuit: Circuit) -> Circuit:
    masks = [t for t in circuit.inputs if t.kind is InputKind.MASK]
    chosen = random.choice(masks if masks and random.random() < 0.7 else circuit.inputs)
    return _squared_input(circuit, chosen)


def _squared_input(circuit: Circuit, tensor: Input) -> Circuit:
    def cells(p):
        more = tuple(
            replace(c, name=f"{c.name}_again")
            for c in p.compartments
            if len(c.drive) == 1 and c.drive[0].tensor and c.drive[0].tensor.name == tensor.name
            and c.effect is Effect.MULTIPLIES
            and not circuit.projections_onto(p.name, c.name)
        )  # fmt: skip
        return replace(p, compartments=(*p.compartments, *more))

    return map_populations(circuit, cells)


def _other_inputs(random: Random, circuit: Circuit) -> Circuit:
    """One input more, or one that nothing reads fewer, or one renamed."""
    kind = random.randrange(3)
    if kind == 0:
        return replace(circuit, inputs=(*circuit.inputs, Input("another", (3,))))
    if kind == 1:
        return replace(circuit, inputs=tuple(random.sample(circuit.inputs, len(circuit.inputs))))
    old, new = random.choice(circuit.inputs), "renamed"

    def weight(w: Weight, axes: tuple[str, ...]) -> Weight:
        mine = w.tensor is not None and w.tensor.name == old.name
        return replace(w, tensor=replace(w.tensor, name=new)) if mine else w

    inputs = tuple(replace(t, name=new) if t is old else t for t in circuit.inputs)
    return map_weights(replace(circuit, inputs=inputs), weight)


def _output_order(random: Random, circuit: Circuit) -> Circuit:
    """The axes of an output in another order."""
    (output, *rest) = circuit.outputs
    axes = tuple(random.sample(output.source.axes, len(output.source.axes)))
    new = replace(output, source=TensorRef(output.source.name, axes))
    return replace(circuit, outputs=(new, *rest))


def _bounds(random: Random, circuit: Circuit) -> Circuit:
    """A bound more, of synapses or cells: perhaps one that five tokens do not show."""
    columns = [a.name for a in circuit.axes if a.role is Role.COLUMN]
    left, right = random.sample(columns, 2)
    bound = Bound(left, right, random.choice([-1, 0, 1, 2, 3, 4, 4, 5, 8]))
    if random.random() < 0.5:
        p = random.choice(circuit.projections)
        return with_synapses(circuit, p, replace(p, domain=tuple(sorted({*p.domain, bound}))))
    q = random.choice([p for p in circuit.populations if {left, right} <= set(p.axes)])
    return with_cells(circuit, q, replace(q, domain=tuple(sorted({*q.domain, bound}))))


# ---- right ones ----------------------------------------------------------------------------------


def _gain_out(random: Random, circuit: Circuit) -> Circuit:
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


def _size_out(random: Random, circuit: Circuit) -> Circuit:
    """A gain by a size as a number, where the size is one."""
    sizes = {a.name: a.extent for a in circuit.axes if isinstance(a.extent, int)}

    def weight(old: Weight, axes: tuple[str, ...]) -> Weight:
        known = all(axis in sizes for axis, _ in old.gain.sizes)
        return replace(old, gain=Gain(old.gain.value(sizes))) if known else old

    return map_weights(circuit, weight)


def _parts(random: Random, circuit: Circuit) -> Circuit:
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
            Weight(replace(p.weight.tensor, name=n), g * p.weight.gain), p.domain,
        )
        for word, n, g in zip(("one", "other"), names, gains, strict=True)
    ]  # fmt: skip
    more = replace(circuit, parameters=(*circuit.parameters, *parameters))
    return with_synapses(more, p, *projections)


def _copied_tensor(random: Random, circuit: Circuit) -> Circuit:
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


def _balanced(random: Random, circuit: Circuit) -> Circuit:
    """Values by a power of two larger, and the output weights smaller."""
    tensor = {p.name: p.values for p in stored(circuit)}
    pair = random.choice([(("W_V", "b_V"), "W_O"), (("W_Q", "b_Q"), "W_K")])
    factor = random.choice([2.0, -4.0, 0.5])
    if pair[1] not in tensor or (pair[1] == "W_K" and "b_K" in tensor):
        raise IndexError
    for name in pair[0]:
        if name in tensor:
            circuit = with_values(circuit, name, tensor[name].astype(float) * factor)
    return with_values(circuit, pair[1], tensor[pair[1]].astype(float) / factor)


def _nothing_dropped(random: Random, circuit: Circuit) -> Circuit:
    """Synapses and drives whose numbers are all zero, dropped."""
    zero = {p.name for p in stored(circuit) if not p.values.any()}
    projections = tuple(
        p for p in circuit.projections if not p.weight.tensor or p.weight.tensor.name not in zero
    )
    changed = replace(circuit, projections=projections)
    for name in zero:
        changed = _without_drive(changed, name)
    return changed


def _approximate(random: Random, circuit: Circuit) -> Circuit:
    """An approximate pass that says it is exact."""
    return random.choice([kind for kind in PASSES if not kind.exact])().run(circuit)


def _exact_pass(random: Random, circuit: Circuit) -> Circuit:
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


def resized(random: Random, circuit: Circuit) -> Circuit:
    """Synapses or a bias weighed by the size of an axis."""
    axis = random.choice(circuit.axes).name
    by = Gain(1.0, ((axis, random.choice(_POWERS)),))
    return _one_weight(random, circuit, lambda w: replace(w, gain=by * w.gain))


ANY: tuple[Edit, ...] = (
    _cut_axis, _cut_axis, _cut_axis, _cut_axis, _permuted, _fixed_tokens, _roles, _swapped_axes,
    _scaled_numbers, _nudged, _zeroed, _zeroed, _rounded, _shuffled_numbers, _swapped_tensors,
    _same_tensor, _swapped_heads, _value_bias_moved, _bias_dropped, _bias_dropped, _bias_resized,
    _bias_resized, _gain_changed, _gain_axis, _gain_axis, _constant_added, _constant_added,
    _masked_input, _masked_input, _squared_inputs, _other_inputs, _output_order, _bounds,
    _approximate,
)  # fmt: skip

RIGHT: tuple[Edit, ...] = (
    _gain_out, _gain_out, _size_out, _parts, _copied_tensor, _balanced, _nothing_dropped, _exact_pass,
)  # fmt: skip

#: All of them, and those that need no numbers.
WRONG_OR_RIGHT: tuple[Edit, ...] = (*ANY, *ANY, *MUTATIONS)
REWRITTEN: tuple[Edit, ...] = (*RIGHT, *RIGHT, *REWRITES)

__all__ = ["REWRITTEN", "WRONG_OR_RIGHT", "Compartment", "edited", "resized", "uncoupled"]
