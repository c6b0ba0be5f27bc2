"""The hierarchy of a network: its blocks from the inputs down to the outputs, levels in frames, wires beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from cortico.ir import Circuit
from cortico.ir.errors import SpecError
from cortico.ir.limits import DRAWN_POPULATIONS
from cortico.ir.network import Network
from cortico.ir.network.sizes import resolved, shapes_of_ports
from cortico.ir.tensors import Shape
from cortico.pictures.blocks import BETWEEN, PAD, Block, block_of
from cortico.pictures.layout import SHEET, Layout
from cortico.pictures.legend import Legend
from cortico.pictures.plan import Frame, Net, Plan
from cortico.pictures.scene import Group, Mark, Point, Scene, Words, box, elided
from cortico.pictures.style import GREY, INK, PALE, PAPER, RULE
from cortico.pictures.titles import HEAD, LINE, MARGIN, heading
from cortico.pictures.wires import branches, wire
from cortico.report.words import one_line, quantity

_NARROWEST = 316.0
_CLEAR = 5.0  #: between words and wires
_LABEL, _FRAME = 24, 40  #: characters of the name of an input, and of a frame


def hierarchy_scene(network: Network, sizes: Mapping[str, int] | None = None) -> Scene:
    """The hierarchy of a network, with counts for `sizes`, by symbol.

    SpecError for more blocks than a picture has room for; CircuitError for symbols that there are not.
    """
    plan = Plan(network)
    if len(plan.paths) > DRAWN_POPULATIONS:
        raise SpecError(
            f"a picture has room for {DRAWN_POPULATIONS} blocks, this network has {len(plan.paths):,} that "
            "are not levels that repeat"
        )
    return _Hierarchy(plan, network.flatten().bind(**(sizes or {})), sizes or {}).scene()


class _Hierarchy:
    def __init__(self, plan: Plan, flat: Circuit, sizes: Mapping[str, int]) -> None:
        self.plan, self.flat = plan, flat
        self.blocks = {path: block_of(flat, path) for path in plan.paths}
        self.labels = dict(_labels(plan.network, sizes))
        self.strip = max(block.strip for block in self.blocks.values())
        width = max(block.text for block in self.blocks.values()) + BETWEEN + self.strip + 2 * PAD
        boxes = {path: (width, block.height) for path, block in self.blocks.items()}
        boxes |= {key: (label.text + 2 * PAD, label.height) for key, label in self.labels.items()}
        self.layout = Layout(plan, boxes, (MARGIN, HEAD + 2 * LINE))
        self.width = max(self.layout.right + MARGIN, _NARROWEST)

    def scene(self) -> Scene:
        legend = Legend(
            list({p.cell_class for p in self.flat.populations}),
            list({net.kind for net, _ in self.plan.wires}),
            MARGIN,
            self.width - MARGIN,
        )
        top = self.layout.bottom + 12
        groups = (
            heading(self.flat.name, self._what(), self.width - 2 * MARGIN),
            *map(self._frame, self.plan.frames),
            *self._wires(),
            *map(self._block, self.blocks),
            *map(self._label, self.labels),
            legend.group(top),
        )
        height = top + legend.height + MARGIN
        return Scene(one_line(self.flat.name), self.width, height, groups)

    def _what(self) -> list[str]:
        counts, levels = self.flat.counts(), quantity(len(self.plan.network.levels), "level")
        areas = sum(self.blocks[first].areas for first in self.plan.drawn.values())
        return [
            f"{levels}, {quantity(areas, 'area')}",
            quantity(counts.neurons, "neuron"),
            quantity(counts.synapses, "synapse"),
        ]

    # ---- groups ----------------------------------------------------------------------------------

    def _block(self, path: str) -> Group:
        width, _ = self.layout.sizes[path]
        marks = self.blocks[path].marks(*self.layout.corner(path), width, self.strip)
        return Group(f"block-{path}", tuple(marks), path)

    def _label(self, key: str) -> Group:
        """An input or an output."""
        (x, y), (width, height) = self.layout.corner(key), self.layout.sizes[key]
        frame = box(x, y, x + width, y + height, PALE, RULE, radius=8)
        at = (x + width / 2, y + height / 2 + 3)
        name = Words(at, self.labels[key].name, 8, INK, mono=True, anchor="middle")
        return Group(key.replace(".", "put-", 1), (frame, name), self.labels[key].name)

    def _frame(self, frame: Frame) -> Group:
        left, top, right, bottom = self.layout.edges(frame)
        sheets = [SHEET * k for k in (2, 1, 0)] if frame.times > 1 else [0.0]
        marks: list[Mark] = [
            box(left + off, top + off, right + off, bottom + off, PAPER, RULE) for off in sheets
        ]
        marks += self._words(frame, top + 14)
        return Group(f"level{'s' * frame.is_outer}-{frame.levels[0]}", tuple(marks), _name(frame))

    def _words(self, frame: Frame, y: float) -> Iterator[Words]:
        """The name of a frame, and how often it stands there: between the wires that come down."""
        first, last = self.layout.columns[frame.column]
        crossing = sorted(x for x in self._down(y) if first < x < last)
        gaps = list(pairwise([first - _CLEAR, *crossing, last + _CLEAR]))
        name = Words((0, y), _name(frame), 8.5, INK, bold=True, mono=True)
        left = _fitting(gaps, name.width)[0] + _CLEAR
        yield replace(name, at=(left, y))
        words = f"{frame.times} times" if frame.is_outer else f"{frame.times} equal levels"
        note = Words((0, y), words, 8, GREY, anchor="end")
        rest = [(max(a, left + name.width), b) for a, b in gaps if b > left + name.width]
        right = _fitting(rest[::-1], note.width)
        if frame.times > 1 and right[1] - right[0] >= note.width + 2 * _CLEAR:
            yield replace(note, at=(right[1] - _CLEAR, y))

    def _down(self, y: float) -> Iterator[float]:
        """Where wires run down at a height."""
        for net, target in self.plan.wires:
            for (x, above), (_, below) in pairwise(self.layout.path(net, target)):
                if min(above, below) <= y <= max(above, below):
                    yield x

    def _wires(self) -> Iterator[Group]:
        """A group for each wire, then the dots where they part."""
        paths: dict[Net, list[tuple[Point, ...]]] = {}
        for number, (net, target) in enumerate(self.plan.wires):
            points = self.layout.path(net, target)
            paths.setdefault(net, []).append(points)
            ends = f"{net.source.removeprefix('in.')} to {target.removeprefix('out.')}"
            yield Group(f"wire-{number}", tuple(wire(points, net.kind)), f"{ends}, {net.kind}")
        dots = [dot for net, those in paths.items() for dot in branches(those, net.kind)]
        yield Group("branches", tuple(dots))


def _fitting(gaps: Sequence[tuple[float, float]], width: float) -> tuple[float, float]:
    """The first gap that has room for words, else the widest."""
    wide = (gap for gap in gaps if gap[1] - gap[0] >= width + 2 * _CLEAR)
    return next(wide, max(gaps, key=lambda gap: gap[1] - gap[0], default=(0.0, 0.0)))


def _labels(network: Network, sizes: Mapping[str, int]) -> Iterator[tuple[str, Block]]:
    """Inputs and outputs, with their shapes."""
    shapes = shapes_of_ports(network)
    for tensor in network.inputs:
        yield f"in.{tensor.name}", _named(tensor.name, resolved(tensor.given, sizes))
    for output in network.outputs:
        yield f"out.{output.name}", _named(output.name, resolved(shapes[output.source], sizes))


def _named(name: str, shape: Shape) -> Block:
    return Block(f"{elided(name, _LABEL)} ({', '.join(map(str, shape))})", (), {})


def _name(frame: Frame) -> str:
    """`layer[0 … 5]`."""
    first, last = frame.levels[0], frame.levels[-1]
    if first == last:
        return elided(first, _FRAME)
    return elided(f"{first.removesuffix(']')} … {last.rpartition('[')[2]}", _FRAME)
