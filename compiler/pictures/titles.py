"""The two lines above a picture, and the margins around it."""

from __future__ import annotations

from cortico.ir import Circuit
from cortico.pictures.scene import Group, Words, elided
from cortico.pictures.style import GREY
from cortico.report.words import one_line, quantity

MARGIN = 16.0
HEAD = 52.0  #: above, for the title
_TITLE, _UNDER = 11.0, 8.0  #: sizes of letters


def title(circuit: Circuit, what: str, width: float) -> Group:
    """The circuit's name; below it what is shown, and how large the circuit is where there is room."""
    under = f"{what}; in all {size_of(circuit)}"
    under = under if _fitting(under, _UNDER, width) == under else what
    name = one_line(circuit.name)
    lines = (
        Words((MARGIN, 22), _fitting(name, _TITLE, width), _TITLE, bold=True),
        Words((MARGIN, 38), _fitting(under, _UNDER, width), _UNDER, GREY),
    )
    return Group("title", lines, f"{name}: {what}")


def size_of(circuit: Circuit) -> str:
    """Neurons and synapses, in words."""
    counts = circuit.counts()
    return f"{quantity(counts.neurons, 'neuron')}, {quantity(counts.synapses, 'synapse')}"


def area_count(circuit: Circuit) -> str:
    """`12 areas`."""
    return quantity(len(circuit.areas), "area")


def _fitting(text: str, size: float, width: float) -> str:
    return elided(text, int(width / Words((0, 0), "x", size).width))
