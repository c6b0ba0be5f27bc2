"""Where neurons are drawn, in micrometres: x and z across cortex, y upwards through the layers.

A picture, not data: areas stand side by side along x, microcolumns in a grid, the cells of a microcolumn
one above the other in the band of their layer; thalamic nuclei lie below. All bands are equally high.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cortico.ir import Circuit, Population, Region, Role
from cortico.ir.index_space import Indices
from cortico.ir.names import axes_of_role, space_axes

#: Between microcolumns. Minicolumns are 28-50 µm wide: Buxhoeveden & Casanova 2002,
#: doi 10.1093/brain/awf110.
PITCH = 50.0
#: The height of a layer and of a nucleus, and the gap above the thalamus: placeholders.
BAND, GAP = 300.0, 1000.0
#: Microcolumns that would fit between two areas: a placeholder.
_APART = 4


class Layout:
    """The positions of a circuit's neurons. Every neuron has one of its own."""

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self._sizes = circuit.sizes()
        self._areas = axes_of_role(circuit, Role.AREA)
        self._across = axes_of_role(circuit, Role.COLUMN)[:2]
        width = max((self._sizes[axis] for axis in self._across), default=1)
        self._area_width = PITCH * (width + _APART)

    def of(self, population: Population, indices: Indices, count: int) -> np.ndarray:
        """The x, y and z of `count` neurons at `indices`, shape (3, count)."""
        own = space_axes(self._circuit, population)
        areas = [axis for axis in own if axis in self._areas]
        up = [axis for axis in own if axis not in (*areas, *self._across)]
        placed = np.zeros((3, count))
        placed[0] = self._area_width * self._rank(areas, indices)
        for row, axis in zip((0, 2), self._across, strict=False):
            if axis in own:
                placed[row] += PITCH * indices[axis]
        cells = math.prod(self._sizes[axis] for axis in up)
        top, height = self._band(population)
        placed[1] = top - height * (self._rank(up, indices) + 0.5) / cells
        return placed

    def _rank(self, axes: Sequence[str], indices: Indices) -> np.ndarray | int:
        rank: np.ndarray | int = 0
        for axis in axes:
            rank = rank * self._sizes[axis] + indices[axis]
        return rank

    def _band(self, population: Population) -> tuple[float, float]:
        """Top and height of a population's share of its layer or nucleus."""
        shared = [p.name for p in self._circuit.populations if p.region is population.region]
        height = BAND / len(shared)
        place = list(Region).index(population.region)
        gap = 0.0 if population.region.in_cortex else GAP
        return -BAND * place - gap - height * shared.index(population.name), height
