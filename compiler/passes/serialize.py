"""serialize: tokens one after another instead of side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from cortico.ir import Bound, Circuit, Domain, Role, Unfold
from cortico.ir.analysis.axes import output_axes
from cortico.ir.counts import Count
from cortico.ir.domain import implies
from cortico.ir.invariants import sources_fit_axes
from cortico.ir.rewrite import map_axes
from cortico.passes.base import Pass


@dataclass(frozen=True)
class Serialize(Pass):
    """Unfold an axis of tokens in time: one neuron presented n tokens for n neurons of one token.

        r[i, …] for all i at once, n·k neurons   ->   r[…] at steps i = 0 … n-1, k neurons

    `axis=queries` presents the query tokens one by one to source tokens that stay in columns of
    their own: N columns for N². `axis=tokens` streams both; what sums source tokens integrates. That
    needs a memory that is full before the first query (no neuron or synapse has both axes), or the
    causal domain j <= i wherever they meet: a query step hears nothing that has yet to come. Other
    circuits are left alone, and those in which cells that would be one are read at an axis that stays. Rates
    do not change; neurons are traded for presentation steps.
    """

    axis: Literal["queries", "tokens"] = "queries"

    name = "serialize"
    after = ("reassociate",)

    def run(self, circuit: Circuit) -> Circuit:
        queries = _query_axes(circuit)
        if self.axis == "queries":
            return _in_time(circuit, queries)
        sources = _columns(circuit) - queries
        if not all(_may_stream(circuit, q, s) for q in queries for s in sources):
            return circuit
        return _in_time(circuit, queries | sources)

    def cost(self, circuit: Circuit) -> Count:
        """The number of neurons."""
        return circuit.counts().neurons


def _columns(circuit: Circuit) -> set[str]:
    return {axis.name for axis in circuit.axes if axis.role is Role.COLUMN}


def _query_axes(circuit: Circuit) -> set[str]:
    """The axes of tokens that the outputs have."""
    return output_axes(circuit) & _columns(circuit)


def _may_stream(circuit: Circuit, query: str, source: str) -> bool:
    """Whether no query hears a source token after it, or all have come before the first query."""
    causal = Bound(source, query, 0)
    return all(implies(domain, causal) for domain in _meetings(circuit, {query, source}))


def _meetings(circuit: Circuit, axes: set[str]) -> Iterator[Domain]:
    """The domains of all populations and projections that have all of `axes`."""
    for population in circuit.populations:
        if axes <= set(population.axes):
            yield population.domain
    for projection in circuit.projections:
        if axes <= set(circuit.synapse_axes(projection)):
            yield circuit.synapse_domain(projection)


def _in_time(circuit: Circuit, names: set[str]) -> Circuit:
    """The circuit with these axes in time; itself when they are already."""
    if all(circuit.axis(name).in_time for name in names):
        return circuit
    result = map_axes(circuit, lambda a: replace(a, unfold=Unfold.TIME) if a.name in names else a)
    return circuit if any(sources_fit_axes(result)) else result
