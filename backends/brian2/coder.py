"""Python text for pieces of a circuit some of whose axes may be in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cortico.backends.brian2.options import Options
from cortico.backends.brian2.schedule import Schedule, time_axes
from cortico.backends.cells.coder import Coder as CellCoder
from cortico.ir import Population


@dataclass(frozen=True)
class Coder(CellCoder):
    """Writes pieces of a circuit, and knows when its tokens are presented."""

    plan: Schedule
    options: Options
    before: Mapping[str, int] = field(
        default_factory=dict
    )  #: the cells before a population, where these wait

    @property
    def spiking(self) -> bool:
        return self.options.cells == "lif"

    @property
    def in_time(self) -> bool:
        return any(axis.in_time for axis in self.circuit.axes)

    def space_axes(self, population: Population) -> list[str]:
        """Names of the axes that number the cells of a population."""
        time = time_axes(self.circuit, population.axes)
        return [self.axes[axis] for axis in population.axes if axis not in time]

    def cells(self, population: Population) -> str:
        """The numbers of a population's cells at the indices of the grid: `deep[h, i, j, c]`."""
        index = ", ".join(self.space_axes(population)) or "0"
        return f"{self.populations[population.name]}[{index}]"
