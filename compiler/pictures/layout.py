"""Where the boxes and wires of a network's hierarchy are.

A wire goes straight down to the next row. Others go around: those of a block at the right of its column, those
that come from elsewhere at the left of the one that hears them. A box that stands beside such a lane is reached
from there, another from above.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

from cortico.pictures.plan import Frame, Net, Plan
from cortico.pictures.routing import GAP, Span, pack
from cortico.pictures.scene import Point

SHEET = 4.0  #: from a frame to the one behind it, where levels are drawn once
_FRAME_TOP, _FRAME_BOTTOM = 27.0, 8.0
_OVER = 7.0  #: from the edges of frames above to the upper edge of a frame
_LEAST = 16.0  #: height of a channel without tracks
_SIDE = 12.0  #: between boxes and the lanes beside them
_BESIDE = 20.0  #: between two boxes of a row, and between two columns
_PORT = 12.0  #: from one wire to the next, onto one box
_APART = 3.0  #: at least, between wires up and down of a channel
_INSET = (2.0, 5.0)  #: of a frame, and of one within another, from the end of the lanes

Size = tuple[float, float]  #: width and height


class Layout:
    """Places of boxes of given sizes, by the keys of a plan, with the upper left corner at `origin`."""

    def __init__(self, plan: Plan, sizes: Mapping[str, Size], origin: Point) -> None:
        self.plan, self.sizes, self.origin = plan, sizes, origin

    def corner(self, key: str) -> Point:
        """The upper left corner of a box, which stands in the middle of its row."""
        row = self.plan.places[key].row
        return self._left(key), self._tops[row] + (self._height(row) - self.sizes[key][1]) / 2

    @cached_property
    def right(self) -> float:
        """Right of all columns."""
        last = self.plan.columns - 1
        return self.columns[last][1] + self._room(last, "right") + 2 * SHEET

    @cached_property
    def bottom(self) -> float:
        """Below all rows."""
        return self._tops[-1] + self._height(self.plan.rows - 1)

    def path(self, net: Net, target: str) -> tuple[Point, ...]:
        """The corners of a wire."""
        return tuple(
            self._straight(net, target)
            if self._is_straight(net, target)
            else self._around(net, target)
        )

    def edges(self, frame: Frame) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of a frame."""
        around = [f for f in self.plan.frames if f.is_outer and {*frame.levels} < {*f.levels}]
        (left, right), inset = self.columns[frame.column], _INSET[bool(around)]
        first = any(f.first == frame.first for f in around)
        top = self._under(frame.first - 1) + _OVER + first * _FRAME_TOP
        bottom = self._tops[frame.last] + self._height(frame.last)
        return (
            left - self._room(frame.column, "left") + inset,
            top,
            right + self._room(frame.column, "right") - inset,
            bottom + _FRAME_BOTTOM * (1 + frame.is_outer),
        )

    # ---- columns ---------------------------------------------------------------------------------

    @cached_property
    def columns(self) -> list[tuple[float, float]]:
        """Left and right edge of the boxes of each column."""
        found, x = [], self.origin[0]
        for column in range(self.plan.columns):
            left = x + self._room(column, "left")
            rows = (self.plan.row(column, row) for row in range(self.plan.rows))
            found.append((left, left + max(map(self._wide, rows))))
            x = found[-1][1] + self._room(column, "right") + _BESIDE
        return found

    def _wide(self, row: Sequence[str]) -> float:
        return sum(self.sizes[key][0] + _BESIDE for key in row) - _BESIDE

    def _left(self, key: str) -> float:
        place = self.plan.places[key]
        row = self.plan.row(place.column, place.row)
        left, right = self.columns[place.column]
        before = sum(self.sizes[each][0] + _BESIDE for each in row[: place.slot])
        return (left + right - self._wide(row)) / 2 + before

    # ---- lanes beside columns --------------------------------------------------------------------

    @cached_property
    def _lanes(self) -> dict[tuple[int, str], dict[Net, int]]:
        """For each side of each column, the lane of each net, from the boxes outward."""
        spans: dict[tuple[int, str], dict[Net, list[int]]] = {}
        for net, target in self.plan.wires:
            if not self._is_straight(net, target):
                here = spans.setdefault(self._side(net, target), {}).setdefault(net, [])
                here += [2 * self.plan.places[net.source].row + 1, 2 * self.plan.places[target].row]
        return {
            side: pack({n: Span(min(r), max(r), max(r) - min(r)) for n, r in nets.items()})
            for side, nets in spans.items()
        }

    def _is_straight(self, net: Net, target: str) -> bool:
        """Whether a wire goes down to the next row of its column."""
        source, end = self.plan.places[net.source], self.plan.places[target]
        return source.column == end.column and end.row == source.row + 1

    def _side(self, net: Net, target: str) -> tuple[int, str]:
        """The column and its side at which a wire runs down or up."""
        source, end = self.plan.places[net.source], self.plan.places[target]
        own = source.column == end.column and net.source in self.plan.drawn
        return end.column, "right" if own else "left"

    def _room(self, column: int, side: str) -> float:
        """What lanes need beside the boxes, with the frame around them."""
        lanes = self._lanes.get((column, side), {})
        return _SIDE + (GAP * (max(lanes.values()) + 1) if lanes else 0.0)

    def _lane(self, net: Net, side: tuple[int, str]) -> float:
        left, right = self.columns[side[0]]
        off = _SIDE / 2 + GAP * (self._lanes[side][net] + 0.5)
        return right + off if side[1] == "right" else left - off

    # ---- where wires touch boxes -----------------------------------------------------------------

    def _exit(self, net: Net) -> float:
        """Where a net leaves its box."""
        nets = list(dict.fromkeys(n for n, _ in self.plan.wires if n.source == net.source))
        middle = self._left(net.source) + self.sizes[net.source][0] / 2
        return _spread(middle, len(nets))[nets.index(net)]

    def _entry(self, net: Net, target: str) -> float:
        """Where a wire reaches a box from above: straight down where all can, else beside each other."""
        nets = self._touching(target, lambda n: not self._at_side(n, target))
        nets.sort(key=self._exit)
        xs, left, width = [self._exit(n) for n in nets], self._left(target), self.sizes[target][0]
        inside = left + _PORT <= xs[0] and xs[-1] <= left + width - _PORT
        if not inside or any(b - a < _PORT for a, b in pairwise(xs)):
            xs = self._beside_exits(_spread(left + width / 2, len(nets)), nets, target)
        return xs[nets.index(net)]

    def _beside_exits(self, xs: list[float], nets: list[Net], target: str) -> list[float]:
        """The places, moved where another net would come down from the row above on the same line."""
        row = self.plan.places[target].row - 1
        above = {n for n, _ in self.plan.wires if self.plan.places[n.source].row == row}
        pairs = [(k, self._exit(other)) for k, net in enumerate(nets) for other in above - {net}]
        moved = ([x + _APART * off for x in xs] for off in (0, 1, -1, 2, -2, 3, -3))
        free = (each for each in moved if all(abs(each[k] - x) >= _APART for k, x in pairs))
        return next(free, xs)

    def _at_side(self, net: Net, target: str) -> bool:
        """Whether a wire comes by a lane to a box that stands beside it."""
        if self._is_straight(net, target):
            return False
        (column, side), place = self._side(net, target), self.plan.places[target]
        row = self.plan.row(column, place.row)
        return row[0 if side == "left" else -1] == target

    def _side_entry(self, net: Net, target: str) -> float:
        """Where a wire reaches a box from a side: below each other."""
        side = self._side(net, target)
        nets = self._touching(
            target, lambda n: self._at_side(n, target) and self._side(n, target) == side
        )
        middle = self.corner(target)[1] + self.sizes[target][1] / 2
        return _spread(middle, len(nets))[nets.index(net)]

    def _touching(self, target: str, where: Callable[[Net], bool]) -> list[Net]:
        return [net for net, end in self.plan.wires if end == target and where(net)]

    # ---- channels between rows -------------------------------------------------------------------

    @cached_property
    def _tracks(self) -> list[dict[Net, int]]:
        """For each channel below a row, the track of each net that runs along it."""
        ends: list[dict[Net, list[float]]] = [{} for _ in range(self.plan.rows)]
        for net, target in self.plan.wires:
            for channel, *xs in self._runs(net, target):
                if abs(xs[0] - xs[1]) > 0.1:
                    ends[int(channel)].setdefault(net, []).extend(xs)
        spans = ({n: Span(min(xs) - 3, max(xs) + 3, 0) for n, xs in nets.items()} for nets in ends)
        return list(map(pack, spans))

    def _runs(self, net: Net, target: str) -> Iterator[tuple[float, float, float]]:
        """The channels that a wire runs along, each from where to where."""
        row = self.plan.places[net.source].row
        if self._is_straight(net, target):
            yield row, self._exit(net), self._entry(net, target)
            return
        lane = self._lane(net, self._side(net, target))
        yield row, self._exit(net), lane
        if not self._at_side(net, target):
            yield self.plan.places[target].row - 1, lane, self._entry(net, target)

    def _track(self, net: Net, channel: int) -> float:
        top = self._under(channel) + self._starts(channel + 1)
        return top + GAP * (self._tracks[channel].get(net, 0) + 1)

    # ---- rows ------------------------------------------------------------------------------------

    @cached_property
    def _tops(self) -> list[float]:
        """The upper edge of each row."""
        found, y = [], self.origin[1]
        for row, tracks in enumerate(self._tracks):
            found.append(y)
            y += self._height(row) + self._ends(row) + self._starts(row + 1)
            y += _LEAST + GAP * (max(tracks.values(), default=-1) + 1)
        return found

    def _height(self, row: int) -> float:
        return max(self.sizes[key][1] for key, p in self.plan.places.items() if p.row == row)

    def _under(self, row: int) -> float:
        """Below a row and the edges of frames that end with it."""
        return self._tops[row] + self._height(row) + self._ends(row)

    def _ends(self, row: int) -> float:
        """The room of frames that end with a row."""
        ends = Counter(f.column for f in self.plan.frames if f.last == row)
        return max(ends.values()) * _FRAME_BOTTOM + 2 * SHEET if ends else 0.0

    def _starts(self, row: int) -> float:
        """The room of frames that begin with a row."""
        starts = Counter(f.column for f in self.plan.frames if f.first == row)
        return max(starts.values(), default=0) * _FRAME_TOP

    # ---- wires -----------------------------------------------------------------------------------

    def _start(self, net: Net) -> Point:
        return self._exit(net), self.corner(net.source)[1] + self.sizes[net.source][1]

    def _straight(self, net: Net, target: str) -> Iterator[Point]:
        x, y = self._start(net)
        into = self._entry(net, target)
        yield x, y
        if abs(into - x) > 0.1:
            level = self._track(net, self.plan.places[net.source].row)
            yield from ((x, level), (into, level))
        yield into, self.corner(target)[1]

    def _around(self, net: Net, target: str) -> Iterator[Point]:
        x, y = self._start(net)
        side, level = self._side(net, target), self._track(net, self.plan.places[net.source].row)
        lane = self._lane(net, side)
        yield from ((x, y), (x, level), (lane, level))
        left, top = self.corner(target)
        if self._at_side(net, target):
            height = self._side_entry(net, target)
            edge = left if side[1] == "left" else left + self.sizes[target][0]
            yield from ((lane, height), (edge, height))
        else:
            level = self._track(net, self.plan.places[target].row - 1)
            into = self._entry(net, target)
            yield from ((lane, level), (into, level), (into, top))


def _spread(middle: float, count: int) -> list[float]:
    """Places for so many wires around the middle."""
    return [middle + _PORT * (k - (count - 1) / 2) for k in range(count)]
