"""Random changes of correct circuits. Most results compute something else, some do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from random import Random

from cortico.ir import (
    TRANSFERS,
    Bound,
    Circuit,
    Compartment,
    Effect,
    Gain,
    Population,
    Projection,
    SpecError,
    TensorRef,
    Weight,
)
from cortico.ir.rewrite import fresh_name, map_compartment, map_populations
from cortico.spec import (
    AttentionSpec,
    Bias,
    Kernel,
    Mask,
    Microcircuit,
    NormKind,
    NormOver,
    Nucleus,
    PositionBias,
    QueryKeyNorm,
    Rotary,
    Thalamus,
)
from tests.random_circuits import is_valid

LAYER = QueryKeyNorm(kind=NormKind.LAYER, own_gains=True, bias=True)
Edit = Callable[[Random, Circuit], Circuit | None]


def random_spec(random: Random) -> AttentionSpec:
    """A small spec with any options that fit together."""
    while True:
        mask, cross = random.choice(list(Mask)), random.random() < 0.2
        try:
            return AttentionSpec(
                model=random.choice([2, 4]),
                heads=random.choice([1, 2, 2, 4]),
                kv_heads=random.choice([None, None, 1, 2]),
                key_features=random.choice([None, 2, 4]),
                value_features=random.choice([None, None, 2, 3]),
                output=random.choice([None, None, 3]),
                cross=cross,
                tokens=random.choice(["n", "n", 4]),
                kernel=random.choice(list(Kernel)),
                mask=mask,
                window=random.choice([1, 2, 3]) if mask.has_window else None,
                key_padding=random.random() < 0.3,
                scale=random.choice([None, None, 0.3]),
                soft_cap=random.choice([None, None, None, 0.7]),
                bias=Bias(*(random.random() < 0.4 for _ in range(4))),
                qk_norm=random.choice([None, None, None, *map(QueryKeyNorm, NormOver), LAYER]),
                rotary=random.choice([None, None, Rotary()]),
                position_bias=random.choice([PositionBias.NONE, *PositionBias]),
                sink=random.random() < 0.2,
                extra_source=random.random() < 0.2,
                thalamus=Thalamus(*(random.choice(list(Nucleus)) for _ in range(3))),
                microcircuit=random.choice([Microcircuit.MASK, *Microcircuit]),
            )
        except SpecError:
            continue


def mutated(random: Random, circuit: Circuit, most: int = 2) -> Circuit:
    """A valid circuit with one to `most` random changes."""
    for _ in range(random.randrange(1, most + 1)):
        circuit = changed(random, circuit, MUTATIONS)
    return circuit


def changed(random: Random, circuit: Circuit, edits: tuple[Edit, ...]) -> Circuit:
    """The circuit after one of these edits that fits it; itself when none was found."""
    for _ in range(200):
        try:
            new = random.choice(edits)(random, circuit)
        except IndexError:  # nothing there to change
            continue
        if new is not None and new != circuit and is_valid(new):
            return new
    return circuit


# ---- places --------------------------------------------------------------------------------------


def _on_weight(change: Callable[[Random, Circuit, Weight], Weight | None]) -> Edit:
    """An edit of one weight, of synapses or of a drive."""

    def edit(random: Random, circuit: Circuit) -> Circuit | None:
        if circuit.projections and random.random() < 0.7:
            p = random.choice(circuit.projections)
            weight = change(random, circuit, p.weight)
            return None if weight is None else with_synapses(circuit, p, replace(p, weight=weight))
        population, compartment = any_compartment(random, circuit)
        if not compartment.drive:
            return None
        place = random.randrange(len(compartment.drive))
        weight = change(random, circuit, compartment.drive[place])
        if weight is None:
            return None
        drive = (*compartment.drive[:place], weight, *compartment.drive[place + 1 :])
        return map_compartment(
            circuit, population.name, compartment.name, lambda c: replace(c, drive=drive)
        )

    return edit


def any_compartment(random: Random, circuit: Circuit) -> tuple[Population, Compartment]:
    population = random.choice(circuit.populations)
    return population, random.choice(population.compartments)


def with_synapses(circuit: Circuit, old: Projection, *new: Projection) -> Circuit:
    projections = tuple(p for q in circuit.projections for p in (new if q is old else (q,)))
    return replace(circuit, projections=projections)


def with_cells(circuit: Circuit, old: Population, *new: Population) -> Circuit:
    populations = tuple(p for q in circuit.populations for p in (new if q is old else (q,)))
    return replace(circuit, populations=populations)


# ---- mutations -----------------------------------------------------------------------------------


def _coefficient(random: Random, circuit: Circuit, weight: Weight) -> Weight:
    by = random.choice([-1.0, 2.0, 0.5, -3.0])
    gain = replace(weight.gain, coefficient=weight.gain.coefficient * by)
    return replace(weight, gain=gain)


def _size_power(random: Random, circuit: Circuit, weight: Weight) -> Weight:
    sizes = list(weight.gain.sizes)
    if sizes and random.random() < 0.6:
        axis, power = sizes.pop(random.randrange(len(sizes)))
        kind = random.randrange(3)
        if kind == 0:
            sizes.append((axis, -power))
        if kind == 1:
            sizes.append((random.choice(circuit.axes).name, power))
    else:
        power = random.choice([Fraction(1, 2), Fraction(-1, 2), Fraction(1), Fraction(-1)])
        sizes.append((random.choice(circuit.axes).name, power))
    return replace(weight, gain=replace(weight.gain, sizes=tuple(sizes)))


def _other_axes(random: Random, circuit: Circuit, weight: Weight) -> Weight | None:
    if weight.tensor is None:
        return None
    axes = list(weight.tensor.axes)
    if len(axes) > 1 and random.random() < 0.5:
        one, other = random.sample(range(len(axes)), 2)
        axes[one], axes[other] = axes[other], axes[one]
    elif axes:
        place = random.randrange(len(axes))
        extent = circuit.axis(axes[place]).extent
        axes[place] = random.choice([a.name for a in circuit.axes if a.extent == extent])
    return replace(weight, tensor=TensorRef(weight.tensor.name, tuple(axes)))


def _other_tensor(random: Random, circuit: Circuit, weight: Weight) -> Weight | None:
    if weight.tensor is None:
        return None
    shape = circuit.tensor(weight.tensor.name).shape
    tensors = [t.name for t in (*circuit.inputs, *circuit.parameters) if t.shape == shape]
    return replace(weight, tensor=TensorRef(random.choice(tensors), weight.tensor.axes))


def _no_tensor(random: Random, circuit: Circuit, weight: Weight) -> Weight:
    return replace(weight, tensor=None)


def _changed_domain(
    random: Random, circuit: Circuit, domain: tuple[Bound, ...]
) -> tuple[Bound, ...]:
    bounds = list(domain)
    kind = random.randrange(4)
    if bounds and kind < 3:
        bound = bounds.pop(random.randrange(len(bounds)))
        if kind == 0:
            bounds.append(replace(bound, offset=bound.offset + random.choice([-1, 1])))
        if kind == 1:
            bounds.append(Bound(bound.right, bound.left, bound.offset))
    else:
        one, other = random.choice(circuit.axes).name, random.choice(circuit.axes).name
        bounds.append(Bound(one, other, random.randrange(-1, 3)))
    return tuple(sorted(set(bounds)))


def _domain(random: Random, circuit: Circuit) -> Circuit:
    if random.random() < 0.5:
        p = random.choice(circuit.projections)
        return with_synapses(
            circuit, p, replace(p, domain=_changed_domain(random, circuit, p.domain))
        )
    tied = [p for p in circuit.populations if p.domain] or circuit.populations
    old = random.choice(tied)
    new = _changed_domain(random, circuit, old.domain)
    if random.random() < 0.3:  # everywhere alike
        same = old.domain
        return map_populations(circuit, lambda p: replace(p, domain=new) if p.domain == same else p)
    return with_cells(circuit, old, replace(old, domain=new))


def _drop(random: Random, circuit: Circuit) -> Circuit:
    return with_synapses(circuit, random.choice(circuit.projections))


def _again(random: Random, circuit: Circuit) -> Circuit:
    p = random.choice(circuit.projections)
    return with_synapses(circuit, p, p, replace(p, name=fresh_name(circuit, p.name)))


def _redirect(random: Random, circuit: Circuit) -> Circuit:
    p, place = random.choice(circuit.projections), random.choice(circuit.populations)
    if random.random() < 0.5:
        return with_synapses(circuit, p, replace(p, pre=place.name))
    compartment = random.choice(place.compartments).name
    return with_synapses(circuit, p, replace(p, post=place.name, compartment=compartment))


def _compartment_of_same(random: Random, circuit: Circuit) -> Circuit:
    p = random.choice(circuit.projections)
    compartments = circuit.population(p.post).compartments
    return with_synapses(circuit, p, replace(p, compartment=random.choice(compartments).name))


def _transfer(random: Random, circuit: Circuit) -> Circuit:
    old = random.choice(circuit.populations)
    return with_cells(circuit, old, replace(old, transfer=random.choice(list(TRANSFERS))))


def _effect(random: Random, circuit: Circuit) -> Circuit:
    population, compartment = any_compartment(random, circuit)
    flipped = Effect.DIVIDES if compartment.effect is Effect.MULTIPLIES else Effect.MULTIPLIES
    return map_compartment(
        circuit, population.name, compartment.name, lambda c: replace(c, effect=flipped)
    )


def _drive(random: Random, circuit: Circuit) -> Circuit:
    """A drive dropped, doubled, or a constant added."""
    population, compartment = any_compartment(random, circuit)
    drive = list(compartment.drive)
    if drive and random.random() < 0.6:
        chosen = drive.pop(random.randrange(len(drive)))
        drive += [chosen, chosen] if random.random() < 0.5 else []
    else:
        drive.append(Weight(gain=Gain(random.choice([1.0, -1.0]))))
    return map_compartment(
        circuit, population.name, compartment.name, lambda c: replace(c, drive=tuple(drive))
    )


def _cell_axes(random: Random, circuit: Circuit) -> Circuit:
    """A population over one axis more, fewer, or other."""
    old = random.choice(circuit.populations)
    axes = list(old.axes)
    if random.random() < 0.7:
        axes.pop(random.randrange(len(axes))) if axes else None
    if random.random() < 0.6:
        axes.append(random.choice(circuit.axes).name)
    return with_cells(circuit, old, replace(old, axes=tuple(dict.fromkeys(axes))))


def _output_axes(random: Random, circuit: Circuit) -> Circuit:
    outputs = tuple(
        replace(
            o,
            source=TensorRef(
                o.source.name, tuple(random.sample(o.source.axes, len(o.source.axes)))
            ),
        )
        for o in circuit.outputs
    )
    shapes = [
        [circuit.axis(a).extent for a in each.source.axes] for each in (*circuit.outputs, *outputs)
    ]
    return replace(circuit, outputs=outputs) if shapes[0] == shapes[-1] else circuit


MUTATIONS: tuple[Edit, ...] = (
    *map(_on_weight, (_coefficient, _size_power, _size_power, _other_axes, _other_axes, _other_tensor, _no_tensor)),
    _domain, _domain, _drop, _again, _redirect, _redirect, _compartment_of_same,
    _transfer, _effect, _drive, _cell_axes, _cell_axes, _output_axes,
)  # fmt: skip
