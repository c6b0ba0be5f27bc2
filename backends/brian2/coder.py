"""Python text for pieces of a circuit, with the options of a Brian2 simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cortico.backends.brian2.options import Options
from cortico.backends.cells.presented.coder import TimeCoder
from cortico.ir import Population


@dataclass(frozen=True)
class Coder(TimeCoder):
    """Writes pieces of a circuit, and knows what was chosen of the simulation."""

    options: Options
    before: Mapping[str, int] = field(
        default_factory=dict
    )  #: the cells before a population, where these wait

    @property
    def spiking(self) -> bool:
        return self.options.cells == "lif"

    def cells(self, population: Population) -> str:
        """The numbers of a population's cells at the indices of the grid: `deep[h, i, j, c]`."""
        index = ", ".join(self.space_axes(population)) or "0"
        return f"{self.populations[population.name]}[{index}]"
