"""Circuits of few populations, made by hand to keep or break a rule."""

from cortico.anatomy.data import Cells
from cortico.ir import (
    CellClass,
    Circuit,
    CircuitBuilder,
    Compartment,
    Effect,
    Region,
    Role,
    TensorRef,
    Weight,
)

DRIVEN = (Weight(TensorRef("x", ("i",))),)

#: Regions by label, such as `L2/3` and `core`.
REGIONS = {region.label: region for region in Region}


def cells(text: str) -> Cells:
    """`L5:pyramidal_pt` as region and class."""
    label, _, cell_class = text.partition(":")
    return Cells(REGIONS[label], CellClass(cell_class))


def joined(*links: str, across=()) -> Circuit:
    """A circuit with one projection for each text such as `L2/3:pyramidal_it > core:relay.driver`.

    A compartment with `/` in front divides. Populations are called by their cells; those in
    `across` lack the area axis.
    """
    b = CircuitBuilder("made by hand")
    b.axis("h", Role.AREA, 2)
    b.axis("i", Role.COLUMN, 3)
    b.input("x", (3,))
    pairs = [tuple(part.strip() for part in link.split(">")) for link in links]
    names = dict.fromkeys(name(end) for pair in pairs for end in pair)
    for each in names:
        own = dict.fromkeys(post.partition(".")[2] for _, post in pairs if name(post) == each)
        parts = [compartment(part) for part in own] or [Compartment("driver", drive=DRIVEN)]
        axes = "i" if each in across or not cells(each).region.in_cortex else "hi"
        b.population(identifier(each), axes, *cells(each), parts)
    for number, (pre, post) in enumerate(pairs):
        onto = post.partition(".")[2].removeprefix("/")
        b.project(f"p{number}", identifier(pre), identifier(name(post)), onto)
    last = identifier(name(pairs[-1][1]))
    axes = next(p.axes for p in b._populations if p.name == last)
    b.output("y", last, axes)
    return b.build()


def name(end: str) -> str:
    return end.partition(".")[0]


def compartment(text: str) -> Compartment:
    effect = Effect.DIVIDES if text.startswith("/") else Effect.MULTIPLIES
    return Compartment(text.removeprefix("/"), effect)


def identifier(text: str) -> str:
    return text.replace("/", "").replace(":", "_")
