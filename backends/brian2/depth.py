"""How many cells a signal passes: what the network needs to settle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cortico.backends.brian2.schedule import Schedule
from cortico.ir import Circuit


@dataclass(frozen=True)
class Depth:
    """Longest chains of cells: in all, up to what a memory stores, and from a memory on."""

    through: int
    before_write: int
    after_write: int


def depth(circuit: Circuit, plan: Schedule) -> Depth:
    """The depths of a circuit; without memories all of it is `through`."""
    ends = {p.pre for p in circuit.projections if p.name in plan.writes}
    starts = {p.post for p in circuit.projections if p.name in plan.writes}
    whole = _longest(circuit, lambda name, found: 1 + max(found, default=0), plan)
    behind = _longest(circuit, lambda name, found: _behind(name in starts, found), plan)
    return Depth(
        max(whole.values()),
        max((whole[name] for name in ends), default=0),
        max(behind.values()),
    )


def _behind(starts: bool, found: list[int]) -> int:
    """Cells since the last memory; 0 while none was passed."""
    longest = max(found, default=0)
    return longest + 1 if longest or starts else 0


def _longest(
    circuit: Circuit, extend: Callable[[str, list[int]], int], plan: Schedule
) -> dict[str, int]:
    """Population to a length, extended from those that act on it at once."""
    lengths: dict[str, int] = {}
    for population in circuit.order:
        direct = [p for p in circuit.projections_onto(population.name) if p.name not in plan.writes]
        lengths[population.name] = extend(population.name, [lengths[p.pre] for p in direct])
    return lengths
