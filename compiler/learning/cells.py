"""Which cells carry errors: our assumption, until experiments say more."""

from __future__ import annotations

from cortico.ir import CellClass, Population


def excitatory(population: Population) -> CellClass:
    """The class of error neurons in the region of a population: errors have both signs."""
    return CellClass.IT if population.region.in_cortex else CellClass.RELAY
