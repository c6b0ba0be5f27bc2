"""What a faulty pass might do to axes: cut, permute, fix, rename, or bound them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from random import Random

from cortico.ir import (
    Bound,
    Circuit,
    Gain,
    Parameter,
    Role,
    Weight,
)
from tests.attack.places import (
    map_parameters,
    map_weights,
    refs,
    stored,
)
from tests.verify.mutations import with_cells, with_synapses
from tests.verify.rewrites import rename_axes


def cut_axis(random: Random, circuit: Circuit) -> Circuit | None:
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


def permuted(random: Random, circuit: Circuit) -> Circuit:
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


def fixed_tokens(random: Random, circuit: Circuit) -> Circuit:
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


def roles(random: Random, circuit: Circuit) -> Circuit:
    """Axes that mean something else in the brain: no number changes."""
    chosen = random.choice(circuit.axes)
    role = random.choice(list(Role))
    axes = tuple(replace(a, role=role) if a is chosen else a for a in circuit.axes)
    return replace(circuit, axes=axes)


def swapped_axes(random: Random, circuit: Circuit) -> Circuit:
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


def bounds(random: Random, circuit: Circuit) -> Circuit:
    """A bound more, of synapses or cells: perhaps one that five tokens do not show."""
    columns = [a.name for a in circuit.axes if a.role is Role.COLUMN]
    left, right = random.sample(columns, 2)
    bound = Bound(left, right, random.choice([-1, 0, 1, 2, 3, 4, 4, 5, 8]))
    if random.random() < 0.5:
        p = random.choice(circuit.projections)
        return with_synapses(circuit, p, replace(p, domain=tuple(sorted({*p.domain, bound}))))
    q = random.choice([p for p in circuit.populations if {left, right} <= set(p.axes)])
    return with_cells(circuit, q, replace(q, domain=tuple(sorted({*q.domain, bound}))))
