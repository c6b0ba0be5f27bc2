"""A projection with all that rules ask about it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cortico.anatomy.data import Cells, Pathway, Span, pathways
from cortico.ir import CellClass, Circuit, Effect, Population, Projection, Region
from cortico.ir.axes import Role
from cortico.ir.names import axes_of_role
from cortico.ir.paths import prefix

#: Name of a compartment to the dendrite that it is in published pathways.
DENDRITES = {
    "apical": "apical",
    "tuft": "apical",
    "basal": "basal",
    "soma": "soma",
    "shunt": "soma",
    "driver": "basal",
}

#: The regions that relay cells live in.
RELAYS = (Region.CORE, Region.MATRIX, Region.HIGHER_ORDER)


@dataclass(frozen=True)
class Link:
    """A projection of a circuit, its two populations, and where on the cell it ends."""

    circuit: Circuit
    projection: Projection

    @cached_property
    def pre(self) -> Population:
        """The source at the axes that it is read at."""
        return self.circuit.heard(self.projection)

    @cached_property
    def post(self) -> Population:
        return self.circuit.population(self.projection.post)

    @property
    def name(self) -> str:
        """The name of the projection within the block that hears it."""
        return self.projection.name.removeprefix(prefix(self.post.path))

    @property
    def source(self) -> Cells:
        return cells_of(self.pre)

    @property
    def target(self) -> Cells:
        return cells_of(self.post)

    @property
    def dendrite(self) -> str | None:
        """`apical`, `basal` or `soma`; None when the compartment is none that anatomy knows."""
        return DENDRITES.get(self.projection.compartment)

    @property
    def divides(self) -> bool:
        return self.post.compartment(self.projection.compartment).effect is Effect.DIVIDES

    @property
    def joins_areas(self) -> bool:
        """Whether cortical cells of one area reach those of others."""
        areas = set(axes_of_role(self.circuit, Role.AREA))
        in_cortex = self.pre.region.in_cortex and self.post.region.in_cortex
        return in_cortex and areas & set(self.pre.axes) != areas & set(self.post.axes)

    @cached_property
    def published(self) -> tuple[Pathway, ...]:
        """The pathways that join these classes of cells, wherever on the dendrite they end."""
        return tuple(pathway for pathway in pathways().values() if self._joined_by(pathway))

    def _joined_by(self, pathway: Pathway) -> bool:
        ends = self.source in pathway.pre and self.target in pathway.post
        return ends and self._spanned_by(pathway.span)

    def _spanned_by(self, span: Span) -> bool:
        match span:
            case Span.ANY:
                return True
            case Span.LAYER:
                return not self.joins_areas and self.pre.region is self.post.region
            case Span.AREA:
                return not self.joins_areas
            case Span.AREAS:
                return self.joins_areas

    @property
    def published_here(self) -> tuple[Pathway, ...]:
        """Those of `published` that end on this dendrite, or do not say where they end."""
        return tuple(
            pathway
            for pathway in self.published
            if not pathway.dendrites or self.dendrite in pathway.dendrites
        )

    def is_from(self, *regions: Region) -> bool:
        return self.pre.region in regions

    def is_onto(self, *regions: Region) -> bool:
        return self.post.region in regions

    def __str__(self) -> str:
        """`core relay -> L5 pyramidal pt, basal`."""
        return f"{self.source} -> {self.target}, {self.projection.compartment}"


def cells_of(population: Population) -> Cells:
    """Region and class of a population's cells."""
    return Cells(population.region, population.cell_class)


def is_pyramidal(population: Population) -> bool:
    """Whether cells are excitatory, with an apical dendrite: not stellate."""
    return population.cell_class in (CellClass.IT, CellClass.PT, CellClass.CT)


def has_strange_compartments(population: Population) -> bool:
    """Whether cells have compartments that are no dendrites, as error neurons do."""
    return any(part.name not in DENDRITES for part in population.compartments)
