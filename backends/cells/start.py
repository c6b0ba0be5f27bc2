"""How a network of many blocks starts: cell after cell, as signals come, and not all cells at once.

A norm or a softmax divides what it hears by a pool that hears the same later. While a first signal passes, what
is divided is there before what divides, and a norm of 1e-6 = √eps makes a million of it. In one attention nothing
but a sum is behind that; in a stack norms, products and exponentials are, and overflow. So a cell of a network
stays silent until those that it hears are close to rest. When all are let go the equations are those of the
circuit: what it settles to is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cortico.ir import Circuit, Population
from cortico.ir.physiology import cell_type
from cortico.ir.rewrite import longest_chain, longest_chains


def in_order(circuit: Circuit) -> bool:
    """Whether cells are let go one after another: those of a network's blocks are."""
    return any(population.path for population in circuit.populations)


def slowest(circuit: Circuit) -> float:
    """The longest membrane time constant, in ms."""
    times = (cell_type(p.region, p.cell_class).membrane_time for p in circuit.populations)
    return max(time.value for time in times)


def steps_to_settle(
    circuit: Circuit, units: Callable[[Population], int], part: float, tolerance: float
) -> int:
    """Steps until a network is at rest in which a unit goes `part` of its way in a step, as its script counts them."""
    # here: who emits a script reads its template, and need not import it
    from cortico.backends.cells.template import CLOSE, settling_steps

    settling: Callable[[int, float, float], int] = settling_steps
    chain = longest_chain(circuit, units)
    wait = settling(1, part, CLOSE) if in_order(circuit) else 0
    return settling(chain, part, tolerance) + (chain - 1) * wait


def units_before(circuit: Circuit, units: Callable[[Population], int]) -> Mapping[str, int]:
    """Population to the most units that a signal passes before it; empty where all cells start at once.

    A cell of a population is so many `units` one after another.
    """
    if not in_order(circuit):
        return {}
    chains = longest_chains(circuit, units)
    return {p.name: chains[p.name] - units(p) for p in circuit.populations}
