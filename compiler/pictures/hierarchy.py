"""The hierarchy of a network: its blocks from the inputs down to the outputs, levels in frames, wires beside them.

A wire goes straight down to the next row. Others go around: those of a block at the right of its column, those
that come from elsewhere at the left of the one that hears them. What hears them stands at that edge, or is
reached from above.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property

from cortico.ir import Circuit, Role
from cortico.ir.errors import SpecError
from cortico.ir.limits import DRAWN_POPULATIONS
from cortico.ir.network import Network, Port
from cortico.ir.network.sizes import shapes_of_ports
from cortico.pictures.blocks import BETWEEN, PAD, Block, block_of
from cortico.pictures.legend import Legend
from cortico.pictures.plan import Frame, Net, Plan
from cortico.pictures.routing import GAP, Span, pack
from cortico.pictures.scene import Group, Mark, Point, Scene, Words, box, elided
from cortico.pictures.style import GREY, INK, PALE, PAPER, RULE
from cortico.pictures.titles import HEAD, LINE, MARGIN, heading
from cortico.pictures.wires import branches, wire
from cortico.report.words import one_line, quantity

_FRAME_TOP, _FRAME_BOTTOM = 27.0, 8.0
_SHEET = 4.0  #: from a frame to the one behind it, where levels are drawn once
_LEAST = 16.0  #: height of a channel without tracks
_SIDE = 12.0  #: between boxes and the lanes beside them
_BESIDE = 20.0  #: between two boxes of a row, and between two columns
_NARROWEST = 300.0
_PORT = 12.0  #: from one wire to the next, onto one box
_MOST = 40


def hierarchy_scene(network: Network, sizes: Mapping[str, int] | None = None) -> Scene:
    """The hierarchy of a network, with counts for `sizes`, by symbol.

    SpecError for more blocks than a picture has room for; CircuitError for symbols that there are not.
    """
    plan = Plan(network)
    if len(plan.paths) > DRAWN_POPULATIONS:
        raise SpecError(
            f"a picture has room for {DRAWN_POPULATIONS} blocks, {len(plan.paths):,} of this network differ"
        )
    return _Hierarchy(plan, network.flatten().bind(**(sizes or {}))).scene()


class _Hierarchy:
    def __init__(self, plan: Plan, flat: Circuit) -> None:
        self.plan, self.flat = plan, flat
        self.blocks = dict(self._boxes())
        drawn = [self.blocks[path] for path in plan.paths]
        self.strip = max(block.strip for block in drawn)
        self.width_of_blocks = max(block.text for block in drawn) + self.strip + BETWEEN + 2 * PAD

    def scene(self) -> Scene:
        legend = Legend(
            list({p.cell_class for p in self.flat.populations}),
            list({net.kind for net, _ in self.plan.wires}),
            MARGIN,
            self.width - MARGIN,
        )
        groups = (
            heading(self.flat.name, self._what(), self.width - 2 * MARGIN),
            *(self._frame(frame) for frame in self.plan.frames),
            *self._wires(),
            *(self._item(key) for key in self.plan.places),
            legend.group(self.bottom + 12),
        )
        height = self.bottom + 12 + legend.height + MARGIN
        return Scene(one_line(self.flat.name), self.width, height, groups)

    def _what(self) -> list[str]:
        counts, levels = self.flat.counts(), quantity(len(self.plan.network.levels), "level")
        areas = sum(self.blocks[first].areas for first in self.plan.drawn.values())
        return [
            f"{levels}, {quantity(areas, 'area')}",
            quantity(counts.neurons, "neuron"),
            quantity(counts.synapses, "synapse"),
        ]

    # ---- boxes -----------------------------------------------------------------------------------

    def _boxes(self) -> Iterator[tuple[str, Block]]:
        network = self.plan.network
        shapes = shapes_of_ports(network)
        for path in self.plan.paths:
            yield path, block_of(self.flat, path)
        for tensor in network.inputs:
            yield f"in.{tensor.name}", _label(tensor.name, tensor.given)
        for output in network.outputs:
            shape = shapes[Port(output.source.name, output.source.path)]
            yield f"out.{output.name}", _label(output.name, shape)

    def _width(self, key: str) -> float:
        return self.width_of_blocks if key in self.plan.drawn else self.blocks[key].text + 2 * PAD

    def _item(self, key: str) -> Group:
        x, y = self.corner(key)
        if key in self.plan.drawn:
            marks = tuple(self.blocks[key].marks(x, y, self._width(key), self.strip))
            return Group(f"block-{key}", marks, key)
        block = self.blocks[key]
        frame = box(x, y, x + self._width(key), y + block.height, PALE, RULE, radius=8)
        at = (x + self._width(key) / 2, y + block.height / 2 + 3)
        name = Words(at, block.name, 8, INK, mono=True, anchor="middle")
        return Group(key.replace(".", "put-", 1), (frame, name), block.name)

    # ---- where things are, from left to right ----------------------------------------------------

    @cached_property
    def lanes(self) -> dict[tuple[int, str], dict[Net, int]]:
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
        source, end = self.plan.places[net.source], self.plan.places[target]
        own = source.column == end.column and net.source in self.plan.drawn
        return end.column, "right" if own else "left"

    @cached_property
    def columns(self) -> list[tuple[float, float]]:
        """Left and right edge of the boxes of each column."""
        found, x = [], MARGIN
        for column in range(self.plan.columns):
            left = x + self._room(column, "left")
            rows = [self.plan.row(column, row) for row in range(self.plan.rows)]
            widest = max(sum(map(self._width, row)) + _BESIDE * (len(row) - 1) for row in rows)
            found.append((left, left + widest))
            x = left + widest + self._room(column, "right") + _BESIDE
        return found

    def _room(self, column: int, side: str) -> float:
        """What lanes need beside the boxes, with the frame around them."""
        lanes = self.lanes.get((column, side), {})
        return _SIDE + (GAP * (max(lanes.values()) + 1) if lanes else 0.0)

    @cached_property
    def width(self) -> float:
        last = self.plan.columns - 1
        return max(self.columns[-1][1] + self._room(last, "right") + 2 * _SHEET, _NARROWEST) + MARGIN

    def lane(self, net: Net, side: tuple[int, str]) -> float:
        left, right = self.columns[side[0]]
        off = _SIDE / 2 + GAP * (self.lanes[side][net] + 0.5)
        return right + off if side[1] == "right" else left - off

    def _left(self, key: str) -> float:
        place = self.plan.places[key]
        row = self.plan.row(place.column, place.row)
        left, right = self.columns[place.column]
        wide = sum(map(self._width, row)) + _BESIDE * (len(row) - 1)
        before = sum(self._width(each) + _BESIDE for each in row[: place.slot])
        return (left + right - wide) / 2 + before

    def exit(self, net: Net) -> float:
        """Where a net leaves its box."""
        nets = [n for n in dict.fromkeys(n for n, _ in self.plan.wires) if n.source == net.source]
        middle = self._left(net.source) + self._width(net.source) / 2
        return middle + _PORT * (nets.index(net) - (len(nets) - 1) / 2)

    @cached_property
    def entries(self) -> dict[tuple[Net, str], float]:
        """Where wires reach boxes from above: straight down where they can, else beside each other."""
        found: dict[tuple[Net, str], float] = {}
        for target in self.plan.places:
            nets = [n for n, t in self.plan.wires if t == target and not self._at_side(n, t)]
            left, width = self._left(target), self._width(target)
            straight = [self.exit(net) for net in nets]
            if len(nets) > 1 or not _is_within(straight, left, width):
                nets.sort(key=self.exit)
                apart = min([b - a for a, b in zip(sorted(straight), sorted(straight)[1:])], default=0)
                if apart < _PORT or not _is_within(straight, left, width):
                    middle = left + width / 2
                    straight = [middle + _PORT * (k - (len(nets) - 1) / 2) for k in range(len(nets))]
                straight.sort()
            found |= {(net, target): x for net, x in zip(nets, straight, strict=True)}
        return found

    def _at_side(self, net: Net, target: str) -> bool:
        """Whether a wire comes by a lane to a box that stands beside it."""
        if self._is_straight(net, target):
            return False
        (column, side), place = self._side(net, target), self.plan.places[target]
        row = self.plan.row(column, place.row)
        return row[0 if side == "left" else -1] == target

    # ---- from top to bottom ----------------------------------------------------------------------

    @cached_property
    def tracks(self) -> list[dict[Net, int]]:
        """For each channel below a row, the track of each net that runs along it."""
        ends: list[dict[Net, list[float]]] = [{} for _ in range(self.plan.rows)]
        for net, target in self.plan.wires:
            start = self.plan.places[net.source].row
            if self._is_straight(net, target):
                runs = {start: (self.exit(net), self.entries[net, target])}
            else:
                x = self.lane(net, self._side(net, target))
                runs = {start: (self.exit(net), x)}
                if not self._at_side(net, target):
                    above = self.plan.places[target].row - 1
                    runs[above] = (*runs.get(above, ()), x, self.entries[net, target])
            for channel, xs in runs.items():
                if max(xs) - min(xs) > 0.1:
                    ends[channel].setdefault(net, []).extend(xs)
        return [
            pack({net: Span(min(xs) - 3, max(xs) + 3, 0) for net, xs in nets.items()})
            for nets in ends
        ]

    @cached_property
    def tops(self) -> list[float]:
        """The upper edge of each row."""
        found, y = [], HEAD + 2 * LINE
        for row in range(self.plan.rows):
            found.append(y)
            y += self._height(row) + self._head(row) + self._room_of_tracks(row)
        return found

    def _height(self, row: int) -> float:
        keys = [key for key, place in self.plan.places.items() if place.row == row]
        return max(self.blocks[key].height for key in keys)

    def _head(self, row: int) -> float:
        """The part of the channel below a row that edges of frames take."""
        return self._ends(row) + self._starts(row + 1)

    def _ends(self, row: int) -> float:
        ends = Counter(f.column for f in self.plan.frames if f.last == row)
        return max(ends.values()) * _FRAME_BOTTOM + 2 * _SHEET if ends else 0.0

    def _starts(self, row: int) -> float:
        starts = Counter(f.column for f in self.plan.frames if f.first == row)
        return max(starts.values(), default=0) * _FRAME_TOP

    def _room_of_tracks(self, row: int) -> float:
        tracks = self.tracks[row]
        return _LEAST + (GAP * (max(tracks.values()) + 1) if tracks else 0.0)

    @cached_property
    def bottom(self) -> float:
        return self.tops[-1] + self._height(self.plan.rows - 1)

    def corner(self, key: str) -> Point:
        """Upper left corner of a box: in the middle of its row."""
        row = self.plan.places[key].row
        return self._left(key), self.tops[row] + (self._height(row) - self.blocks[key].height) / 2

    def track(self, net: Net, channel: int) -> float:
        top = self.tops[channel] + self._height(channel) + self._head(channel)
        return top + GAP * (self.tracks[channel].get(net, 0) + 1)

    # ---- frames ----------------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> Group:
        inner = any(f.is_outer and {*frame.levels} < {*f.levels} for f in self.plan.frames)
        (first, last), inset = self.columns[frame.column], 5.0 if inner else 2.0
        left = first - self._room(frame.column, "left") + inset
        right = last + self._room(frame.column, "right") - inset
        channel = frame.first - 1
        top = self.tops[channel] + self._height(channel) + self._ends(channel) + 7
        top += _FRAME_TOP if inner and self._begins_another(frame) else 0.0
        bottom = self.tops[frame.last] + self._height(frame.last) + _FRAME_BOTTOM
        bottom += _FRAME_BOTTOM if frame.is_outer else 0.0
        sheets = [_SHEET * k for k in (2, 1, 0)] if frame.times > 1 else [0.0]
        marks: list[Mark] = [
            box(left + off, top + off, right + off, bottom + off, PAPER, RULE) for off in sheets
        ]
        name = _name(frame)
        marks.append(Words((first, top + 14), name, 8.5, INK, bold=True, mono=True))
        if frame.times > 1:
            words = f"{frame.times} times" if frame.is_outer else f"{frame.times} equal levels"
            marks.append(Words((last, top + 14), words, 8, GREY, anchor="end"))
        outer = "s" * frame.is_outer
        return Group(f"level{outer}-{frame.levels[0].path}", tuple(marks), name)

    def _begins_another(self, frame: Frame) -> bool:
        """Whether the frame around this one begins with it."""
        return any(
            f.is_outer and (f.first, f.column) == (frame.first, frame.column)
            for f in self.plan.frames
        )

    # ---- wires -----------------------------------------------------------------------------------

    def _wires(self) -> Iterator[Group]:
        paths: dict[Net, list[tuple[Point, ...]]] = {}
        for number, (net, target) in enumerate(self.plan.wires):
            points = tuple(self._points(net, target))
            paths.setdefault(net, []).append(points)
            words = f"{net.source.removeprefix('in.')} to {target.removeprefix('out.')}, {net.kind}"
            yield Group(f"wire-{number}", tuple(wire(points, net.kind)), words)
        dots = [dot for net, those in paths.items() for dot in branches(those, net.kind)]
        yield Group("branches", tuple(dots))

    def _points(self, net: Net, target: str) -> Iterator[Point]:
        source, end = self.plan.places[net.source], self.plan.places[target]
        x, y = self.exit(net), self.corner(net.source)[1] + self.blocks[net.source].height
        left, top = self.corner(target)
        yield x, y
        if self._is_straight(net, target):
            into = self.entries[net, target]
            if abs(into - x) > 0.1:
                level = self.track(net, source.row)
                yield from ((x, level), (into, level))
            yield into, top
            return
        side = self._side(net, target)
        lane, level = self.lane(net, side), self.track(net, source.row)
        yield from ((x, level), (lane, level))
        if self._at_side(net, target):
            height = self._side_height(net, target)
            edge = left if side[1] == "left" else left + self._width(target)
            yield from ((lane, height), (edge, height))
        else:
            level, into = self.track(net, end.row - 1), self.entries[net, target]
            yield from ((lane, level), (into, level), (into, top))

    def _side_height(self, net: Net, target: str) -> float:
        """Wires to one side of a box end below each other."""
        side = self._side(net, target)[1]
        nets = [
            n
            for n, t in self.plan.wires
            if t == target and self._at_side(n, t) and self._side(n, t)[1] == side
        ]
        middle = self.corner(target)[1] + self.blocks[target].height / 2
        return middle + _PORT * (nets.index(net) - (len(nets) - 1) / 2)


def _label(name: str, shape: tuple[object, ...]) -> Block:
    return Block(f"{elided(name, 24)} ({', '.join(map(str, shape))})", (), {})


def _name(frame: Frame) -> str:
    """`layer[0 … 5]`."""
    first, last = frame.levels[0].path, frame.levels[-1].path
    if first == last:
        return elided(first, _MOST)
    number = last.rpartition("[")[2]
    return elided(f"{first.removesuffix(']')} … {number}", _MOST)


def _is_within(xs: list[float], left: float, width: float) -> bool:
    return all(left + _PORT <= x <= left + width - _PORT for x in xs)
