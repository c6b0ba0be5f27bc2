"""Layers above the thalamus with cells on a grid: what the laminar diagram and the microcolumn share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from cortico.ir import Circuit, Projection
from cortico.pictures.grid import BANDS, THALAMUS, Grid
from cortico.pictures.legend import Legend
from cortico.pictures.routing import Frame, Routes
from cortico.pictures.scene import Group, Scene, Words, box
from cortico.pictures.style import GREY, PALE, PAPER, RULE, Kind, kind_of
from cortico.pictures.titles import HEAD, MARGIN, title
from cortico.report.words import one_line

_SEAM = 12.0  #: between cortex and thalamus, beside the channel
_ABOVE, _BELOW = 30.0, 26.0  #: least room above and below a soma


@dataclass(frozen=True)
class Room:
    """What a population needs around the soma of its (first) cell."""

    left: float
    right: float
    above: float
    below: float


class Diagram:
    """Where everything is, for populations on a grid; `gutter` is left free for words."""

    def __init__(
        self,
        circuit: Circuit,
        grid: Grid,
        routes: Routes,
        rooms: Mapping[str, Room],
        gutter: float,
        margin_right: float = 0.0,
    ) -> None:
        self.circuit, self.grid, self.routes = circuit, grid, routes
        self._rooms, self._gutter, self._margin_right = rooms, gutter, margin_right
        self.frame = self._frame()

    def scene(self, what: str, groups: Sequence[Group]) -> Scene:
        """The drawing: title, bands, the given groups, legend."""
        kinds = {kind_of(self.circuit, p) for p in self.circuit.projections}
        classes = {p.cell_class for p in self.circuit.populations}
        legend = Legend(list(classes), list(kinds), MARGIN, self.right)
        head = title(self.circuit, what, self.right - MARGIN)
        all_groups = (head, *self._bands(), *groups, legend.group(self.bottom + 8))
        height = self.bottom + 8 + legend.height + MARGIN
        return Scene(one_line(self.circuit.name), self.right + MARGIN, height, all_groups)

    def _frame(self) -> Frame:
        grid, routes = self.grid, self.routes
        channels = [routes.column_width(k) for k in range(grid.columns + 1)]
        rooms = [self._in_column(k) for k in range(grid.columns)]
        lefts = _edges(MARGIN + self._gutter, channels, [r.left + r.right for r in rooms])
        self.right = lefts[-1] + channels[-1] + self._margin_right
        rows = len(grid.bands)
        between = [routes.row_width(k) + 2 * self._seam(k) for k in range(rows + 1)]
        heights = [self._in_row(k) for k in range(rows)]
        tops = _edges(HEAD, between, [r.above + r.below for r in heights])
        self.bottom = tops[-1] + between[-1]
        return Frame(
            [lefts[k] + channels[k] + rooms[k].left for k in range(grid.columns)],
            [tops[k] + between[k] + heights[k].above for k in range(rows)],
            lefts,
            [top + self._seam(k) for k, top in enumerate(tops)],
        )

    def _in_column(self, column: int) -> Room:
        slots = self.grid.slots
        return _largest(self._rooms[name] for name, s in slots.items() if s.column == column)

    def _in_row(self, row: int) -> Room:
        return _largest(self._rooms[name] for name in self.grid.row(row))

    def _seam(self, channel: int) -> float:
        return _SEAM if self._is_seam(channel) else 0.0

    def _is_seam(self, channel: int) -> bool:
        """Whether a channel runs between cortex and thalamus."""
        bands = self.grid.bands
        inner = 0 < channel < len(bands)
        return inner and bands[channel - 1] != THALAMUS and bands[channel] == THALAMUS

    def _bands(self) -> Iterator[Group]:
        """Layers that have cells, each half way into the channels around it, and the thalamus."""
        for name in BANDS:
            rows = [k for k, band in enumerate(self.grid.bands) if band == name]
            if rows:
                top, bottom = self._upper_edge(rows[0]), self._lower_edge(rows[-1] + 1)
                fill = PALE if name == THALAMUS else PAPER
                frame = box(MARGIN, top, self.right, bottom, fill, RULE)
                words = Words((MARGIN + 8, top + 15), name, 9, GREY, bold=True)
                yield Group(f"band-{name.replace('/', '')}", (frame, words), name)

    def _upper_edge(self, channel: int) -> float:
        """Where the band below a channel begins."""
        start, width = self.frame.row_channels[channel], self.routes.row_width(channel)
        if self._is_seam(channel):
            return start + width + _SEAM / 2
        return start + (width / 2 if channel > 0 else 0.0)

    def _lower_edge(self, channel: int) -> float:
        """Where the band above a channel ends."""
        start, width = self.frame.row_channels[channel], self.routes.row_width(channel)
        if self._is_seam(channel):
            return start - _SEAM / 2
        return start + (width / 2 if channel < len(self.grid.bands) else width)


def describe(projection: Projection, kind: Kind) -> str:
    """A projection in words."""
    target = f"{projection.post}.{projection.compartment}"
    return f"{projection.name}: {projection.source} to {target}, {kind}"


def _largest(rooms: Iterator[Room]) -> Room:
    all_rooms = [Room(0.0, 0.0, _ABOVE, _BELOW), *rooms]
    return Room(
        max(r.left for r in all_rooms),
        max(r.right for r in all_rooms),
        max(r.above for r in all_rooms),
        max(r.below for r in all_rooms),
    )


def _edges(start: float, channels: Sequence[float], rooms: Sequence[float]) -> list[float]:
    """The near edge of every channel, with rooms between the channels."""
    steps = [channel + room for channel, room in zip(channels, rooms, strict=False)]
    return list(accumulate(steps, initial=start))
