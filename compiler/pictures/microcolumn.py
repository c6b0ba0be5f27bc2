"""One microcolumn with its cells side by side, and the thalamic cells that it hears and drives.

Where every cell of one population projects to every cell of another, all share one wire that branches.
Where the cells of both go by the same index, each synapse has a line of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cortico.ir import Circuit, Population, Projection, Role
from cortico.ir.names import axes_of_role, space_axes
from cortico.pictures.diagram import Diagram, Room, describe
from cortico.pictures.glyphs import cell, dendrites
from cortico.pictures.grid import BANDS, Grid, Slot, band_of
from cortico.pictures.ports import Net, entries, exits, net_of
from cortico.pictures.routing import Way, path, route
from cortico.pictures.scene import (
    Disc,
    Group,
    Mark,
    Point,
    Scene,
    Shape,
    Words,
    elided,
    text_width,
)
from cortico.pictures.style import GREY, LINES, kind_of
from cortico.pictures.titles import MARGIN
from cortico.pictures.wires import branches, stem, wire
from cortico.report.words import number

MOST_CELLS = 6  #: of a population that are drawn; the others are counted
_CELL = 52.0  #: from one cell to the next
_LEFT, _BESIDE = 34.0, 12.0
_NAME, _SMALL, _MOST_NAME = 9.0, 7.0, 26


def microcolumn_scene(circuit: Circuit) -> Scene:
    """The cells of one area for one query and one source token, of any circuit."""
    return _Microcolumn(circuit).scene()


@dataclass(frozen=True)
class _Cell:
    """One cell that is drawn: its index over the axes that differ within a microcolumn, its place."""

    index: Mapping[str, int]
    shift: float  #: to the right of the first cell


class _Microcolumn:
    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.located = (*axes_of_role(circuit, Role.AREA), *axes_of_role(circuit, Role.COLUMN))
        self.rows = [p for band in BANDS for p in circuit.populations if band_of(p) == band]
        self.cells = {p.name: list(self._shown(p)) for p in self.rows}
        self.bundled = [p for p in circuit.projections if not self._shared_axes(p)]
        slots = {p.name: Slot(k, 0) for k, p in enumerate(self.rows)}
        grid = Grid(tuple(map(band_of, self.rows)), 1, slots)
        routes = route(circuit, grid, self.bundled, wide=True)
        rooms = {p.name: Room(_LEFT, self._width(p), 30, 28) for p in self.rows}
        self.diagram = Diagram(circuit, grid, routes, rooms, self._gutter(), margin_right=84)
        self.ways = {way.name: way for way in routes.ways}

    def scene(self) -> Scene:
        groups = [
            *map(self._projection, self.circuit.projections),
            self._branches(),
            *map(self._population, self.rows),
        ]
        return self.diagram.scene(self._subtitle(), groups)

    def _subtitle(self) -> str:
        columns = [a for a in axes_of_role(self.circuit, Role.COLUMN) if self._in_cortex(a)]
        if not columns:
            return "the cells of one area; tokens come one after another"
        return f"one microcolumn of one area: one token for {' and one for '.join(columns)}"

    # ---- cells -----------------------------------------------------------------------------------

    def _free(self, population: Population) -> tuple[str, ...]:
        """The axes along which the cells of a microcolumn differ."""
        axes = space_axes(self.circuit, population)
        return tuple(axis for axis in axes if axis not in self.located)

    def _sizes(self, population: Population) -> list[int]:
        """How many cells along each free axis; as many as are drawn where that is a symbol."""
        extents = [self.circuit.axis(axis).extent for axis in self._free(population)]
        return [extent if isinstance(extent, int) else MOST_CELLS + 1 for extent in extents]

    def _shown(self, population: Population) -> Iterator[_Cell]:
        """The first cells, and the last one behind a gap."""
        axes, sizes = self._free(population), self._sizes(population)
        indices = list(itertools.islice(itertools.product(*map(range, sizes)), MOST_CELLS + 1))
        shifts = [_CELL * k for k in range(len(indices))]
        if len(indices) > MOST_CELLS:
            last = tuple(size - 1 for size in sizes)
            indices = [*indices[: MOST_CELLS - 1], last]
            shifts = [*shifts[: MOST_CELLS - 1], _CELL * (MOST_CELLS - 0.5)]
        for index, shift in zip(indices, shifts, strict=True):
            yield _Cell(dict(zip(axes, index, strict=True)), shift)

    def _shared_axes(self, projection: Projection) -> list[tuple[str, str]]:
        """The axes by which cells of both ends are matched within a microcolumn: of the one, of the other."""
        pre, post = (self.circuit.population(n) for n in (projection.pre, projection.post))
        pairs = self.circuit.read_as(projection).items()
        return [(a, b) for a, b in pairs if a in self._free(pre) and b in self._free(post)]

    # ---- wires -----------------------------------------------------------------------------------

    def _projection(self, projection: Projection) -> Group:
        kind = kind_of(self.circuit, projection)
        marks = (
            self._bundle(projection) if projection.name in self.ways else self._pairs(projection)
        )
        return Group(f"projection-{projection.name}", tuple(marks), describe(projection, kind))

    def _bundle(self, projection: Projection) -> Iterator[Mark]:
        way = self.ways[projection.name]
        for points in self._leaving(way):
            yield stem(points, way.net.kind)
        for points in self._arriving(way):
            yield from wire(points, way.net.kind)

    def _trunk(self, way: Way) -> tuple[Point, ...]:
        """The wire between those cells of both ends that stand nearest to its channel."""
        points = list(path(way, self.diagram.routes, self.diagram.frame))
        leave, reach = (self._ordered(way, name)[0].shift for name in self._ends(way))
        moved = [(x + leave, y) for x, y in points[:2]] + points[2:]
        if way.last is None:
            return tuple(moved)
        return (*moved[:-2], *((x + reach, y) for x, y in points[-2:]))

    def _leaving(self, way: Way) -> Iterator[Sequence[Point]]:
        """The axons of the other cells, each to where it joins the one before."""
        (x, y), (_, height), *_ = self._trunk(way)
        cells = self._ordered(way, self._ends(way)[0])
        for before, each in itertools.pairwise(c.shift - cells[0].shift for c in cells):
            yield ((x + each, y), (x + each, height), (x + before, height))

    def _arriving(self, way: Way) -> Iterator[Sequence[Point]]:
        """The wire to its first target, then the branches, each from where the one before leaves."""
        trunk = self._trunk(way)
        yield trunk
        (_, height), (x, y) = trunk[-2:]
        cells = self._ordered(way, self._ends(way)[1])
        for before, each in itertools.pairwise(c.shift - cells[0].shift for c in cells):
            if way.last is None:  # along the somata
                yield ((x + before, y), (x + each, y))
            else:
                yield ((x + before, height), (x + each, height), (x + each, y))

    def _ordered(self, way: Way, population: str) -> list[_Cell]:
        """The cells of a population, beginning at the channel that the wire runs in."""
        cells = self.cells[population]
        return cells[::-1] if way.between == 1 else cells

    def _ends(self, way: Way) -> tuple[str, str]:
        projection = next(p for p in self.bundled if p.name == way.name)
        return projection.pre, projection.post

    def _branches(self) -> Group:
        paths: dict[Net, list[Sequence[Point]]] = {}
        for way in self.ways.values():
            paths.setdefault(way.net, []).extend([*self._leaving(way), *self._arriving(way)])
        dots = [dot for net, those in paths.items() for dot in branches(those, net.kind)]
        return Group("branches", tuple(dots))

    def _pairs(self, projection: Projection) -> Iterator[Mark]:
        """A line for each synapse between cells that are drawn."""
        look = LINES[kind_of(self.circuit, projection)]
        pre, post = (self.circuit.population(n) for n in (projection.pre, projection.post))
        leave = exits(self.circuit, pre)[net_of(self.circuit, projection)]
        reach = entries(self.circuit, post)[projection.name]
        slots, frame = self.diagram.grid.slots, self.diagram.frame
        (x, y), (u, v) = frame.at(slots[pre.name], leave), frame.at(slots[post.name], reach)
        shared = self._shared_axes(projection)
        for one, other in itertools.product(self.cells[pre.name], self.cells[post.name]):
            if all(one.index[own] == other.index[read] for own, read in shared):
                end = (u + other.shift, v)
                yield Shape(((x + one.shift, y), end), look.colour, 0.8, look.dash)
                yield Disc(end, 2.0, look.colour)

    # ---- populations -----------------------------------------------------------------------------

    def _population(self, population: Population) -> Group:
        x, y = self.diagram.frame.soma(self.diagram.grid.slots[population.name])
        cells = self.cells[population.name]
        marks: list[Mark] = list(self._label(population, y))
        for each in cells:
            marks += dendrites(population.cell_class, x + each.shift, y)
            marks += cell(population.cell_class, x + each.shift, y)
        if self._left_out(population):
            middle = x + (cells[-1].shift + cells[-2].shift) / 2
            marks.append(Words((middle, y + 2), "…", 11, GREY, bold=True, anchor="middle"))
        words = f"{population.name}: {self._count(population)} {self._what(population)}"
        return Group(f"population-{population.name}", tuple(marks), words)

    def _left_out(self, population: Population) -> bool:
        return math.prod(self._sizes(population)) > MOST_CELLS

    def _label(self, population: Population, y: float) -> Iterator[Words]:
        left, right = MARGIN + self._gutter() - 8, self.diagram.right - _BESIDE
        name, indices = self._names(population)
        yield Words((left, y), name, _NAME, bold=True, mono=True, anchor="end")
        yield Words((left, y + 9), indices, _SMALL, GREY, mono=True, anchor="end")
        yield Words((right, y), self._count(population), _NAME, bold=True, anchor="end")
        yield Words((right, y + 9), self._what(population), _SMALL, GREY, anchor="end")

    def _names(self, population: Population) -> tuple[str, str]:
        return elided(population.name, _MOST_NAME), f"[{', '.join(population.axes)}]"

    def _gutter(self) -> float:
        names, indices = zip(*map(self._names, self.rows), strict=True)
        widths = [text_width(name, _NAME, mono=True) for name in names]
        return 52 + max([*widths, *(text_width(text, _SMALL, mono=True) for text in indices)])

    def _width(self, population: Population) -> float:
        return self.cells[population.name][-1].shift + _LEFT

    def _count(self, population: Population) -> str:
        extents = [self.circuit.axis(axis).extent for axis in self._free(population)]
        numbers = [extent for extent in extents if isinstance(extent, int)]
        symbols = [extent for extent in extents if isinstance(extent, str)]
        return " · ".join(
            [*[number(math.prod(numbers))] * (not symbols or numbers != []), *symbols]
        )

    def _what(self, population: Population) -> str:
        """Whose cells these are: those of the microcolumn, or shared with others."""
        cells = "cell" if self._count(population) == "1" else "cells"
        lacking = [a for a in self.located if a not in population.axes and self._in_cortex(a)]
        if lacking and population.region.in_cortex:
            return f"{cells}, for all {', '.join(lacking)}"
        return cells

    def _in_cortex(self, axis: str) -> bool:
        return any(axis in p.axes for p in self.rows if p.region.in_cortex)
