"""A block of a network as it is drawn: its name, how large it is, and the cells of each of its layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cortico.ir import CellClass, Circuit
from cortico.ir.network import Network, placed
from cortico.passes import Step
from cortico.pictures.glyphs import cell
from cortico.pictures.grid import BANDS, band_of
from cortico.pictures.scene import Mark, Point, Shape, Words, box, elided
from cortico.pictures.style import GREY, INK, PALE, PAPER, RULE
from cortico.report.words import quantity

_NAME, _SMALL, _BAND = 9.0, 7.0, 6.5  #: sizes of letters
_LINE, _ROW, _CELL = 10.0, 13.0, 12.0
_SCALE = 0.48  #: of the cells, beside those of a diagram
PAD, BETWEEN = 8.0, 14.0  #: around the words of a box, and between them and its layers
_BANDS = 40.0  #: for the names of layers
_MOST = 52  #: characters of a line
_MOST_AREAS, _AREA = 16, 5.0  #: so many areas have a square each; its side


@dataclass(frozen=True)
class Block:
    """What is written in a box, and the cell classes of each band of layers from the surface down."""

    name: str
    lines: tuple[str, ...]
    bands: Mapping[str, Sequence[CellClass]]
    areas: int = 0

    @property
    def height(self) -> float:
        return max(12 + _LINE * len(self.lines), _ROW * len(self.bands)) + PAD

    @property
    def text(self) -> float:
        """How wide its words are."""
        squares = 46 + (_AREA + 2) * min(self.areas, _MOST_AREAS) if self.areas else 0.0
        return max(squares, *(words.width for words in self._words(0, 0)))

    @property
    def strip(self) -> float:
        """How wide its layers are."""
        return _BANDS + _CELL * max(map(len, self.bands.values())) if self.bands else 0.0

    def marks(self, left: float, top: float, width: float, strip: float) -> Iterator[Mark]:
        """The box with its upper left corner at a point; `strip` is left at the right of it for layers."""
        right, bottom = left + width, top + self.height
        yield box(left, top, right, bottom, PAPER, INK, radius=5)
        yield from self._words(left + PAD, top + PAD / 2)
        if self.areas:
            yield from self._squares(left + PAD + 46, top + PAD / 2 + 14.5)
        height = _ROW * len(self.bands)
        yield from self._layers(right - PAD - strip, (top + bottom - height) / 2)

    def _words(self, x: float, y: float) -> Iterator[Words]:
        yield Words((x, y + 9), self.name, _NAME, bold=True, mono=True)
        for k, text in enumerate(self.lines):
            yield Words((x, y + 20 + _LINE * k), text, _SMALL, GREY)

    def _squares(self, x: float, y: float) -> Iterator[Mark]:
        for k in range(min(self.areas, _MOST_AREAS)):
            left = x + (_AREA + 2) * k
            yield box(left, y, left + _AREA, y + _AREA, PALE, GREY, radius=1)

    def _layers(self, x: float, y: float) -> Iterator[Mark]:
        for k, (band, classes) in enumerate(self.bands.items()):
            middle = y + _ROW * (k + 0.5)
            if k:
                yield _rule((x, middle - _ROW / 2), self.strip)
            yield Words((x, middle + 2.5), band, _BAND, GREY)
            for n, cell_class in enumerate(classes):
                yield from cell(cell_class, x + _BANDS + _CELL * (n + 0.5), middle, _SCALE)


def block_of(flat: Circuit, path: str) -> Block:
    """The block at a path of a network's flat circuit, whose sizes may be numbers."""
    counts, own = flat.counts(), [p for p in flat.populations if p.path == path]
    names = {p.name for p in own}
    onto = [p for p in flat.projections if p.post in names]
    heads = sum(bool(area.index) for area in flat.areas_at(path))
    sizes = (
        quantity(counts.neurons_in(own), "neuron"),
        quantity(counts.synapses_in(onto), "synapse"),
    )
    lines = (*[quantity(heads, "area")] * bool(heads), *sizes)
    bands = {band: [p.cell_class for p in own if band_of(p) == band] for band in BANDS}
    cells = {band: [c for c in CellClass if c in of] for band, of in bands.items() if of}
    name = path.rpartition(".")[2]
    return Block(elided(name, _MOST), tuple(elided(line, _MOST) for line in lines), cells, heads)


def block_circuit(network: Network, path: str, sizes: Mapping[str, int] | None = None) -> Circuit:
    """The circuit of a block with the network's symbols for its own, called by its path, without its numbers.

    `sizes` are numbers for symbols of the network. CircuitError where there is no such block.
    """
    return _placed(network, path, network[path].circuit, sizes or {})


def placed_step(
    network: Network, path: str, step: Step, sizes: Mapping[str, int] | None = None
) -> Step:
    """The same for the circuits before and after a pass of a block."""
    before, after = (_placed(network, path, c, sizes or {}) for c in (step.before, step.after))
    return replace(step, before=before, after=after)


def _placed(network: Network, path: str, circuit: Circuit, numbers: Mapping[str, int]) -> Circuit:
    found = placed(network, path, circuit)
    return found.bind(**{s: n for s, n in numbers.items() if s in found.symbols})


def _rule(start: Point, length: float) -> Mark:
    return Shape((start, (start[0] + length, start[1])), RULE, 0.5)
