"""Edits of circuits that keep them valid, not their meaning; what is not valid after an edit is not edited."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cortico.ir import (
    Circuit,
    CircuitError,
    Compartment,
    Effect,
    Input,
    InputKind,
    Output,
    Parameter,
    Population,
    Projection,
    Role,
    TensorRef,
    Unfold,
    Weight,
)
from cortico.ir.domain import conjunction
from cortico.ir.invariants import check
from cortico.ir.rewrite import rename
from tests.random_circuits import (
    TRANSFERS,
    exchanged,
    fresh,
    some_domain,
    some_gain,
    some_reading,
    with_drive,
    with_part,
    with_synapses,
    with_weight,
)


def shuffle_declarations(rng: random.Random, circuit: Circuit) -> Circuit:
    fields = ("axes", "inputs", "parameters", "populations", "projections")
    chosen = fields if rng.random() < 0.5 else rng.sample(fields, 1)
    return replace(circuit, **{f: _shuffled(rng, getattr(circuit, f)) for f in chosen})


def shuffle_compartments(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.populations)
    return exchanged(circuit, old, replace(old, compartments=_shuffled(rng, old.compartments)))


def shuffle_population_axes(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.populations)
    return exchanged(circuit, old, replace(old, axes=_shuffled(rng, old.axes)))


def shuffle_output_axes(rng: random.Random, circuit: Circuit) -> Circuit:
    outputs = [
        replace(o, source=replace(o.source, axes=_shuffled(rng, o.source.axes)))
        for o in circuit.outputs
    ]
    return replace(circuit, outputs=tuple(outputs))


def transpose_tensor(rng: random.Random, circuit: Circuit) -> Circuit:
    """A tensor with its sides in another order, wherever it is read."""
    plain = [t for t in circuit.inputs + circuit.parameters if not getattr(t, "formula", None)]
    read = {a for p in circuit.parameters if p.formula for a in p.formula.arguments}
    tensor = rng.choice([t for t in plain if t.name not in read])
    order = rng.sample(range(len(tensor.shape)), len(tensor.shape))

    def turned(item: Input | Parameter) -> Input | Parameter:
        if item.name != tensor.name:
            return item
        item = replace(item, shape=tuple(item.shape[k] for k in order))
        if isinstance(item, Parameter) and item.values is not None:
            return replace(item, values=item.values.transpose(order))
        return item

    def reread(weight: Weight) -> Weight:
        ref = weight.tensor
        if ref is None or ref.name != tensor.name:
            return weight
        return replace(weight, tensor=replace(ref, axes=tuple(ref.axes[k] for k in order)))

    circuit = replace(
        circuit,
        inputs=tuple(map(turned, circuit.inputs)),
        parameters=tuple(map(turned, circuit.parameters)),
    )
    return with_weights(circuit, reread)


def with_weights(circuit: Circuit, change: Callable[[Weight], Weight]) -> Circuit:
    """The circuit with every drive and every weight of synapses changed."""
    return replace(
        circuit,
        populations=tuple(
            replace(
                p,
                compartments=tuple(
                    replace(c, drive=tuple(map(change, c.drive))) for c in p.compartments
                ),
            )
            for p in circuit.populations
        ),
        projections=tuple(replace(p, weight=change(p.weight)) for p in circuit.projections),
    )


def flip_effect(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.populations)
    part = rng.choice(old.compartments)
    (other,) = set(Effect) - {part.effect}
    return exchanged(circuit, old, with_part(old, part, effect=other))


def change_transfer(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.populations)
    return exchanged(circuit, old, replace(old, transfer=rng.choice(TRANSFERS)))


def bound_population(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.populations)
    more = some_domain(rng, old.axes, 0.9)
    kept = () if rng.random() < 0.3 else old.domain
    return exchanged(circuit, old, replace(old, domain=conjunction(kept, more)))


def bound_projection(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.projections)
    more = some_domain(rng, circuit.synapse_axes(old), 0.9)
    return _with_projection(circuit, old, replace(old, domain=conjunction(old.domain, more)))


def _with_projection(circuit: Circuit, old: Projection, *new: Projection) -> Circuit:
    found = [q for p in circuit.projections for q in (new if p.name == old.name else (p,))]
    return replace(circuit, projections=tuple(found))


def add_drive(rng: random.Random, circuit: Circuit) -> Circuit:
    population = rng.choice(circuit.populations)
    return with_drive(rng, circuit, population.name, rng.choice(population.compartments).name)


def add_compartment(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.populations)
    part = Compartment("extra", rng.choice(list(Effect)))
    new = replace(old, compartments=(*old.compartments, part))
    return with_drive(rng, exchanged(circuit, old, new), old.name, part.name)


def add_projection(rng: random.Random, circuit: Circuit) -> Circuit:
    order = list(circuit.order)
    later = rng.randrange(1, len(order)) if len(order) > 1 else 0
    pre, post = order[rng.randrange(later + (not later))], order[later]
    part = rng.choice(post.compartments).name
    return with_synapses(rng, circuit, pre.name, post.name, part)


def double_projection(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.projections)
    gain = some_gain(rng, circuit)
    other = replace(
        old, name=fresh(circuit, "s"), weight=replace(old.weight, gain=old.weight.gain * gain)
    )
    return _with_projection(circuit, old, old, other)


def remove_projection(rng: random.Random, circuit: Circuit) -> Circuit:
    return _with_projection(circuit, rng.choice(circuit.projections))


def change_weight(rng: random.Random, circuit: Circuit) -> Circuit:
    """Another weight on a projection."""
    old = rng.choice(circuit.projections)
    circuit, weight = with_weight(rng, circuit, circuit.synapse_axes(old), inputs=False)
    return _with_projection(circuit, old, replace(old, weight=weight))


def change_gain(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.projections)
    gain = some_gain(rng, circuit)
    return _with_projection(circuit, old, replace(old, weight=replace(old.weight, gain=gain)))


def reroute(rng: random.Random, circuit: Circuit) -> Circuit:
    """A projection from another population."""
    old = rng.choice(circuit.projections)
    pre = rng.choice(circuit.populations).name
    return _with_projection(circuit, old, replace(old, pre=pre))


def read_at_other_axes(rng: random.Random, circuit: Circuit) -> Circuit:
    """A source read at other axes of the same sizes, often only some of them others."""
    old = rng.choice([p for p in circuit.projections if circuit.population(p.pre).axes])
    return _with_projection(circuit, old, replace(old, at=some_reading(rng, circuit, old.pre)))


def join_sources(rng: random.Random, circuit: Circuit) -> Circuit:
    """One of two populations that are alike but for their axes, read at the axes of both."""
    pairs = itertools.permutations(circuit.populations, 2)
    kept, gone = rng.choice([pair for pair in pairs if are_twins(circuit, *pair)])
    return joined(circuit, kept.name, gone.name)


def are_twins(circuit: Circuit, one: Population, other: Population) -> bool:
    """Whether two populations hear nothing and, at the same indices, are driven alike."""
    names = dict(zip(one.axes, other.axes, strict=False))
    hears = circuit.projections_onto(one.name) + circuit.projections_onto(other.name)
    free = not any(axis in other.axes for axis in set(one.axes) - set(other.axes))
    if hears or len(one.axes) != len(other.axes) or not free:
        return False
    (moved,) = rename(replace(circuit, populations=(one,)), axes=names).populations
    same = ("axes", "compartments", "transfer", "domain")
    return all(getattr(moved, each) == getattr(other, each) for each in same)


def joined(circuit: Circuit, kept: str, gone: str) -> Circuit:
    """The circuit without a population: what hears it hears another, at the axes of the one that is gone."""
    axes = circuit.population(gone).axes
    own = circuit.population(kept).axes

    def moved(p: Projection) -> Projection:
        at = p.at or axes
        return replace(p, pre=kept, at=() if at == own else at) if p.pre == gone else p

    return replace(
        circuit,
        populations=tuple(p for p in circuit.populations if p.name != gone),
        projections=tuple(map(moved, circuit.projections)),
    )


def change_axes(rng: random.Random, circuit: Circuit) -> Circuit:
    """A population over one axis more or less."""
    old = rng.choice(circuit.populations)
    axis = rng.choice(circuit.axes).name
    axes = tuple(a for a in old.axes if a != axis) if axis in old.axes else (*old.axes, axis)
    circuit = exchanged(circuit, old, replace(old, axes=axes))
    outputs = [
        replace(o, source=replace(o.source, axes=axes)) if o.source.name == old.name else o
        for o in circuit.outputs
    ]
    return replace(circuit, outputs=tuple(outputs))


def show_population(rng: random.Random, circuit: Circuit) -> Circuit:
    """One more output."""
    shown = rng.choice(circuit.populations)
    name = f"out{len(circuit.outputs)}"
    output = Output(name, TensorRef(shown.name, _shuffled(rng, shown.axes)))
    return replace(circuit, outputs=(*circuit.outputs, output))


def change_role(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.axes)
    new = replace(old, role=rng.choice(list(Role)), unfold=rng.choice(list(Unfold)))
    return replace(circuit, axes=tuple(new if a == old else a for a in circuit.axes))


def bind_symbol(rng: random.Random, circuit: Circuit) -> Circuit:
    """A symbolic size as a number."""
    return circuit.bind(**{rng.choice(circuit.symbols): rng.choice((1, 2, 5))})


def change_kind(rng: random.Random, circuit: Circuit) -> Circuit:
    """An input of rates as one of zeros and ones or of tokens, or the other way."""
    old = rng.choice(circuit.inputs)
    counted = any(isinstance(side, int) for side in old.shape[-1:])
    kinds = [k for k in InputKind if k is not old.kind and (counted or k is not InputKind.TOKEN)]
    new = replace(old, kind=rng.choice(kinds))
    return replace(circuit, inputs=tuple(new if t == old else t for t in circuit.inputs))


EDITS = (
    *(shuffle_declarations, shuffle_declarations, shuffle_compartments, shuffle_population_axes),
    *(shuffle_population_axes, shuffle_output_axes, transpose_tensor, flip_effect),
    *(change_transfer, bound_population, bound_projection, bound_projection, add_drive),
    *(add_compartment, add_projection, double_projection, remove_projection, change_gain),
    *(read_at_other_axes, read_at_other_axes, join_sources, join_sources),
    *(change_weight, reroute, change_axes, show_population, change_role, bind_symbol, change_kind),
)


def edited(rng: random.Random, circuit: Circuit, count: int) -> tuple[Circuit, list[str]]:
    """The circuit after at most `count` edits, and their names."""
    done = []
    for _ in range(count):
        edit = rng.choice(EDITS)
        try:
            changed = edit(rng, circuit)
            check(changed)
        except (CircuitError, IndexError, ValueError):  # nothing to edit there, or not valid after
            continue
        circuit = changed
        done.append(edit.__name__)
    return circuit, done


def _shuffled(rng: random.Random, items: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(rng.sample(list(items), len(items)))
