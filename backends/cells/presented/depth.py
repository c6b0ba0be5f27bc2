"""How many cells a signal passes: what the network needs to settle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cortico.backends.cells.presented.schedule import Schedule
from cortico.ir import Circuit, Population, Projection
from cortico.ir.rewrite import longest_chains, reachable_from


@dataclass(frozen=True)
class Depth:
    """Longest chains of cells: in all, up to what a memory stores, and from a memory on."""

    through: int
    before_write: int
    after_write: int


def depth(
    circuit: Circuit, plan: Schedule, units: Callable[[Population], int] = lambda population: 1
) -> Depth:
    """The depths of a circuit whose cells are so many `units`; without memories all of it is `through`."""
    writes = [p for p in circuit.projections if p.name in plan.writes]

    def at_once(projection: Projection) -> bool:
        return projection.name not in plan.writes

    behind = set(reachable_from(circuit, (p.post for p in writes), at_once))
    whole = longest_chains(circuit, units, at_once)
    after = longest_chains(circuit, lambda p: units(p) * (p.name in behind), at_once)
    return Depth(
        max(whole.values()),
        max((whole[p.pre] for p in writes), default=0),
        max(after.values()),
    )
