"""reassociate: multiply keys with values first, and queries with the memory of that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from math import prod

from cortico.ir import (
    Circuit,
    Compartment,
    Domain,
    Effect,
    Gain,
    Population,
    Projection,
    Role,
    Unfold,
    Weight,
)
from cortico.ir.counts import Count
from cortico.ir.domain import conjunction
from cortico.passes.base import Pass, nominal
from cortico.passes.edit import current_axes, fresh_name, replace_projections


@dataclass(frozen=True)
class Reassociate(Pass):
    """From the mask circuit of linear attention to the memory circuit: one pass over the tokens.

        y_ic = Σ_j (Σ_a k_ja q_ia) v_jc   ->   M_ca = Σ_j v_jc k_ja,   y_ic = Σ_a M_ca q_ia

    Under the domain j <= i the memory runs along: M_ica = Σ_{j<=i} v_jc k_ja. Whatever else
    multiplies the deep cells goes to the side of its token: padding with the keys, for example.
    Tokens are then presented one after another (axes in time), so that no size depends on their
    number. Taken where neurons and synapses fall in all (symbolic sizes count as 1024). A window, a
    position bias and a softmax are left alone: their scores are no products of a key and a query.
    """

    name = "reassociate"

    def run(self, circuit: Circuit) -> Circuit:
        changed = True
        while changed:
            changed = False
            for candidate in _candidates(circuit):
                if self.cost(nominal(candidate)) < self.cost(nominal(circuit)):
                    circuit, changed = candidate, True
                    break
        return circuit

    def cost(self, circuit: Circuit) -> Count:
        """Neurons and synapses together."""
        return circuit.counts().neurons + circuit.counts().synapses


# ---- finding ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Match:
    """Deep cells gated by superficial ones and summed over the axis `source`."""

    deep: Population
    superficial: Population
    relays: tuple[Population, ...]  #: what stands between the two and only passes sums on
    gate: Projection  #: onto the deep cells, with the gain of the whole way
    source: str
    window: Domain  #: which (query, source) pairs count: none or one bound


def _candidates(circuit: Circuit) -> Iterator[Circuit]:
    for match in _matches(circuit):
        source_side, query_side = _sides(circuit, match)
        if source_side and query_side:
            yield _rewritten(circuit, match, source_side, query_side)


def _matches(circuit: Circuit) -> Iterator[_Match]:
    for gate in circuit.projections:
        path = _path_back(circuit, gate)
        deep, superficial = circuit.population(gate.post), circuit.population(path[-1].pre)
        relays = tuple(circuit.population(p.pre) for p in path[:-1])
        if not _is_gated_product(circuit, path) or not _others_are_plain(circuit, path):
            continue
        domain = conjunction(*(circuit.synapse_domain(p) for p in path))
        gain = prod((p.weight.gain for p in path), start=Gain())
        for source in _summed_alike(circuit, deep):
            # Summing a feature instead would be the way back, from the memory to the mask.
            of_tokens = circuit.axis(source).role is Role.COLUMN and source in superficial.axes
            if of_tokens and _is_memory_domain(domain, source, deep):
                whole = replace(gate, weight=Weight(gain=gain))
                yield _Match(deep, superficial, relays, whole, source, domain)


def _path_back(circuit: Circuit, gate: Projection) -> list[Projection]:
    """`gate` and the projections before it, back through populations that only pass a current on."""
    path = [gate]
    while True:
        pre = circuit.population(path[-1].pre)
        heard = circuit.projections_onto(pre.name)
        drives = any(c.drive for c in pre.compartments)
        if pre.transfer != "identity" or len(pre.compartments) > 1 or len(heard) != 1 or drives:
            return path
        if pre.compartments[0].effect is not Effect.MULTIPLIES or len(_consumers(circuit, pre)) > 1:
            return path
        path.append(heard[0])


def _is_gated_product(circuit: Circuit, path: list[Projection]) -> bool:
    """Whether a sum of products is all that gates other products, and nobody else reads either."""
    gate = path[0]
    deep, superficial = circuit.population(gate.post), circuit.population(path[-1].pre)
    shared = set(deep.axes) & set(superficial.axes)
    return (
        all(p.weight.tensor is None for p in path)
        and circuit.projections_onto(deep.name, gate.compartment) == (gate,)
        and not deep.compartment(gate.compartment).drive
        and all(_is_product(p) and len(_consumers(circuit, p)) == 1 for p in (deep, superficial))
        # The gate sums something, but nothing that the deep cells keep apart.
        and bool(set(superficial.axes) - shared)
        and all(shared <= set(circuit.population(p.pre).axes) for p in path)
        and all(set(circuit.population(p.pre).axes) <= set(deep.axes) for p in path[:-1])
    )


def _others_are_plain(circuit: Circuit, path: list[Projection]) -> bool:
    """Whether synapses that get other ends keep what they sum, and have no domain of their own."""
    ends = (circuit.population(path[0].post), circuit.population(path[-1].pre))
    axes = {axis for end in ends for axis in end.axes}
    others = [p for end in ends for p in circuit.projections_onto(end.name) if p != path[0]]
    readers = circuit.projections_from(ends[0].name)
    return all(
        not p.domain
        and not circuit.population(p.pre).domain
        and axes.isdisjoint(_summed_axes(circuit, p))
        for p in others
    ) and all(
        set(circuit.population(p.post).axes).isdisjoint(axes - set(ends[0].axes)) for p in readers
    )


def _summed_axes(circuit: Circuit, projection: Projection) -> set[str]:
    pre, post = circuit.population(projection.pre), circuit.population(projection.post)
    return set(pre.axes) - set(post.axes)


def _is_product(population: Population) -> bool:
    multiplies = all(c.effect is Effect.MULTIPLIES for c in population.compartments)
    return population.transfer == "identity" and multiplies and len(population.compartments) > 1


def _consumers(circuit: Circuit, population: Population) -> list[object]:
    """All that reads the rates of a population: projections and outputs."""
    outputs = [o for o in circuit.outputs if o.source.name == population.name]
    return [*circuit.projections_from(population.name), *outputs]


def _summed_alike(circuit: Circuit, deep: Population) -> tuple[str, ...]:
    """The axes that the only reader of `deep` sums without weighing their indices differently."""
    (reader,) = circuit.projections_from(deep.name) or (None,)
    if reader is None:
        return ()
    tied = {axis for bound in reader.domain for axis in (bound.left, bound.right)}
    seen = {*circuit.population(reader.post).axes, *reader.weight.axes, *tied}
    return tuple(axis for axis in deep.axes if axis not in seen)


def _is_memory_domain(domain: Domain, source: str, deep: Population) -> bool:
    """Everything, or all source tokens up to one that moves with the query: what only grows."""
    return all(
        len(domain) == 1 and bound.left == source and bound.right in deep.axes for bound in domain
    )


_Part = tuple[Population, Compartment]


def _sides(circuit: Circuit, match: _Match) -> tuple[list[_Part], list[_Part]]:
    """Compartments (but the gate's) that differ along the source axis, and those that do not."""
    parts = [(match.superficial, c) for c in match.superficial.compartments]
    parts += [(match.deep, c) for c in match.deep.compartments if c.name != match.gate.compartment]
    source_side = [p for p in parts if match.source in current_axes(circuit, *p)]
    return source_side, [p for p in parts if p not in source_side]


# ---- rewriting -------------------------------------------------------------------------------------


def _rewritten(
    circuit: Circuit, match: _Match, source_side: list[_Part], query_side: list[_Part]
) -> Circuit:
    """The circuit with association and memory cells in the place of the superficial cells."""
    association = _association(circuit, match, source_side)
    memory = _memory(circuit, match, association)
    gate = match.deep.compartment(match.gate.compartment)
    deep = replace(
        match.deep,
        axes=tuple(axis for axis in _all_axes(match) if axis != match.source),
        compartments=_renamed([gate, *(c for _, c in query_side)]),
        domain=(),
    )
    store, recall = fresh_name(circuit, "store"), fresh_name(circuit, "recall")
    moved = [
        *_moved(circuit, source_side, association, 0),
        *_moved(circuit, query_side, deep, 1),
        Projection(
            store, association.name, memory.name, memory.compartments[0].name, domain=match.window
        ),
        Projection(recall, memory.name, deep.name, gate.name, match.gate.weight),
    ]
    gone = (match.superficial, *match.relays, deep)
    old = [p for population in gone for p in circuit.projections_onto(population.name)]
    swap: dict[str, tuple[Population, ...]] = {relay.name: () for relay in match.relays}
    swap |= {match.superficial.name: (association, memory), deep.name: (deep,)}
    populations = (new for p in circuit.populations for new in swap.get(p.name, (p,)))
    result = replace_projections(replace(circuit, populations=tuple(populations)), old, moved)
    return _in_time(result, match)


def _all_axes(match: _Match) -> tuple[str, ...]:
    """The axes of deep cells, then those that the gate sums."""
    deep = match.deep.axes
    return (*deep, *(axis for axis in match.superficial.axes if axis not in deep))


def _association(circuit: Circuit, match: _Match, parts: list[_Part]) -> Population:
    """Cells that multiply all that comes from a source token."""
    varying = set().union(*(current_axes(circuit, *part) for part in parts))
    return Population(
        fresh_name(circuit, "association"),
        tuple(axis for axis in _all_axes(match) if axis in varying),
        match.superficial.region,
        match.superficial.cell_class,
        _renamed(c for _, c in parts),
    )


def _memory(circuit: Circuit, match: _Match, association: Population) -> Population:
    """Cells that sum associations over source tokens; under a causal mask, one sum per query."""
    kept = {*association.axes, *(bound.right for bound in match.window)} - {match.source}
    return Population(
        fresh_name(circuit, "memory"),
        tuple(axis for axis in _all_axes(match) if axis in kept),
        association.region,
        association.cell_class,
        (Compartment("basal"),),
    )


def _renamed(compartments: Iterable[Compartment]) -> tuple[Compartment, ...]:
    """The compartments, those that share a name with one before numbered."""
    found: list[Compartment] = []
    for compartment in compartments:
        taken = [c.name for c in found]
        name, number = compartment.name, 2
        while name in taken:
            name, number = f"{compartment.name}_{number}", number + 1
        found.append(replace(compartment, name=name))
    return tuple(found)


def _moved(
    circuit: Circuit, parts: list[_Part], target: Population, skip: int
) -> Iterator[Projection]:
    """The synapses of `parts` on the compartments of `target`, which follow `skip` others."""
    for (population, old), new in zip(parts, target.compartments[skip:], strict=True):
        for projection in circuit.projections_onto(population.name, old.name):
            yield replace(projection, post=target.name, compartment=new.name)


def _in_time(circuit: Circuit, match: _Match) -> Circuit:
    """The circuit with the tokens of this attention, sources and queries, one after another."""
    tokens = {a for a in match.deep.axes if circuit.axis(a).role is Role.COLUMN} | {match.source}
    axes = (replace(a, unfold=Unfold.TIME) if a.name in tokens else a for a in circuit.axes)
    return replace(circuit, axes=tuple(axes))
