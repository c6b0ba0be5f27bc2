"""Random valid circuits of plain `random.Random`: those of the case table, new ones, and numbers for them.

`tests.circuit_edits` edits them, `tests.renaming` gives them other names.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
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
    Weight,
    check,
)
from cortico.ir.domain import conjunction
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.spec.weights import random_weights
from tests.cases import CASES

TRANSFERS = ("identity", "identity", "exp", "relu", "tanh", "sqrt")
HOMES = (
    (Region.L23, CellClass.IT),
    (Region.L5, CellClass.PT),
    (Region.L5, CellClass.PV),
    (Region.CORE, CellClass.RELAY),
)


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


def is_valid(circuit: Circuit) -> bool:
    """Whether it satisfies every invariant."""
    try:
        check(circuit)
    except CircuitError:
        return False
    return True


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
    kind = rng.choice(("none", "parameter", "old", *(("input", "mask", "token") if inputs else ())))
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
        counted = any(isinstance(side, int) for side in shape[-1:])
        kinds = {"mask": InputKind.MASK, "token": InputKind.TOKEN if counted else InputKind.RATE}
        tensor = Input(name, shape, kinds.get(kind, InputKind.RATE))
        circuit = replace(circuit, inputs=(*circuit.inputs, tensor))
    return circuit, Weight(TensorRef(name, over), gain)


def with_synapses(
    rng: random.Random, circuit: Circuit, pre: str, post: str, compartment: str
) -> Circuit:
    """The circuit with one more projection."""
    at = some_reading(rng, circuit, pre) if rng.random() < 0.15 else ()
    blank = Projection(fresh(circuit, "s"), pre, post, compartment, at=at)
    axes = circuit.synapse_axes(blank)
    circuit, weight = with_weight(rng, circuit, axes, inputs=False)
    grown = replace(blank, weight=weight, domain=some_domain(rng, axes, 0.15))
    return replace(circuit, projections=(*circuit.projections, grown))


def some_reading(rng: random.Random, circuit: Circuit, name: str) -> tuple[str, ...]:
    """Axes at which a population can be read: of its sizes, in space where its own are."""
    at: list[str] = []
    for own in map(circuit.axis, circuit.population(name).axes):
        alike = [a for a in circuit.axes if (a.extent, a.unfold) == (own.extent, own.unfold)]
        at.append(rng.choice([a.name for a in alike if a.name not in at]))
    return tuple(at)


def with_drive(rng: random.Random, circuit: Circuit, name: str, compartment: str) -> Circuit:
    """The circuit with one more drive of a compartment."""
    population = circuit.population(name)
    circuit, weight = with_weight(rng, circuit, population.axes, inputs=True)
    part = population.compartment(compartment)
    return exchanged(circuit, population, with_part(population, part, drive=(*part.drive, weight)))


def with_part(population: Population, part: Compartment, **changes: object) -> Population:
    changed = replace(part, **changes)  # type: ignore[arg-type]
    parts = tuple(changed if c.name == part.name else c for c in population.compartments)
    return replace(population, compartments=parts)


def exchanged(circuit: Circuit, old: Population, new: Population) -> Circuit:
    return replace(
        circuit, populations=tuple(new if p.name == old.name else p for p in circuit.populations)
    )


# ---- numbers -----------------------------------------------------------------------------------------


def numbers(
    seed: int, circuit: Circuit, tokens: int, batch: tuple[int, ...] = ()
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs and weights: quarters, of which sums are exact, and in one circuit of two of one sign."""
    rng = np.random.default_rng(seed)
    least = rng.choice((-6, 1))

    def draw(tensor: Input | Parameter) -> np.ndarray:
        lead = batch if isinstance(tensor, Input) and rng.random() < 0.8 else ()
        sides = [tokens if isinstance(side, str) else side for side in tensor.shape]
        if isinstance(tensor, Input) and tensor.kind is InputKind.TOKEN:
            return rng.integers(0, sides[-1], (*lead, *sides[:-1]))
        shape = (*lead, *sides)
        if isinstance(tensor, Input) and tensor.kind is InputKind.MASK:
            return rng.integers(0, 2, shape).astype(bool)
        return rng.integers(least, 7, shape) / 8

    inputs = {t.name: draw(t) for t in circuit.inputs}
    plain = (p for p in circuit.parameters if p.formula is None and p.values is None)
    return inputs, {p.name: draw(p) for p in plain}
