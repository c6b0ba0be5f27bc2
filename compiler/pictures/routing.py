"""Wires between cells on a grid: along tracks in the channels between rows and between columns.

A wire goes from its cell into the channel above or below the row, along a track there, through a
channel between columns where it must pass rows, and along a track to its target. Wires of one net share
tracks; others never run on the same line, and none crosses a cell.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cortico.ir import Circuit, Projection
from cortico.pictures.grid import Grid, Slot
from cortico.pictures.ports import Net, Port, Side, entries, exits, net_of
from cortico.pictures.scene import Point

GAP = 6.5  #: between two tracks
_LEAST = 12.0  #: width of a channel without tracks
_CROWD = 0.15  #: how much a wire in the same channel counts, in half columns

Tracks = Mapping[Net, int]
Wire = TypeVar("Wire", bound=Hashable)


@dataclass(frozen=True)
class Way:
    """How one projection runs: channels between rows, and the channel between columns if any."""

    name: str
    net: Net
    start: Slot
    exit: Port
    end: Slot
    entry: Port
    between: int | None  #: number of the channel between columns

    @property
    def first(self) -> int:
        """The channel between rows that the axon enters."""
        return _channel(self.start, self.exit)

    @property
    def last(self) -> int | None:
        """The channel from which the target is reached; None where that is between columns."""
        return None if self.entry.side is Side.LEFT else _channel(self.end, self.entry)


@dataclass(frozen=True)
class Span:
    """How far a net runs along a channel, and to which side of the channel it leans (-1 to 1)."""

    low: float
    high: float
    lean: float


@dataclass(frozen=True)
class Routes:
    """The ways of all projections, and the tracks of all nets in every channel."""

    ways: tuple[Way, ...]
    rows: tuple[Tracks, ...]  #: for each channel between rows
    columns: tuple[Tracks, ...]  #: for each channel between columns

    def row_width(self, channel: int) -> float:
        return _width(self.rows[channel])

    def column_width(self, channel: int) -> float:
        return _width(self.columns[channel])


def route(
    circuit: Circuit,
    grid: Grid,
    projections: Sequence[Projection] | None = None,
    wide: bool = False,
) -> Routes:
    """Ways and tracks for projections of `circuit`, by default all.

    `wide` keeps a track for every net along the whole of a column, where many cells stand side by side.
    """
    ways = tuple(_ways(circuit, grid, circuit.projections if projections is None else projections))
    rows = [pack(_row_spans(ways, k, wide)) for k in range(len(grid.bands) + 1)]
    columns = [pack(_column_spans(ways, k)) for k in range(grid.columns + 1)]
    return Routes(ways, tuple(rows), tuple(columns))


@dataclass(frozen=True)
class Frame:
    """Where things are: the middle of every column and row, and the near edge of every channel."""

    columns: Sequence[float]
    rows: Sequence[float]
    column_channels: Sequence[float]
    row_channels: Sequence[float]

    def soma(self, slot: Slot) -> Point:
        return self.columns[slot.column], self.rows[slot.row]

    def at(self, slot: Slot, port: Port) -> Point:
        """Where a wire touches the cell in a slot."""
        x, y = self.soma(slot)
        dx, dy = port.point
        return x + dx, y + dy


def level(net: Net, channel: int, routes: Routes, frame: Frame) -> float:
    """Height of the track of a net in a channel between rows."""
    return frame.row_channels[channel] + GAP * (1 + routes.rows[channel][net])


def path(way: Way, routes: Routes, frame: Frame) -> tuple[Point, ...]:
    """The corners of a wire, from the axon to the synapse."""
    start, end = frame.at(way.start, way.exit), frame.at(way.end, way.entry)
    first = level(way.net, way.first, routes, frame)
    last = end[1] if way.last is None else level(way.net, way.last, routes, frame)
    corners = [start, (start[0], first)]
    if way.between is not None:
        tracks = routes.columns[way.between]
        x = frame.column_channels[way.between] + GAP * (1 + tracks[way.net])
        corners += [(x, first), (x, last)]
    if way.last is not None:
        corners.append((end[0], last))
    return (*corners, end)


# ---- ways ----------------------------------------------------------------------------------------


def _ways(circuit: Circuit, grid: Grid, projections: Sequence[Projection]) -> Iterator[Way]:
    axons = {p.name: exits(circuit, p) for p in circuit.populations}
    synapses = {p.name: entries(circuit, p) for p in circuit.populations}
    load = [0] * (grid.columns + 1)
    for projection in projections:
        start, end = grid.slots[projection.pre], grid.slots[projection.post]
        net = net_of(circuit, projection)
        leave, reach = axons[projection.pre][net], synapses[projection.post][projection.name]
        between = _between(start, leave, end, reach, load)
        if between is not None:
            load[between] += 1
        yield Way(projection.name, net, start, leave, end, reach, between)


def _between(start: Slot, leave: Port, end: Slot, reach: Port, load: Sequence[int]) -> int | None:
    """The channel between columns that makes the wire short; none where a row channel will do."""
    if reach.side is Side.LEFT:
        return end.column
    if _channel(start, leave) == _channel(end, reach):
        return None

    def detour(channel: int) -> float:
        distances = (abs(2 * channel - 2 * slot.column - 1) for slot in (start, end))
        return sum(distances) + _CROWD * load[channel]

    return min(range(len(load)), key=detour)


def _channel(slot: Slot, port: Port) -> int:
    return slot.row if port.side is Side.TOP else slot.row + 1


# ---- tracks --------------------------------------------------------------------------------------

#: A place along a channel, and to which side a wire turns there: -1 or 1.
_Turn = tuple[float, float]


def _row_spans(ways: Sequence[Way], channel: int, wide: bool) -> dict[Net, Span]:
    turns: dict[Net, list[_Turn]] = {}
    for way in ways:
        if way.first == channel:
            turns.setdefault(way.net, []).extend(_at_cell(way.start, way.exit, wide))
        if way.last == channel:
            turns.setdefault(way.net, []).extend(_at_cell(way.end, way.entry, wide))
        if way.between is not None and channel in (way.first, way.last):
            turns[way.net] += _through(way, channel)
    return {net: _span(of) for net, of in turns.items()}


def _at_cell(slot: Slot, port: Port, wide: bool) -> Iterator[_Turn]:
    lean = 1.0 if port.side is Side.TOP else -1.0
    for offset in (-0.5, 0.5) if wide else (port.offset / 100,):
        yield 2 * slot.column + 1 + offset, lean


def _through(way: Way, channel: int) -> Iterator[_Turn]:
    """The turn into the channel between columns, which reaches as far as that is wide."""
    assert way.between is not None
    other = way.first if channel == way.last else way.last
    down = 2 * way.end.row + 1 if other is None else 2 * other
    lean = 0.5 if down > 2 * channel else -0.5
    yield 2 * way.between - 0.4, lean
    yield 2 * way.between + 0.4, lean


def _column_spans(ways: Sequence[Way], channel: int) -> dict[Net, Span]:
    turns: dict[Net, list[_Turn]] = {}
    for way in ways:
        if way.between != channel:
            continue
        here = turns.setdefault(way.net, [])
        here += _across(way.first, way.start, channel)
        if way.last is None:
            here.append((2 * way.end.row + 1 + way.entry.offset / 100, 1.0))
        else:
            here += _across(way.last, way.end, channel)
    return {net: _span(of) for net, of in turns.items()}


def _across(row_channel: int, slot: Slot, channel: int) -> Iterator[_Turn]:
    lean = -1.0 if slot.column < channel else 1.0
    yield 2 * row_channel - 0.4, lean
    yield 2 * row_channel + 0.4, lean


def _span(turns: Sequence[_Turn]) -> Span:
    places = [place for place, _ in turns]
    return Span(min(places), max(places), sum(lean for _, lean in turns) / len(turns))


def pack(spans: Mapping[Wire, Span]) -> dict[Wire, int]:
    """A track for each net, as few as can be; those that lean to one side stand there."""
    tracks: list[list[Span]] = []
    found: dict[Wire, int] = {}
    for net, span in sorted(spans.items(), key=lambda item: (item[1].lean, item[1].low)):
        free = (k for k, taken in enumerate(tracks) if all(_apart(span, s) for s in taken))
        found[net] = next(free, len(tracks))
        if found[net] == len(tracks):
            tracks.append([])
        tracks[found[net]].append(span)
    return found


def _apart(a: Span, b: Span) -> bool:
    return a.high < b.low - 0.05 or b.high < a.low - 0.05


def _width(tracks: Tracks) -> float:
    return max(_LEAST, GAP * (max(tracks.values(), default=-1) + 2))
