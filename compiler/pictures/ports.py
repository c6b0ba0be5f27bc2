"""Where wires leave and reach a cell, measured from the middle of its soma.

A cell has places for its axons and for the synapses of each compartment that no two wires share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from cortico.ir import Circuit, Effect, Population, Projection
from cortico.pictures.glyphs import APICAL, BASAL, BOTTOM, RELAY, SOMA, TOP
from cortico.pictures.scene import Point
from cortico.pictures.style import Kind, kind_of, on_top

_SPREAD = 3.0  #: wires onto one tip stand within this distance of it
_THALAMIC = 7.0  #: from the middle of a thalamic cell to its axons, and to its synapses


class Net(NamedTuple):
    """Axons of one population that do the same: drawn as one wire with branches."""

    pre: str
    kind: Kind


class Side(StrEnum):
    """Where a wire touches a cell."""

    TOP = "top"
    BOTTOM = "bottom"
    LEFT = "left"


@dataclass(frozen=True)
class Port:
    """A place at a cell: `offset` runs along its side."""

    side: Side
    offset: float
    reach: float  #: how far from the middle of the soma, across the side

    @property
    def point(self) -> Point:
        """Where the wire touches the cell, from the soma."""
        along, across = self.offset, self.reach
        return (across, along) if self.side is Side.LEFT else (along, across)


def net_of(circuit: Circuit, projection: Projection) -> Net:
    """The wire that a projection is part of."""
    return Net(projection.pre, kind_of(circuit, projection))


def exits(circuit: Circuit, population: Population) -> dict[Net, Port]:
    """Where the axons of a population leave it: below in cortex, above in thalamus."""
    nets = list(
        dict.fromkeys(net_of(circuit, p) for p in circuit.projections_from(population.name))
    )
    if population.region.in_cortex:
        ports = [Port(Side.BOTTOM, at, SOMA - 3) for at in _spread(0.0, len(nets))]
    else:
        ports = [Port(Side.TOP, at, _rim(at)) for at in _spread(_THALAMIC, len(nets))]
    return dict(zip(nets, ports, strict=True))


def entries(circuit: Circuit, population: Population) -> dict[str, Port]:
    """Projection name to where it ends."""
    places: dict[tuple[Side, float], list[tuple[str, Net]]] = {}
    for side, tips, compartments in _sides(population):
        ends = list(_ends(circuit, population, compartments))
        single = len(compartments) == 1
        for k, (compartment, net) in enumerate(ends):
            number = k if single else compartments.index(compartment)
            places.setdefault((side, tips[number % len(tips)]), []).append((compartment, net))
    ports: dict[tuple[str, Net], Port] = {}
    for (side, tip), those in places.items():
        for end, at in zip(those, _spread(tip, len(those)), strict=True):
            ports[end] = Port(side, at, _reach(population, side, at))
    onto = circuit.projections_onto(population.name)
    return {p.name: ports[p.compartment, net_of(circuit, p)] for p in onto}


def _reach(population: Population, side: Side, at: float) -> float:
    if side is Side.LEFT:
        return -SOMA - 1
    if not population.region.in_cortex:
        return _rim(at)
    return TOP if side is Side.TOP else BOTTOM


def _rim(at: float) -> float:
    """Height of the upper edge of a thalamic cell, `at` off its middle."""
    return -math.sqrt(max(RELAY**2 - at**2, 0.0))


def _sides(population: Population) -> Iterator[tuple[Side, Sequence[float], list[str]]]:
    """Compartments by side, with the tips that they stand at."""
    divides = [c.name for c in population.compartments if c.effect is Effect.DIVIDES]
    others = [c.name for c in population.compartments if c.name not in divides]
    yield Side.LEFT, (0.0,), divides
    if not population.region.in_cortex:
        yield Side.TOP, (-_THALAMIC,), others
        return
    yield Side.TOP, (-APICAL, APICAL), [name for name in others if on_top(name)]
    yield Side.BOTTOM, (-BASAL, BASAL), [name for name in others if not on_top(name)]


def _ends(
    circuit: Circuit, population: Population, compartments: Iterable[str]
) -> Iterable[tuple[str, Net]]:
    onto = [
        (name, net_of(circuit, p))
        for name in compartments
        for p in circuit.projections_onto(population.name, name)
    ]
    return dict.fromkeys(onto)


def _spread(middle: float, count: int) -> list[float]:
    """`count` places around `middle`, the outermost `_SPREAD` away."""
    if count == 1:
        return [middle]
    return [middle - _SPREAD + 2 * _SPREAD * k / (count - 1) for k in range(count)]
