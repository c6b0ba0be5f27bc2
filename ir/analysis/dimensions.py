"""Along which dimension of an array the indices of each axis lie: axes that never meet may share one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cortico.ir.circuit import Circuit

#: Dimensions that NumPy broadcasts over are 32; one is left to who has indices of their own.
MOST = 31


def dimensions(circuit: Circuit, axes: Sequence[str]) -> dict[str, int]:
    """Axis to the number of its dimension, counted from 0: two that a population or a projection has differ.

    Each of the `axes` has its own while these are no more than `MOST`. In the flat circuit of a network, which
    has some for each block, an axis takes the first dimension that none has which it meets.
    """
    if len(axes) <= MOST:
        return {axis: k for k, axis in enumerate(axes)}
    met: dict[str, set[str]] = {axis: set() for axis in axes}
    for meeting in _meetings(circuit):
        for axis in meeting & met.keys():
            met[axis] |= meeting
    found: dict[str, int] = {}
    for axis in axes:
        taken = {found[other] for other in met[axis] if other in found}
        found[axis] = next(k for k in range(len(axes)) if k not in taken)
    return found


def crowded(circuit: Circuit) -> Iterator[str]:
    """A line where more axes meet than arrays have dimensions."""
    axes = [axis.name for axis in circuit.axes if not axis.in_time]
    count = len(set(dimensions(circuit, axes).values()))
    if count > MOST:
        yield f"axes that need {count} dimensions, NumPy arrays have at most {MOST} beside time"


def _meetings(circuit: Circuit) -> Iterator[set[str]]:
    """The axes of each population, and of both ends of each projection: weights and bounds have no others."""
    for population in circuit.populations:
        yield {*population.axes}
    for projection in circuit.projections:
        yield {*circuit.heard(projection).axes, *circuit.population(projection.post).axes}
