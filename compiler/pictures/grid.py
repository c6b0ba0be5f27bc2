"""Which population stands where: layers are bands of rows, and near ones talk to each other."""

from __future__ import annotations

import itertools
import math
from collections import ChainMap, Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cortico.ir import Circuit, Population, Region

THALAMUS = "thalamus"
#: Bands from the surface down.
BANDS = ("L1", "L2/3", "L4", "L5", "L6", THALAMUS)

_FEWEST, _MOST = 2, 5  #: columns
_BROAD = 4  #: up to so many populations of a band stand in one row


@dataclass(frozen=True)
class Slot:
    """A place for one population."""

    row: int
    column: int


@dataclass(frozen=True)
class Grid:
    """Rows of slots from the surface down, and who stands where."""

    bands: tuple[str, ...]  #: the band of each row
    columns: int
    slots: Mapping[str, Slot]

    def row(self, number: int) -> list[str]:
        """The populations of a row."""
        return [name for name, slot in self.slots.items() if slot.row == number]


def band_of(population: Population) -> str:
    """The cortical layer, or the thalamus."""
    return population.region.label if population.region.in_cortex else THALAMUS


def arrange(circuit: Circuit) -> Grid:
    """A grid in which populations that project to each other stand near."""
    columns = _columns(circuit)
    bands: list[str] = []
    slots: dict[str, Slot] = {}
    for band in BANDS:
        here = [p for p in _by_region(circuit) if band_of(p) == band]
        for k, population in enumerate(here):
            slots[population.name] = Slot(len(bands) + k // columns, k % columns)
        bands += [band] * math.ceil(len(here) / columns)
    edges = [(p.pre, p.post) for p in circuit.projections]
    return Grid(tuple(bands), columns, _shortened(slots, bands, columns, edges))


def _columns(circuit: Circuit) -> int:
    """About as many as rows, and one row for each band where that is not too wide."""
    widest = max(Counter(map(band_of, circuit.populations)).values())
    square = math.ceil(math.sqrt(len(circuit.populations)))
    return min(max(_FEWEST, square, min(widest, _BROAD)), _MOST)


def _by_region(circuit: Circuit) -> list[Population]:
    regions = list(Region)
    return sorted(circuit.populations, key=lambda p: regions.index(p.region))


def _shortened(
    slots: dict[str, Slot], bands: Sequence[str], columns: int, edges: Sequence[tuple[str, str]]
) -> dict[str, Slot]:
    """Swap two slots of a band while that makes the wires shorter."""
    touching: dict[str, list[tuple[str, str]]] = {name: [] for name in slots}
    for edge in edges:
        for name in dict.fromkeys(edge):
            touching[name].append(edge)
    places = [Slot(r, c) for r in range(len(bands)) for c in range(columns)]
    pairs = [(a, b) for a, b in itertools.combinations(places, 2) if bands[a.row] == bands[b.row]]
    slots, owners = dict(slots), {slot: name for name, slot in slots.items()}
    improved = True
    while improved:
        improved = False
        for pair in pairs:
            moved = _swapped(owners, *pair)
            concerned = list(dict.fromkeys(e for name in moved for e in touching[name]))
            if _length(ChainMap(moved, slots), concerned) < _length(slots, concerned):
                for slot in pair:
                    owners.pop(slot, None)
                owners.update({slot: name for name, slot in moved.items()})
                slots.update(moved)
                improved = True
    return slots


def _swapped(owners: Mapping[Slot, str], a: Slot, b: Slot) -> dict[str, Slot]:
    return {owners[here]: there for here, there in ((a, b), (b, a)) if here in owners}


def _length(slots: Mapping[str, Slot], edges: Iterable[tuple[str, str]]) -> int:
    """Length of wires in rows and columns; columns count double, as there is text in them."""
    ends = [(slots[pre], slots[post]) for pre, post in edges]
    return sum(2 * abs(a.column - b.column) + abs(a.row - b.row) for a, b in ends)
