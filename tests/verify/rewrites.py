"""Random rewrites of circuits and equations after which they say the same in other words."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from random import Random

from cortico.ir import (
    Bound,
    CellClass,
    Circuit,
    Compartment,
    Gain,
    Population,
    Projection,
    Region,
    TensorRef,
    Weight,
)
from cortico.ir.rewrite import fresh_name, map_compartment, map_populations
from cortico.passes import PASSES
from cortico.verify.equations.language import (
    Add,
    Apply,
    Definition,
    Equations,
    Expression,
    Index,
    Number,
    Product,
    Read,
    Sum,
    names_in,
    renamed_indices,
)
from tests.verify.mutations import Edit, any_compartment, changed, with_cells, with_synapses

# ---- the same circuit, said otherwise ------------------------------------------------------------


def rewritten(random: Random, circuit: Circuit, times: int = 4) -> Circuit:
    """A circuit that computes the same."""
    for _ in range(random.randrange(1, times + 1)):
        circuit = changed(random, circuit, REWRITES)
    return circuit


def _renamed_axes(random: Random, circuit: Circuit) -> Circuit:
    names = [axis.name for axis in circuit.axes]
    fresh = random.sample([f"{name}_{random.choice('xyz')}" for name in names], len(names))
    return rename_axes(circuit, dict(zip(names, fresh, strict=True)))


def rename_axes(circuit: Circuit, new: dict[str, str]) -> Circuit:
    """The circuit with other names for its axes."""

    def axes(old: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new[axis] for axis in old)

    def weight(old: Weight) -> Weight:
        tensor = old.tensor and TensorRef(old.tensor.name, axes(old.tensor.axes))
        sizes = tuple((new[axis], power) for axis, power in old.gain.sizes)
        return Weight(tensor, replace(old.gain, sizes=sizes))

    def domain(old: tuple[Bound, ...]) -> tuple[Bound, ...]:
        return tuple(sorted(Bound(new[b.left], new[b.right], b.offset) for b in old))

    def cells(p: Population) -> Population:
        parts = tuple(replace(c, drive=tuple(map(weight, c.drive))) for c in p.compartments)
        return replace(p, axes=axes(p.axes), domain=domain(p.domain), compartments=parts)

    return replace(
        map_populations(circuit, cells),
        axes=tuple(replace(a, name=new[a.name]) for a in circuit.axes),
        projections=tuple(
            replace(p, weight=weight(p.weight), domain=domain(p.domain), at=axes(p.at))
            for p in circuit.projections
        ),
        outputs=tuple(
            replace(o, source=TensorRef(o.source.name, axes(o.source.axes)))
            for o in circuit.outputs
        ),
    )


def _renamed_cells(random: Random, circuit: Circuit) -> Circuit:
    names = {
        p.name: f"cells_{k}"
        for k, p in enumerate(random.sample(circuit.populations, len(circuit.populations)))
    }
    return replace(
        circuit,
        populations=tuple(replace(p, name=names[p.name]) for p in circuit.populations),
        projections=tuple(
            replace(p, pre=names[p.pre], post=names[p.post]) for p in circuit.projections
        ),
        outputs=tuple(
            replace(o, source=replace(o.source, name=names[o.source.name])) for o in circuit.outputs
        ),
    )


def _shuffled(random: Random, circuit: Circuit) -> Circuit:
    """Everything in another order: tensors, cells, compartments, drives, synapses, axes of cells."""

    def mixed(things: tuple) -> tuple:
        return tuple(random.sample(things, len(things)))

    def cells(p: Population) -> Population:
        parts = mixed(tuple(replace(c, drive=mixed(c.drive)) for c in p.compartments))
        return replace(p, axes=mixed(p.axes), compartments=parts)

    return replace(
        circuit,
        axes=mixed(circuit.axes),
        inputs=mixed(circuit.inputs),
        parameters=mixed(circuit.parameters),
        populations=mixed(tuple(map(cells, circuit.populations))),
        projections=mixed(circuit.projections),
    )


def _scaled(weight: Weight, by: float) -> Weight:
    return replace(weight, gain=replace(weight.gain, coefficient=weight.gain.coefficient * by))


def _halved(random: Random, circuit: Circuit) -> Circuit:
    p = random.choice(circuit.projections)
    first = random.choice([0.5, 0.5, -1.0, 2.0])  # no rounding
    parts = (
        replace(p, name=fresh_name(circuit, f"{p.name}_{k}"), weight=_scaled(p.weight, share))
        for k, share in enumerate((first, 1.0 - first))
    )
    return with_synapses(circuit, p, *parts)


def _relayed(random: Random, circuit: Circuit) -> Circuit:
    """Cells that pass on what others fire."""
    p = random.choice(circuit.projections)
    pre = circuit.population(p.pre)
    name = fresh_name(circuit, "identity_relay")
    cells = Population(
        name, pre.axes, Region.L4, CellClass.STELLATE, (Compartment("basal"),), domain=pre.domain
    )
    link = Projection(fresh_name(circuit, "link"), pre.name, name, "basal")
    circuit = with_synapses(circuit, p, replace(p, pre=name), link)
    return replace(circuit, populations=(*circuit.populations, cells))


def _twin(random: Random, circuit: Circuit) -> Circuit:
    """A population computed twice; some of its consumers hear the twin."""
    heard = [p for p in circuit.populations if circuit.projections_from(p.name)]
    old = random.choice(heard)
    name = fresh_name(circuit, f"{old.name}_twin")
    onto = [
        replace(p, name=fresh_name(circuit, f"{p.name}_twin"), post=name)
        for p in circuit.projections_onto(old.name)
    ]
    moved = tuple(
        replace(p, pre=name) if p.pre == old.name and random.random() < 0.5 else p
        for p in circuit.projections
    )
    twin = replace(old, name=name)
    return replace(circuit, populations=(*circuit.populations, twin), projections=(*moved, *onto))


def _gain_moved(random: Random, circuit: Circuit) -> Circuit | None:
    """Twice the rate of linear cells, and half the weight of their synapses."""
    outputs = {o.source.name for o in circuit.outputs}
    linear = [p for p in circuit.populations if p.transfer == "identity" and p.name not in outputs]
    if not linear:
        return None
    old = random.choice(linear)
    factor = Compartment(f"factor_{random.randrange(10**6)}", drive=(Weight(gain=Gain(2.0)),))
    projections = tuple(
        replace(p, weight=_scaled(p.weight, 0.5)) if p.pre == old.name else p
        for p in circuit.projections
    )
    circuit = with_cells(circuit, old, replace(old, compartments=(*old.compartments, factor)))
    return replace(circuit, projections=projections)


def _nothing_added(random: Random, circuit: Circuit) -> Circuit:
    """1 - 1 in the drive."""
    population, compartment = any_compartment(random, circuit)
    drive = (*compartment.drive, Weight(gain=Gain(1.0)), Weight(gain=Gain(-1.0)))
    return map_compartment(
        circuit, population.name, compartment.name, lambda c: replace(c, drive=drive)
    )


def _exact_pass(random: Random, circuit: Circuit) -> Circuit:
    return random.choice([kind for kind in PASSES if kind.exact])().run(circuit)


REWRITES: tuple[Edit, ...] = (
    _renamed_axes, _renamed_cells, _shuffled, _halved, _relayed, _twin, _gain_moved, _nothing_added,
    _exact_pass, _exact_pass, _exact_pass,
)  # fmt: skip


# ---- the same equations, said otherwise ----------------------------------------------------------


def rewritten_equations(random: Random, equations: Equations) -> Equations:
    """Equations that define the same outputs: commuted, distributed, renamed, inlined."""
    rows = []
    for each in equations.definitions:
        body = said_otherwise(random, each.body)
        if random.random() < 0.5:
            each = _renamed_formals(random, replace(each, body=body))
        else:
            each = replace(each, body=body)
        rows.append(each)
    return _inlined(random, replace(equations, definitions=tuple(rows)))


def _renamed_formals(random: Random, row: Definition) -> Definition:
    names = random.sample([f"k{n}" for n in range(9)], len(row.indices))
    new = tuple(Index(name, v.sort) for name, v in zip(names, row.indices, strict=True))
    return Definition(
        row.tensor, new, renamed_indices(row.body, dict(zip(row.indices, new, strict=True)))
    )


def said_otherwise(random: Random, e: Expression) -> Expression:
    """An equal expression."""
    match e:
        case Sum(indices, body):
            e = _sum_otherwise(random, indices, said_otherwise(random, body))
        case Product(factors):
            e = _product_otherwise(random, [said_otherwise(random, f) for f in factors])
        case Add(terms):
            e = Add(tuple(random.sample([said_otherwise(random, t) for t in terms], len(terms))))
        case Apply(function, argument):
            e = Apply(function, said_otherwise(random, argument))
    kind = random.randrange(30)
    if kind == 0:
        half = Number(Fraction(1, 3)), Number(Fraction(2, 3))
        return Add((Product((half[0], e)), Product((e, half[1]))))
    if kind == 1:
        return e + Number(Fraction(0))
    if kind == 2:
        return Number(Fraction(-1)) * -e
    if kind == 3:
        return Product((e, Product(())))
    return e


def _sum_otherwise(random: Random, indices: tuple[Index, ...], body: Expression) -> Expression:
    kind = random.randrange(4)
    if kind == 0:
        return Sum(tuple(random.sample(indices, len(indices))), body)
    if kind == 1:
        for index in indices:
            body = Sum((index,), body)
        return body
    if kind == 2:
        taken = names_in(body)
        new = tuple(Index(f"b{k}", v.sort) for k, v in enumerate(indices))
        if not taken & {v.name for v in new}:
            return Sum(new, renamed_indices(body, dict(zip(indices, new, strict=True))))
    if kind == 3 and isinstance(body, Add):
        return Add(tuple(Sum(indices, term) for term in body.terms))
    return Sum(indices, body)


def _product_otherwise(random: Random, factors: list[Expression]) -> Expression:
    random.shuffle(factors)
    sums = [k for k, factor in enumerate(factors) if isinstance(factor, Add)]
    if sums and random.random() < 0.4:
        place = random.choice(sums)
        rest = factors[:place] + factors[place + 1 :]
        return Add(tuple(Product((*rest, term)) for term in factors[place].terms))
    if len(factors) > 2 and random.random() < 0.5:
        return Product((factors[0], Product(tuple(factors[1:]))))
    return Product(tuple(factors))


def _inlined(random: Random, equations: Equations) -> Equations:
    """One definition written out where it is read."""
    inner = [d for d in equations.definitions if d.tensor not in equations.outputs]
    if not inner or random.random() < 0.5:
        return equations
    row = random.choice(inner)

    def written_out(e: Expression) -> Expression:
        match e:
            case Read(tensor, indices) if tensor == row.tensor:
                return renamed_indices(row.body, dict(zip(row.indices, indices, strict=True)))
            case Sum(indices, body):
                return Sum(indices, written_out(body))
            case Product(factors):
                return Product(tuple(map(written_out, factors)))
            case Add(terms):
                return Add(tuple(map(written_out, terms)))
            case Apply(function, argument):
                return Apply(function, written_out(argument))
        return e

    rows = tuple(
        replace(d, body=written_out(d.body)) for d in equations.definitions if d is not row
    )
    return replace(equations, definitions=rows)
