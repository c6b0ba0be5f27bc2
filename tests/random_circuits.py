"""Random valid circuits of plain `random.Random`: circuits of the case table after edits, and new ones.

Edits keep a circuit valid, not its meaning: orders of declarations and of axes, names, effects, domains,
transfer functions, gains, drives, projections. What is not valid after an edit is not edited.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np

from cortico.ir import (
    Axis,
    Bound,
    CellClass,
    Circuit,
    CircuitError,
    Compartment,
    Effect,
    Formula,
    Gain,
    Input,
    InputKind,
    Output,
    Parameter,
    Population,
    Projection,
    Region,
    Role,
    TensorRef,
    Unfold,
    Weight,
)
from cortico.ir.domain import conjunction, rename
from cortico.ir.invariants import check
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.weights import random_weights
from tests.cases import CASES

TRANSFERS = ("identity", "identity", "exp", "relu", "tanh", "sqrt")
HOMES = (
    (Region.L23, CellClass.IT),
    (Region.L5, CellClass.PT),
    (Region.L5, CellClass.PV),
    (Region.CORE, CellClass.RELAY),
)

#: Names that are no trouble to anybody, in the case table and here.
PLAIN = ("alpha", "beta", "gamma", "delta", "eta", "zeta")


# ---- sources -----------------------------------------------------------------------------------------


@cache
def of_case(number: int, passes: str) -> Circuit:
    """A lowered case without numbers, or with numbers after passes."""
    case = CASES[number]
    if not passes:
        return lower(case.spec)
    return run_passes(lower(case.spec, random_weights(case.spec, 1)), parse_passes(passes))[0]


def from_case(rng: random.Random) -> Circuit:
    """A circuit of the case table, lowered or compiled."""
    return of_case(rng.randrange(len(CASES)), rng.choice(("", "", "default")))


def from_scratch(rng: random.Random) -> Circuit:
    """A few populations in a row, each hearing some of those before it."""
    names = rng.sample("hijkabcm", rng.randint(2, 5))
    roles = {"h": Role.AREA, "m": Role.MODEL, **dict.fromkeys("ijk", Role.COLUMN)}
    axes = [Axis(n, roles.get(n, Role.FEATURE), rng.choice((1, 2, 3, 3, "n"))) for n in names]
    axes = [replace(a, extent="n") if a.name in "ij" and rng.random() < 0.7 else a for a in axes]
    circuit = Circuit("from scratch", tuple(axes), (Input("x", ("n",)),), (), (), (), ())
    for number in range(rng.randint(2, 6)):
        circuit = _with_population(rng, circuit, f"p{number}")
    last = circuit.populations[-1]
    order = tuple(rng.sample(last.axes, len(last.axes)))
    return replace(circuit, outputs=(Output("y", TensorRef(last.name, order)),))


def _with_population(rng: random.Random, circuit: Circuit, name: str) -> Circuit:
    names = [axis.name for axis in circuit.axes]
    axes = tuple(rng.sample(names, rng.randint(1, min(4, len(names)))))
    region, cell = rng.choice(HOMES)
    parts = [
        Compartment(f"c{k}", rng.choice((Effect.MULTIPLIES, Effect.MULTIPLIES, Effect.DIVIDES)))
        for k in range(rng.randint(1, 3))
    ]
    population = Population(
        name, axes, region, cell, tuple(parts), rng.choice(TRANSFERS), some_domain(rng, axes)
    )
    before = [p.name for p in circuit.populations]
    circuit = replace(circuit, populations=(*circuit.populations, population))
    for part in parts:
        heard = rng.sample(before, min(len(before), rng.choice((0, 1, 1, 2))))
        for pre in heard:
            circuit = with_synapses(rng, circuit, pre, name, part.name)
        for _ in range(rng.randint(0, 1) if heard else rng.randint(1, 2)):
            circuit = with_drive(rng, circuit, name, part.name)
    return circuit


# ---- parts -------------------------------------------------------------------------------------------


def some_domain(rng: random.Random, axes: Sequence[str], often: float = 0.3) -> tuple[Bound, ...]:
    """Bounds on one pair of axes, mostly those of tokens; mostly none."""
    tokens = [axis for axis in axes if axis in "ijk"]
    pool = tokens if len(tokens) > 1 and rng.random() < 0.8 else list(axes)
    if len(pool) < 2 or rng.random() > often:
        return ()
    left, right = rng.sample(pool, 2)
    bounds = [Bound(left, right, rng.choice((-1, 0, 0, 0, 1, 2)))]
    if rng.random() < 0.3:
        bounds.append(Bound(right, left, rng.choice((0, 1, 2, 4))))
    return conjunction(bounds)


def some_gain(rng: random.Random, circuit: Circuit) -> Gain:
    number = rng.choice((1.0, 1.0, 1.0, 0.5, -1.0, -0.25, 2.0, 0.0))
    powers = [Fraction(-1, 2), Fraction(1, 2), Fraction(-1)]
    axis = rng.choice(circuit.axes).name
    return Gain(number, ((axis, rng.choice(powers)),) if rng.random() < 0.15 else ())


def fresh(circuit: Circuit, stem: str) -> str:
    taken = {t.name for t in circuit.inputs + circuit.parameters}
    taken |= {p.name for p in circuit.populations + circuit.projections}
    return next(f"{stem}{k}" for k in range(1000) if f"{stem}{k}" not in taken)


def with_weight(
    rng: random.Random, circuit: Circuit, axes: Sequence[str], inputs: bool
) -> tuple[Circuit, Weight]:
    """A weight over some of `axes`, and the circuit with its tensor: a new one, or one that fits."""
    gain = some_gain(rng, circuit)
    kind = rng.choice(("none", "parameter", "old", *(("input", "mask") if inputs else ())))
    if kind == "none":
        return circuit, Weight(None, gain)
    over = tuple(rng.sample(list(axes), rng.randint(0, min(3, len(axes)))))
    shape = tuple(circuit.axis(axis).extent for axis in over)
    if kind == "old":
        tensors = (*circuit.parameters, *(circuit.inputs if inputs else ()))
        fits = [t.name for t in tensors if t.shape == shape]
        if fits:
            return circuit, Weight(TensorRef(rng.choice(fits), over), gain)
    if kind in ("parameter", "old"):
        name = fresh(circuit, "W")
        formula = None
        if len(over) >= 2 and rng.random() < 0.15:
            slopes = Parameter(fresh(circuit, "slopes"), shape[:-2])
            circuit = replace(circuit, parameters=(*circuit.parameters, slopes))
            formula = Formula("distance", (slopes.name,))
        parameter = Parameter(name, shape, None, formula)
        circuit = replace(circuit, parameters=(*circuit.parameters, parameter))
    else:
        name = fresh(circuit, "x")
        is_mask = InputKind.MASK if kind == "mask" else InputKind.RATE
        circuit = replace(circuit, inputs=(*circuit.inputs, Input(name, shape, is_mask)))
    return circuit, Weight(TensorRef(name, over), gain)


def with_synapses(
    rng: random.Random, circuit: Circuit, pre: str, post: str, compartment: str
) -> Circuit:
    """The circuit with one more projection."""
    blank = Projection(fresh(circuit, "s"), pre, post, compartment)
    axes = circuit.synapse_axes(blank)
    circuit, weight = with_weight(rng, circuit, axes, inputs=False)
    grown = replace(blank, weight=weight, domain=some_domain(rng, axes, 0.15))
    return replace(circuit, projections=(*circuit.projections, grown))


def with_drive(rng: random.Random, circuit: Circuit, name: str, compartment: str) -> Circuit:
    """The circuit with one more drive of a compartment."""
    population = circuit.population(name)
    circuit, weight = with_weight(rng, circuit, population.axes, inputs=True)
    part = population.compartment(compartment)
    return _exchanged(circuit, population, _part(population, part, drive=(*part.drive, weight)))


def _part(population: Population, part: Compartment, **changes: object) -> Population:
    changed = replace(part, **changes)  # type: ignore[arg-type]
    parts = tuple(changed if c.name == part.name else c for c in population.compartments)
    return replace(population, compartments=parts)


def _exchanged(circuit: Circuit, old: Population, new: Population) -> Circuit:
    return replace(
        circuit, populations=tuple(new if p.name == old.name else p for p in circuit.populations)
    )


# ---- edits -------------------------------------------------------------------------------------------


def shuffle_declarations(rng: random.Random, circuit: Circuit) -> Circuit:
    fields = ("axes", "inputs", "parameters", "populations", "projections")
    chosen = fields if rng.random() < 0.5 else rng.sample(fields, 1)
    return replace(circuit, **{f: _shuffled(rng, getattr(circuit, f)) for f in chosen})


def shuffle_compartments(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.populations)
    return _exchanged(circuit, old, replace(old, compartments=_shuffled(rng, old.compartments)))


def shuffle_population_axes(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.populations)
    return _exchanged(circuit, old, replace(old, axes=_shuffled(rng, old.axes)))


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
    return _exchanged(circuit, old, _part(old, part, effect=other))


def change_transfer(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.populations)
    return _exchanged(circuit, old, replace(old, transfer=rng.choice(TRANSFERS)))


def bound_population(rng: random.Random, circuit: Circuit) -> Circuit:
    old = rng.choice(circuit.populations)
    more = some_domain(rng, old.axes, 0.9)
    kept = () if rng.random() < 0.3 else old.domain
    return _exchanged(circuit, old, replace(old, domain=conjunction(kept, more)))


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
    return with_drive(rng, _exchanged(circuit, old, new), old.name, part.name)


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


def change_axes(rng: random.Random, circuit: Circuit) -> Circuit:
    """A population over one axis more or less."""
    old = rng.choice(circuit.populations)
    axis = rng.choice(circuit.axes).name
    axes = tuple(a for a in old.axes if a != axis) if axis in old.axes else (*old.axes, axis)
    circuit = _exchanged(circuit, old, replace(old, axes=axes))
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
    """An input of rates as one of zeros and ones, or the other way."""
    old = rng.choice(circuit.inputs)
    (other,) = set(InputKind) - {old.kind}
    new = replace(old, kind=other)
    return replace(circuit, inputs=tuple(new if t == old else t for t in circuit.inputs))


EDITS = (
    *(shuffle_declarations, shuffle_declarations, shuffle_compartments, shuffle_population_axes),
    *(shuffle_population_axes, shuffle_output_axes, transpose_tensor, flip_effect),
    *(change_transfer, bound_population, bound_projection, bound_projection, add_drive),
    *(add_compartment, add_projection, double_projection, remove_projection, change_gain),
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


# ---- names -------------------------------------------------------------------------------------------


def renamed(
    rng: random.Random, circuit: Circuit, pool: Sequence[str], share: float, but: Sequence[str] = ()
) -> Circuit:
    """The circuit with a `share` of its names drawn from `pool`, `but` for those of "axes" or "compartments"."""

    def chosen(names: Sequence[str], kind: str = "") -> dict[str, str]:
        found: dict[str, str] = {name: name for name in names}
        for name in () if kind in but else names:
            new = rng.choice(pool)
            if rng.random() < share and new not in found and new not in found.values():
                found[name] = new
        return found

    axis = chosen([a.name for a in circuit.axes], "axes")
    tensors = chosen([t.name for t in circuit.inputs + circuit.parameters])
    cells = chosen([p.name for p in circuit.populations])
    synapses = chosen([p.name for p in circuit.projections])
    outputs = chosen([o.name for o in circuit.outputs])
    parts = {
        p.name: chosen([c.name for c in p.compartments], "compartments")
        for p in circuit.populations
    }
    symbols = chosen(circuit.symbols)

    def side(extent: int | str) -> int | str:
        return symbols.get(extent, extent) if isinstance(extent, str) else extent

    def weight(old: Weight) -> Weight:
        gain = replace(old.gain, sizes=tuple((axis[a], power) for a, power in old.gain.sizes))
        ref = old.tensor
        read = ref and TensorRef(tensors[ref.name], tuple(axis[a] for a in ref.axes))
        return Weight(read, gain)

    def population(p: Population) -> Population:
        compartments = [
            Compartment(parts[p.name][c.name], c.effect, tuple(map(weight, c.drive)))
            for c in p.compartments
        ]
        return replace(
            p,
            name=cells[p.name],
            axes=tuple(axis[a] for a in p.axes),
            domain=rename(p.domain, axis),
            compartments=tuple(compartments),
        )

    def formula(old: Formula | None) -> Formula | None:
        return old and replace(old, arguments=tuple(tensors[a] for a in old.arguments))

    def shaped(t: Input | Parameter) -> Input | Parameter:
        return replace(t, name=tensors[t.name], shape=tuple(map(side, t.shape)))

    return replace(
        circuit,
        axes=tuple(replace(a, name=axis[a.name], extent=side(a.extent)) for a in circuit.axes),
        inputs=tuple(map(shaped, circuit.inputs)),
        parameters=tuple(
            replace(shaped(p), formula=formula(p.formula)) for p in circuit.parameters
        ),
        populations=tuple(map(population, circuit.populations)),
        projections=tuple(
            replace(
                p,
                name=synapses[p.name],
                pre=cells[p.pre],
                post=cells[p.post],
                compartment=parts[p.post][p.compartment],
                weight=weight(p.weight),
                domain=rename(p.domain, axis),
            )
            for p in circuit.projections
        ),
        outputs=tuple(
            Output(
                outputs[o.name],
                TensorRef(cells[o.source.name], tuple(axis[a] for a in o.source.axes)),
            )
            for o in circuit.outputs
        ),
    )


def _shuffled(rng: random.Random, items: Sequence) -> tuple:
    return tuple(rng.sample(list(items), len(items)))


# ---- numbers -----------------------------------------------------------------------------------------


def numbers(
    seed: int, circuit: Circuit, tokens: int, batch: tuple[int, ...] = ()
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and weights: quarters, of which sums are exact, and in one circuit of two of one sign."""
    rng = np.random.default_rng(seed)
    least = rng.choice((-6, 1))

    def draw(tensor: Input | Parameter) -> np.ndarray:
        lead = batch if isinstance(tensor, Input) and rng.random() < 0.8 else ()
        sides = (tokens if isinstance(side, str) else side for side in tensor.shape)
        shape = (*lead, *sides)
        if isinstance(tensor, Input) and tensor.kind is InputKind.MASK:
            return rng.integers(0, 2, shape).astype(bool)
        return rng.integers(least, 7, shape) / 8

    inputs = {t.name: draw(t) for t in circuit.inputs}
    plain = (p for p in circuit.parameters if p.formula is None and p.values is None)
    return inputs, {p.name: draw(p) for p in plain}
