"""reassociate: multiply keys with values first, and queries with the memory of that; or back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from cortico.ir import Circuit, Compartment, Population, Projection, Role, Unfold
from cortico.ir.analysis.dependence import own_axes
from cortico.ir.counts import Count
from cortico.ir.domain import bound_axes
from cortico.ir.invariants import sources_fit_axes
from cortico.ir.rewrite import fresh_name
from cortico.passes.base import Pass, nominal
from cortico.passes.gated_product import (
    GatedProduct,
    Part,
    gated_products,
    moved,
    rebuilt,
    renamed,
    unfolded,
    varying_axes,
)


@dataclass(frozen=True)
class Reassociate(Pass):
    """From the mask circuit of linear attention to the memory circuit: one pass over the tokens.

        y_ic = Σ_j (Σ_a k_ja q_ia) v_jc   ->   M_ca = Σ_j v_jc k_ja,   y_ic = Σ_a M_ca q_ia

    Under the domain j <= i the memory runs along: M_ica = Σ_{j<=i} v_jc k_ja. Whatever else
    multiplies the deep cells goes to the side of its token: padding with the keys, for example.
    Tokens are then presented one after another (axes in time), so that no size depends on their
    number. A window, a position bias and a softmax are left alone: a memory does not forget, and
    their scores are no products of a key and a query. An extra source token keeps its own cells beside the
    memory; a memory that holds one stays. `to=mask` is the way back, to microcolumns in
    space, and `to=auto` goes either way. Each step is taken only where neurons and synapses fall in
    all (symbolic sizes count as 1024): few tokens of many features are cheaper as a mask.
    """

    to: Literal["memory", "mask", "auto"] = "memory"

    name = "reassociate"

    def run(self, circuit: Circuit) -> Circuit:
        changed = True
        while changed:
            changed = False
            for candidate in self._candidates(circuit):
                fits = not any(
                    sources_fit_axes(candidate)
                )  # an axis in time is read as one in time
                if fits and self.cost(nominal(candidate)) < self.cost(nominal(circuit)):
                    circuit, changed = candidate, True
                    break
        return circuit

    def cost(self, circuit: Circuit) -> Count:
        """Neurons and synapses together."""
        return circuit.counts().neurons + circuit.counts().synapses

    def _candidates(self, circuit: Circuit) -> Iterator[Circuit]:
        for match in gated_products(circuit):
            if self.to != "mask":
                yield from _memories(circuit, match)
            if self.to != "memory":
                yield from _masks(circuit, match)


def _columns(circuit: Circuit, axes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(axis for axis in axes if circuit.axis(axis).role is Role.COLUMN)


# ---- to the memory ---------------------------------------------------------------------------------


def _memories(circuit: Circuit, match: GatedProduct) -> Iterator[Circuit]:
    """The circuit with a memory of each token axis that can have one."""
    for source in _columns(circuit, match.summed):
        if source not in match.superficial.axes or not _is_memory_domain(match, source):
            continue
        source_side, query_side = _sides(circuit, match, source)
        if source_side and query_side:
            yield _to_memory(circuit, match, source, source_side, query_side)


def _is_memory_domain(match: GatedProduct, source: str) -> bool:
    """Everything, or all source tokens up to one that moves with the query: what only grows."""
    return not match.domain or (
        len(match.domain) == 1
        and match.domain[0].left == source
        and match.domain[0].right in match.deep.axes
    )


def _sides(circuit: Circuit, match: GatedProduct, axis: str) -> tuple[list[Part], list[Part]]:
    """The factors that differ along an axis, and those that do not."""
    differing = [part for part in match.parts if axis in own_axes(circuit, *part)]
    return differing, [part for part in match.parts if part not in differing]


def _to_memory(
    circuit: Circuit,
    match: GatedProduct,
    source: str,
    source_side: list[Part],
    query_side: list[Part],
) -> Circuit:
    """The circuit with association and memory cells in the place of the superficial cells."""
    association = _association(circuit, match, source_side)
    memory = _memory(circuit, match, source, association)
    gate = match.deep.compartment(match.gate.compartment)
    deep = replace(
        match.deep,
        axes=tuple(axis for axis in match.axes if axis != source),
        compartments=renamed([gate, *(c for _, c in query_side)]),
        domain=(),
    )
    store, recall = fresh_name(circuit, "store"), fresh_name(circuit, "recall")
    synapses = [
        *moved(circuit, source_side, association, 0),
        *moved(circuit, query_side, deep, 1),
        Projection(store, association.name, memory.name, "basal", domain=match.domain),
        Projection(recall, memory.name, deep.name, gate.name, match.gate.weight),
    ]
    result = rebuilt(circuit, match, (association, memory), deep, synapses)
    return unfolded(result, _columns(circuit, match.axes), Unfold.TIME)


def _association(circuit: Circuit, match: GatedProduct, parts: list[Part]) -> Population:
    """Cells that multiply all that comes from a source token."""
    varying = varying_axes(circuit, parts)
    return Population(
        fresh_name(circuit, "association"),
        tuple(axis for axis in match.axes if axis in varying),
        match.superficial.region,
        match.superficial.cell_class,
        renamed(c for _, c in parts),
    )


def _memory(
    circuit: Circuit, match: GatedProduct, source: str, association: Population
) -> Population:
    """Cells that sum associations over source tokens; under a causal mask, one sum per query."""
    kept = {*association.axes, *(bound.right for bound in match.domain)} - {source}
    return Population(
        fresh_name(circuit, "memory"),
        tuple(axis for axis in match.axes if axis in kept),
        association.region,
        association.cell_class,
        (Compartment("basal"),),
    )


# ---- and back to the mask --------------------------------------------------------------------------


def _masks(circuit: Circuit, match: GatedProduct) -> Iterator[Circuit]:
    """The circuit whose superficial cells multiply keys and queries: what differs along features."""
    sources = tuple(axis for axis in match.axes if axis not in match.deep.axes)
    features = {a for a in match.summed if circuit.axis(a).role is not Role.COLUMN}
    features &= set(match.superficial.axes)
    key_side = [p for p in match.parts if features & own_axes(circuit, *p)]
    value_side = [p for p in match.parts if p not in key_side]
    reached = varying_axes(circuit, key_side)
    tokens_only = set(_columns(circuit, sources)) == set(sources)
    if features and tokens_only and features <= reached and value_side:
        yield _to_mask(circuit, match, sources, features, key_side, value_side)


def _to_mask(
    circuit: Circuit,
    match: GatedProduct,
    sources: tuple[str, ...],
    features: set[str],
    key_side: list[Part],
    value_side: list[Part],
) -> Circuit:
    """The circuit with a microcolumn for each pair of tokens, in space."""
    gate = match.deep.compartment(match.gate.compartment)
    varying = varying_axes(circuit, key_side) | bound_axes(match.domain)
    order = _sources_after_queries(circuit, match, sources)
    superficial = Population(
        fresh_name(circuit, "superficial"),
        tuple(axis for axis in order if axis in varying),
        match.superficial.region,
        match.superficial.cell_class,
        renamed(c for _, c in key_side),
        domain=match.domain,
    )
    deep = replace(
        match.deep,
        axes=tuple(axis for axis in order if axis not in features),
        compartments=renamed([gate, *(c for _, c in value_side)]),
        domain=match.domain,
    )
    synapses = [
        *moved(circuit, key_side, superficial, 0),
        *moved(circuit, value_side, deep, 1),
        Projection(
            fresh_name(circuit, "gate"), superficial.name, deep.name, gate.name, match.gate.weight
        ),
    ]
    result = rebuilt(circuit, match, (superficial,), deep, synapses)
    return unfolded(result, _columns(circuit, match.axes), Unfold.SPACE)


def _sources_after_queries(
    circuit: Circuit, match: GatedProduct, sources: tuple[str, ...]
) -> tuple[str, ...]:
    """All axes, source tokens right after the tokens of the deep cells."""
    columns = _columns(circuit, match.deep.axes)
    place = match.deep.axes.index(columns[-1]) + 1 if columns else 0
    return (*match.deep.axes[:place], *sources, *match.deep.axes[place:])
