"""What a circuit that lives in time is at rest: a feed-forward circuit whose populations fire the same.

Delays do not matter where nothing moves. A pool that integrates is at rest where its I is 0. One kind of loop has a
rest that is known for all sizes, softmax by feedback inhibition:

    mask_j = e^(s_j - m)        dm/dt = rate · φ(Σ_j mask_j - 1),    φ(x) = 0 at x = 0 only

At rest Σ_j e^(s_j) e^(-m) = 1, which one m solves where the sum S of all e^(s_j) is positive: e^(-m) = 1 / S, and
so mask_j = e^(s_j) / S. It is stable: near rest, cells with a membrane time τ obey λ² + λ/τ + rate/τ = 0, whose
roots have negative real parts for every rate > 0, and prospective ones λ = -rate. This is our derivation; Granier &
Senn have no softmax.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from cortico.ir.analysis import once
from cortico.ir.analysis.firing import Firing, constant_above_0
from cortico.ir.analysis.softmax import ShiftGroup, scaling_degrees
from cortico.ir.circuit import Circuit
from cortico.ir.errors import CircuitError, clipped, named
from cortico.ir.population import Compartment, Effect, Population, Projection
from cortico.ir.rewrite import (
    fresh,
    leading_to,
    map_populations,
    map_projections,
    names_in,
    reachable_from,
    replace_population,
)
from cortico.ir.tensors import Gain, Weight

#: Transfer functions that are 0 at 0 and nowhere else: strictly increasing ones.
ZERO_AT_ZERO = frozenset({"identity", "tanh", "erf"})


@dataclass(frozen=True)
class Feedback:
    """A pool that integrates, and the exponential cells that it inhibits until they sum to 1."""

    pool: str
    members: tuple[str, ...]
    between: tuple[
        str, ...
    ]  #: members, and cells that bring their sum to the pool, each after those it hears


@once
def at_rest(circuit: Circuit) -> Circuit:
    """The feed-forward circuit with the same rates at rest; `circuit` itself where it does not live in time.

    Members of a loop are divided by the sum of what they would be without it; the pool itself is left out, unless
    something else hears it or it is an output: then it is the logarithm of that sum. CircuitError for loops
    whose rest is not known.
    """
    if not circuit.lives_in_time:
        return circuit
    found = feedback_loops(circuit)
    resting = map_projections(opened(circuit, found), lambda p: replace(p, delay=None))
    for loop in found:
        resting = _divided(resting, loop)
    try:
        _ = resting.order
    except CircuitError:
        raise CircuitError(
            f"circuit {named(circuit.name)} has a loop whose rest is not known in closed form: "
            f"{_loop(circuit)}"
        ) from None
    return resting


@once
def outputs_at_rest(circuit: Circuit) -> Circuit:
    """The same with those populations only that outputs depend on: what a program of arrays computes."""
    if not circuit.lives_in_time:
        return circuit
    resting = at_rest(circuit)
    needed = set(leading_to(resting, [o.source.name for o in resting.outputs]))
    return replace(
        resting,
        populations=tuple(p for p in resting.populations if p.name in needed),
        projections=tuple(p for p in resting.projections if p.post in needed),
    )


def feedback_loops(circuit: Circuit) -> list[Feedback]:
    """The loops of a circuit that make a softmax. CircuitError for cells that integrate something else."""
    pools = [p for p in circuit.populations if p.integrates]
    members = {pool.name: _members(circuit, pool) for pool in pools}
    plain = _opened(circuit, members)
    plain = map_projections(plain, lambda p: replace(p, delay=None))
    try:
        _ = plain.order
    except CircuitError:
        raise CircuitError(
            f"circuit {named(circuit.name)} has a loop whose rest is not known in closed form: "
            f"{_loop(circuit)}"
        ) from None
    loops = [_feedback(circuit, plain, pool, members[pool.name]) for pool in pools]
    _require_apart(circuit, loops)
    return loops


def _require_apart(circuit: Circuit, loops: list[Feedback]) -> None:
    """CircuitError for loops that share cells: neither rests where it would alone."""
    pool_of: dict[str, str] = {}
    for loop in loops:
        for name in loop.between:
            other = pool_of.setdefault(name, loop.pool)
            if other != loop.pool:
                problem = f"{name} is in its loop, and in that of {other}"
                raise _unknown(circuit.population(loop.pool), problem)


def opened(circuit: Circuit, loops: list[Feedback]) -> Circuit:
    """The circuit in which the pools of loops sum what they hear, and nothing hears them as inhibition."""
    return _opened(circuit, {loop.pool: loop.members for loop in loops})


def _loop(circuit: Circuit) -> str:
    """Populations of one loop, for an error."""
    for population in circuit.populations:
        after = {q.post for q in circuit.projections_from(population.name)}
        if population.name in reachable_from(circuit, after):
            ways = set(reachable_from(circuit, after)) & set(leading_to(circuit, [population.name]))
            return clipped(", ".join(sorted(ways)), 200)
    return "none"


# ---- finding --------------------------------------------------------------------------------------


def _unknown(pool: Population, problem: str) -> CircuitError:
    return CircuitError(
        f"population {pool.name!r} integrates, and its rest is not known in closed form: {problem}"
    )


def _members(circuit: Circuit, pool: Population) -> tuple[str, ...]:
    """The exponential cells from whose argument the pool is subtracted."""
    found = []
    for projection in circuit.projections_from(pool.name):
        cells = circuit.population(projection.post)
        if not _subtracts(pool, projection, cells):
            continue
        found.append(cells.name)
    heard = [p.post for p in circuit.projections_from(pool.name) if p.post in found]
    if not found or len(set(found)) < len(heard):
        raise _unknown(pool, "expected exponential cells that hear it once each, with weight -1")
    return tuple(found)


def _subtracts(pool: Population, projection: Projection, cells: Population) -> bool:
    """Whether a projection takes what a pool fires from the argument of exponential cells."""
    return (
        cells.transfer == "exp"
        and cells.integrates is None
        and len(cells.compartments) == 1
        and cells.compartments[0].effect is Effect.MULTIPLIES
        and set(pool.axes) <= set(cells.axes)
        and projection.weight == Weight(gain=Gain(-1.0))
        and not projection.domain
        and not projection.at
    )


def _feedback(
    circuit: Circuit, plain: Circuit, pool: Population, members: tuple[str, ...]
) -> Feedback:
    """The loop of a pool, held against what must be true of it; `plain` is the circuit with loops opened."""
    if pool.transfer not in ZERO_AT_ZERO:
        raise _unknown(pool, f"{pool.transfer} is 0 elsewhere than at 0, or nowhere")
    if pool.domain:
        raise _unknown(pool, "it has a cell for some indices only")
    soma, *others = pool.compartments
    if soma.effect is not Effect.MULTIPLIES or soma.drive != (Weight(gain=Gain(-1.0)),):
        raise _unknown(pool, f"{soma.name} must multiply, and be driven by -1 alone")
    before = set(leading_to(plain, [p.pre for p in plain.projections_onto(pool.name, soma.name)]))
    behind = set(reachable_from(plain, members))
    between = tuple(p.name for p in plain.order if p.name in before & behind)
    if not set(members) <= before:
        raise _unknown(pool, "it does not hear all cells that it inhibits")
    group = ShiftGroup(pool.name, members, pool.axes)
    among = [*leading_to(plain, [pool.name])]
    if scaling_degrees(plain, group, among).get(pool.name) != 1:
        raise _unknown(pool, "what it hears is not their sum, each as often as it fires")
    firing = Firing(plain)
    if pool.name not in firing.signs.positive:
        raise _unknown(pool, "what it hears may be negative")
    if others and not _is_there(circuit, firing, pool, others, between):
        raise _unknown(
            pool, f"{', '.join(c.name for c in others)} do not say whether it hears anything"
        )
    if not others and pool.name not in firing.names:
        raise _unknown(pool, "it may hear nothing, and would never rest")
    return Feedback(pool.name, members, between)


def _is_there(
    circuit: Circuit,
    firing: Firing,
    pool: Population,
    others: list[Compartment],
    between: tuple[str, ...],
) -> bool:
    """Whether two compartments are 1 where a pool hears something, and 0 where all that it hears is gated away.

    Both hear what gates the cells that it hears, at the same places, and one divides by it. What is gated fires.
    """
    effects = [c.effect for c in others]
    if effects != [Effect.MULTIPLIES, Effect.DIVIDES] or any(c.drive for c in others):
        return False
    heard = circuit.projections_onto(pool.name, pool.compartments[0].name)
    counts = [circuit.projections_onto(pool.name, c.name) for c in others]
    if [len(heard), *map(len, counts)] != [1, 1, 1]:
        return False
    gate = _gate_of(circuit, firing, heard[0].pre, between)
    if gate is None or heard[0].at or not constant_above_0(heard[0].weight):
        return False
    where = circuit.synapse_domain(heard[0])
    return circuit.synapse_domain(gate) == where and all(
        (count.pre, count.weight, count.at) == (gate.pre, gate.weight, gate.at)
        and circuit.synapse_domain(count) == where
        for (count,) in counts
    )


def _gate_of(
    circuit: Circuit, firing: Firing, gated: str, between: tuple[str, ...]
) -> Projection | None:
    """What gates cells that are a product of two: one of a loop, which surely fires, and the gate."""
    onto, parts = circuit.projections_onto(gated), circuit.population(gated).compartments
    if len(onto) != 2 or {p.compartment for p in onto} != {c.name for c in parts}:
        return None
    gates = [p for p in onto if p.pre not in between]
    fires = all(firing.is_heard(p) for p in onto if p not in gates)
    alone = len(parts) == 2 and not any(c.drive for c in parts)
    return gates[0] if len(gates) == 1 and fires and alone else None


# ---- what it is at rest ---------------------------------------------------------------------------


def _opened(circuit: Circuit, members: dict[str, tuple[str, ...]]) -> Circuit:
    inhibition = {
        p.name for p in circuit.projections if p.pre in members and p.post in members[p.pre]
    }
    others = {(name, c.name) for name in members for c in circuit.population(name).compartments[1:]}

    def sums(population: Population) -> Population:
        if population.name not in members:
            return population
        soma = replace(population.compartments[0], drive=())
        return replace(population, compartments=(soma,), transfer="identity", integrates=None)

    kept = tuple(
        p
        for p in circuit.projections
        if p.name not in inhibition and (p.post, p.compartment) not in others
    )
    return replace(map_populations(circuit, sums), projections=kept)


def _divided(circuit: Circuit, loop: Feedback) -> Circuit:
    """The opened circuit in which the cells of a loop are divided by the sum of what members are without it.

    Members, and cells between them and the pool, scale alike. They are there twice: as they are without the loop,
    which is what the sum hears, and as they are at rest.
    """
    names = _Names(circuit)
    free = {name: names.fresh(f"{name}_free") for name in loop.between}
    total = names.fresh(f"{loop.pool}_total")
    moved = {**free, loop.pool: total}
    divided = (Compartment("basal"), Compartment("shunt", Effect.DIVIDES))
    at_rest_as = {
        loop.pool: {"compartments": (Compartment("soma"),), "transfer": "log"},
        **{name: {"compartments": divided, "transfer": "identity"} for name in free},
    }
    populations: list[Population] = []
    for population in circuit.populations:
        name = population.name
        if name in moved:
            populations.append(replace(population, name=moved[name]))
        populations.append(replace(population, **at_rest_as.get(name, {})))  # type: ignore[arg-type]
    projections = [
        replace(p, pre=moved.get(p.pre, p.pre), post=moved[p.post]) if p.post in moved else p
        for p in circuit.projections
    ]
    for name, own in free.items():
        projections.append(Projection(names.fresh(f"{name}_at_rest"), own, name, "basal"))
        projections.append(Projection(names.fresh(f"{name}_divided"), total, name, "shunt"))
    projections.append(Projection(names.fresh(f"{loop.pool}_at_rest"), total, loop.pool, "soma"))
    found = replace(circuit, populations=tuple(populations), projections=tuple(projections))
    return _without_unheard(found, loop.pool)


def _without_unheard(circuit: Circuit, name: str) -> Circuit:
    """The circuit without a population that nothing hears and no output reads."""
    if circuit.projections_from(name) or any(o.source.name == name for o in circuit.outputs):
        return circuit
    kept = tuple(p for p in circuit.projections if p.post != name)
    return replace(replace_population(circuit, name), projections=kept)


class _Names:
    """Names that nothing in a circuit has, each given once."""

    def __init__(self, circuit: Circuit) -> None:
        self._circuit, self._given = circuit, set[str]()

    def fresh(self, name: str) -> str:
        found = fresh(name, names_in(self._circuit) | self._given)
        self._given.add(found)
        return found
