"""What a faulty pass might do to inputs and outputs: their names, kinds, order and bounds."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from cortico.ir import (
    Circuit,
    Effect,
    Input,
    InputKind,
    TensorRef,
    Weight,
)
from tests.attack.places import (
    map_populations,
    map_weights,
)


def masked_input(random: Random, circuit: Circuit) -> Circuit:
    """An input said to be 0 or 1, or no longer so, and squared on the way in."""
    chosen = random.choice(circuit.inputs)
    kind = random.choice((InputKind.RATE, InputKind.MASK))
    inputs = tuple(replace(t, kind=kind) if t is chosen else t for t in circuit.inputs)
    changed = replace(circuit, inputs=inputs)
    return _squared_input(changed, chosen) if random.random() < 0.8 else changed


def squared_inputs(random: Random, circuit: Circuit) -> Circuit:
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


def other_inputs(random: Random, circuit: Circuit) -> Circuit:
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


def output_order(random: Random, circuit: Circuit) -> Circuit:
    """The axes of an output in another order."""
    (output, *rest) = circuit.outputs
    axes = tuple(random.sample(output.source.axes, len(output.source.axes)))
    new = replace(output, source=TensorRef(output.source.name, axes))
    return replace(circuit, outputs=(new, *rest))
