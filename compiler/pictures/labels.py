"""The words beside a cell: its name, its indices, and what arrives at each compartment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cortico.ir import Circuit, Compartment, Effect, Population
from cortico.pictures.scene import Words, elided, text_width
from cortico.pictures.style import GREY, INK, on_top

_NAME, _SMALL = 9.0, 7.0  #: sizes of letters
_MOST_NAME, _MOST = 26, 34  #: characters
_LINE = 9.5
_LEFT = 27.0  #: from the soma to the words


@dataclass(frozen=True)
class Label:
    """Lines of text from top to bottom, the first of which stands beside the apical dendrite."""

    above: tuple[str, ...]
    name: str
    indices: str
    below: tuple[str, ...]

    @property
    def width(self) -> float:
        """From the soma to the end of the longest line."""
        small = [text_width(t, _SMALL, mono=True) for t in (*self.above, self.indices, *self.below)]
        return _LEFT + max([text_width(self.name, _NAME, mono=True), *small])

    @property
    def height_above(self) -> float:
        return 12 + _LINE * len(self.above)

    @property
    def height_below(self) -> float:
        return 9 + _LINE * len(self.below)

    def words(self, x: float, y: float) -> Iterator[Words]:
        """The lines, for a cell with its soma at (x, y)."""
        for k, text in enumerate(reversed(self.above)):
            yield _small(text, x, y - 13 - k * _LINE, GREY)
        yield Words((x + _LEFT, y - 3), self.name, _NAME, bold=True, mono=True)
        yield _small(self.indices, x, y + 6, INK)
        for k, text in enumerate(self.below):
            yield _small(text, x, y + 6 + (k + 1) * _LINE, GREY)


def label(circuit: Circuit, population: Population) -> Label:
    """The words for one population."""
    lines = {c.name: _elide(_arriving(circuit, population, c)) for c in population.compartments}
    above = tuple(lines[c.name] for c in population.compartments if on_top(c.name))
    below = tuple(lines[c.name] for c in population.compartments if not on_top(c.name))
    nucleus = () if population.region.in_cortex else (population.region.label.replace("_", " "),)
    return Label(
        above,
        elided(population.name, _MOST_NAME),
        _elide(_indices(circuit, population)),
        (*nucleus, *below),
    )


def _indices(circuit: Circuit, population: Population) -> str:
    text = f"[{', '.join(population.axes)}]"
    if population.transfer != "identity":
        text += f" {population.transfer}"
    if population.integrates:
        text += " integrates"
    outputs = [o.name for o in circuit.outputs if o.source.name == population.name]
    return f"{text} → {', '.join(outputs)}" if outputs else text


def _arriving(circuit: Circuit, population: Population, compartment: Compartment) -> str:
    """`basal: W_Q + b_Q`, by tensors; a compartment that divides begins with ÷."""
    onto = circuit.projections_onto(population.name, compartment.name)
    weights = (*(p.weight for p in onto), *compartment.drive)
    tensors = dict.fromkeys(w.tensor.name for w in weights if w.tensor)
    sign = "÷ " if compartment.effect is Effect.DIVIDES else ""
    return f"{sign}{compartment.name}" + (f": {' + '.join(tensors)}" if tensors else "")


def _elide(text: str) -> str:
    return elided(text, _MOST)


def _small(text: str, x: float, y: float, colour: str) -> Words:
    return Words((x + _LEFT, y), text, _SMALL, colour, mono=True)
