"""What colours, dashes and letters stand for, the same in every picture and on the page.

Colours are those of Okabe and Ito (Color Universal Design, 2008), some darkened for print. Kinds of
pathways differ in dashes and in how they end, cell classes in shape, too: pictures can be read in grey.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from cortico.ir import CellClass, Circuit, Effect, Projection

INK, GREY, PALE, PAPER = "#1a1a1a", "#666666", "#f3f3f0", "#ffffff"
RULE = "#c9c9c4"  #: borders of layers and frames


class Kind(StrEnum):
    """What a pathway does to the cells it ends on."""

    DRIVER = "driver"
    GAIN = "gain"
    INHIBITION = "inhibition"
    SUBTRACTION = "subtraction"


@dataclass(frozen=True)
class Line:
    """How a kind of pathway is drawn; what it means, in words."""

    colour: str
    dash: tuple[float, ...]  #: lengths on and off; empty for a solid line
    meaning: str


LINES: Mapping[Kind, Line] = MappingProxyType(
    {
        Kind.DRIVER: Line("#0072b2", (), "driver: basal, soma or relay"),
        Kind.GAIN: Line("#d55e00", (5, 2.5), "gain: apical, multiplies"),
        Kind.INHIBITION: Line("#a0457b", (1.5, 2.5), "inhibition: divides"),
        Kind.SUBTRACTION: Line("#a0457b", (1.5, 2.5), "inhibition: subtracts"),
    }
)

#: Compartments that change the gain of a cell; the others drive it.
_GAIN = ("apical", "tuft")


def kind_of(circuit: Circuit, projection: Projection) -> Kind:
    """Inhibition where the compartment divides, or cells are inhibitory; gain on apical dendrites."""
    compartment = circuit.population(projection.post).compartment(projection.compartment)
    if compartment.effect is Effect.DIVIDES:
        return Kind.INHIBITION
    if circuit.population(projection.pre).cell_class.inhibitory:
        return Kind.SUBTRACTION
    return Kind.GAIN if on_top(projection.compartment) else Kind.DRIVER


def on_top(compartment: str) -> bool:
    """Whether a compartment is part of the apical dendrite, or an error neuron's copy of one."""
    return not {*compartment.split("_")}.isdisjoint(_GAIN)


@dataclass(frozen=True)
class Look:
    """How a cell class is drawn: filling, letters inside, and what it is called."""

    fill: str
    letters: str
    words: str


LOOKS: Mapping[CellClass, Look] = MappingProxyType(
    {
        CellClass.STELLATE: Look("#e69f00", "", "stellate"),
        CellClass.IT: Look("#56b4e9", "", "pyramidal IT"),
        CellClass.PT: Look("#009e73", "", "pyramidal PT"),
        CellClass.CT: Look("#f0e442", "", "pyramidal CT"),
        CellClass.PV: Look("#cc79a7", "PV", "PV"),
        CellClass.SST: Look("#cc79a7", "SST", "SST"),
        CellClass.VIP: Look("#cc79a7", "VIP", "VIP"),
        CellClass.RELAY: Look("#ffffff", "", "thalamic relay"),
        CellClass.RETICULAR: Look("#bdbdbd", "TRN", "thalamic reticular"),
    }
)

PYRAMIDAL = (CellClass.IT, CellClass.PT, CellClass.CT)
