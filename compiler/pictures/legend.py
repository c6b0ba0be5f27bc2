"""The legend: what cells and lines mean, for those that a picture has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cortico.ir import CellClass
from cortico.pictures.glyphs import cell
from cortico.pictures.scene import Group, Mark, Point, Words
from cortico.pictures.style import LINES, LOOKS, Kind
from cortico.pictures.wires import wire

_SIZE = 8.0
_ROW = 22.0
_SAMPLE = 30.0  #: length of a line, width of a cell


class Entry(NamedTuple):
    """A cell class or a kind of pathway, with its words."""

    what: CellClass | Kind
    words: str

    @property
    def width(self) -> float:
        return _SAMPLE + Words((0, 0), self.words, _SIZE).width + 16

    def marks(self, x: float, y: float) -> Iterator[Mark]:
        """The sample and its words, left end and middle at (x, y)."""
        if isinstance(self.what, CellClass):
            yield from cell(self.what, x + 12, y, 0.8)
        else:
            yield from wire(((x, y), (x + _SAMPLE - 6, y)), self.what)
        yield Words((x + _SAMPLE, y + 3), self.words, _SIZE)


class Legend:
    """Entries in rows that fit a width."""

    def __init__(
        self, classes: Sequence[CellClass], kinds: Sequence[Kind], left: float, right: float
    ) -> None:
        entries = [Entry(c, LOOKS[c].words) for c in CellClass if c in classes]
        entries += [Entry(k, LINES[k].meaning) for k in Kind if k in kinds]
        self._places: list[tuple[Entry, Point]] = []
        x, row = left, 0
        for entry in entries:
            if x > left and x + entry.width > right:
                x, row = left, row + 1
            self._places.append((entry, (x, row * _ROW)))
            x += entry.width
        self.height = (row + 1) * _ROW

    def group(self, top: float) -> Group:
        """The legend with its upper edge at `top`."""
        marks = [m for entry, (x, y) in self._places for m in entry.marks(x, top + y + _ROW / 2)]
        return Group("legend", tuple(marks), "legend")
