"""Python text for pieces of a circuit some of whose axes may be in time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cortico.backends.cells.coder import Coder
from cortico.backends.cells.presented.schedule import Schedule, Write, time_axes
from cortico.ir import Bound, Population
from cortico.ir.analysis.dimensions import dimensions


@dataclass(frozen=True)
class TimeCoder(Coder):
    """Writes pieces of a circuit, and knows when its tokens are presented."""

    plan: Schedule

    @property
    def in_time(self) -> bool:
        return self.circuit.presents_tokens

    def space_axes(self, population: Population) -> list[str]:
        """Names of the axes that number the cells of a population."""
        time = time_axes(self.circuit, population.axes)
        return [self.axes[axis] for axis in population.axes if axis not in time]

    def in_one_token(self, bounds: tuple[Bound, ...]) -> list[Bound]:
        """The bounds that do not tie tokens of one clock: a memory that runs along holds those by itself."""
        return [b for b in bounds if len(time_axes(self.circuit, (b.left, b.right))) < 2]

    def presentations(self) -> Iterator[str]:
        """Lines that make the index of each axis an array along a dimension of its own."""
        space = [axis.name for axis in self.circuit.axes if not axis.in_time]
        yield from self.grid(space, leading=int(self.in_time))  # the first is the presentation
        if self.in_time:
            yield "# Tokens come one after another. These axes hold the token at each presentation."
            yield f"passes = [{', '.join(self._longest(phase) for phase in self.plan.phases)}]"
        others = len(set(dimensions(self.circuit, space).values()))
        for axis in self.circuit.axes:
            if axis.in_time:
                size = self.size(axis.extent)
                yield f"{self.axes[axis.name]} = presented({size}, passes, {others})"

    def _longest(self, phase: int) -> str:
        """The number of presentations in a phase: the most tokens that any of its populations has."""
        circuit = self.circuit
        axes = [
            axis
            for population in circuit.populations
            if self.plan.phase_of[population.name] == phase
            for axis in time_axes(circuit, population.axes)
        ]
        sizes = list(dict.fromkeys(self.size(circuit.axis(axis).extent) for axis in axes))
        return f"max({', '.join(sizes)})" if len(sizes) > 1 else "".join(sizes) or "1"

    def written(self, write: Write) -> tuple[str, str]:
        """The first presentation in which a compartment integrates, and in how many it does."""
        size = self.size(self.circuit.axis(write.axis).extent)
        return f"sum(passes[:{write.phase}])", size

    def when(self, population: str) -> tuple[str, str]:
        """The first presentation at which a population's rates count, and how many do."""
        time = time_axes(self.circuit, self.circuit.population(population).axes)
        if not time:
            return "sum(passes) - 1", "1"
        return self.written(Write(time[0], self.plan.phase_of[population]))
