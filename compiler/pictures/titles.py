"""The two lines above a picture, and the margins around it."""

from __future__ import annotations

from collections.abc import Sequence

from cortico.ir import Circuit
from cortico.pictures.scene import Group, Words, elided
from cortico.pictures.style import GREY
from cortico.report.words import one_line, quantity

MARGIN = 16.0
HEAD = 52.0  #: above, for the title
LINE = 12.0  #: more for each more line below it
_TITLE, _UNDER = 11.0, 8.0  #: sizes of letters


def title(circuit: Circuit, what: str, width: float) -> Group:
    """The circuit's name; below it what is shown, and how large the circuit is where there is room."""
    under = f"{what}; in all {size_of(circuit)}"
    under = under if _fitting(under, _UNDER, width) == under else what
    return heading(circuit.name, (under,), width)


def heading(name: str, lines: Sequence[str], width: float) -> Group:
    """A name, and lines below it; the first of them is what is shown."""
    line = one_line(name)
    under = (
        Words((MARGIN, 38 + LINE * k), _fitting(text, _UNDER, width), _UNDER, GREY)
        for k, text in enumerate(lines)
    )
    head = Words((MARGIN, 22), _fitting(line, _TITLE, width), _TITLE, bold=True)
    return Group("title", (head, *under), f"{line}: {lines[0]}")


def size_of(circuit: Circuit) -> str:
    """Neurons and synapses, in words."""
    counts = circuit.counts()
    return f"{quantity(counts.neurons, 'neuron')}, {quantity(counts.synapses, 'synapse')}"


def area_count(circuit: Circuit) -> str:
    """`12 areas`."""
    return quantity(len(circuit.areas), "area")


def _fitting(text: str, size: float, width: float) -> str:
    return elided(text, int(width / Words((0, 0), "x", size).width))
