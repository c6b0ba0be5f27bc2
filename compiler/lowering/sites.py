"""Layer and cell class for each `Site` of a spec."""

from __future__ import annotations

from collections.abc import Mapping

from cortico.ir import CellClass, Region
from cortico.spec.blocks import Site

#: Where cells are, and of which class.
Cells = tuple[Region, CellClass]

SUPERFICIAL: Cells = (Region.L23, CellClass.IT)
GRANULAR: Cells = (Region.L4, CellClass.STELLATE)
DEEP: Cells = (Region.L5, CellClass.PT)

CELLS: Mapping[Site, Cells] = {
    Site.SUPERFICIAL: SUPERFICIAL,
    Site.GRANULAR: GRANULAR,
    Site.DEEP: DEEP,
}
