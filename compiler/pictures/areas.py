"""The multi-area circuit: areas side by side above the thalamus, and the pathways that join them.

A population that lacks an axis of the areas belongs to several of them: grouped keys, and the thalamus.
It is drawn as one bar as wide as those. Pathways within an area are in the laminar diagram.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from cortico.ir import Circuit, Population, Projection, Role
from cortico.ir.names import axes_of_role
from cortico.pictures.diagram import describe
from cortico.pictures.glyphs import SOMA, cell
from cortico.pictures.grid import BANDS, band_of
from cortico.pictures.legend import Legend
from cortico.pictures.scene import Group, Mark, Point, Scene, Words, box, elided, text_width
from cortico.pictures.style import GREY, INK, LOOKS, PALE, PAPER, RULE, kind_of
from cortico.pictures.titles import HEAD, MARGIN, area_count, title
from cortico.pictures.wires import wire
from cortico.report.words import one_line

MOST_AREAS = 12  #: how many are drawn; the others are counted
_TRACK, _ROW, _NAME = 7.0, 32.0, 8.0
_AREA_HEAD = 22.0
_SEAM = 26.0  #: between cortex and thalamus
_BETWEEN = 8.0  #: two areas
_MOST_NAME = 26
_NARROWEST = 320.0


def areas_scene(circuit: Circuit) -> Scene:
    """The areas of any circuit with their thalamus."""
    return _Areas(circuit).scene()


@dataclass(frozen=True)
class _Bar:
    """A population in the areas that share it: left and right edge."""

    left: float
    right: float
    areas: tuple[int, ...]


class _Areas:
    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.axes = axes_of_role(circuit, Role.AREA)
        self.areas = [area.index for area in islice(circuit.areas, MOST_AREAS)]
        self.left_out = len(circuit.areas) - len(self.areas)
        self.rows = [p for band in BANDS for p in circuit.populations if band_of(p) == band]
        self.joining = [p for p in circuit.projections if self._joins(p)]
        inner = (p for p in circuit.projections if self._within_thalamus(p))
        self.inner = [p for p in inner if p not in self.joining]
        self._measure()

    def scene(self) -> Scene:
        legend = Legend(
            list({p.cell_class for p in self.rows}),
            list({kind_of(self.circuit, p) for p in self.joining + self.inner}),
            MARGIN,
            self.width - MARGIN,
        )
        groups = [
            self._title(),
            *self._frames(),
            *(self._wire(p) for p in self.joining),
            *(self._inner_wire(p) for p in self.inner),
            *map(self._population, self.rows),
            legend.group(self.bottom + 12),
        ]
        height = self.bottom + 12 + legend.height + MARGIN
        return Scene(one_line(self.circuit.name), self.width, height, tuple(groups))

    # ---- where things are ------------------------------------------------------------------------

    def _measure(self) -> None:
        names = [text_width(self._name(p), _NAME, mono=True) for p in self.rows]
        self.left = MARGIN + 30 + max(names) + 12
        self.column = max(_TRACK * (len(self.joining) + 1) + 2 * SOMA + 14, 52)
        self.right = self.left + len(self.areas) * (self.column + _BETWEEN) - _BETWEEN
        if self.left_out:
            self.right += 76
        self.width = max(self.right + _TRACK * (len(self.inner) + 2) + MARGIN, _NARROWEST)
        self.tops: dict[str, float] = {}
        y, band = HEAD + _AREA_HEAD + _ROW / 2, None
        for population in self.rows:
            if band is not None and band_of(population) != band:
                y += _SEAM + 8 if not population.region.in_cortex else 6
            band = band_of(population)
            self.tops[population.name] = y
            y += _ROW
        self.bottom = y - _ROW / 2 + 4

    def _bars(self, population: Population) -> list[_Bar]:
        """The population once for each set of areas that share it."""
        own = [k for k, axis in enumerate(self.axes) if axis in population.axes]
        numbers = range(len(self.areas))
        shared = groupby(numbers, key=lambda a: tuple(self.areas[a][k] for k in own))
        groups = [tuple(members) for _, members in shared]
        return [_Bar(self._column(g[0])[0], self._column(g[-1])[1], g) for g in groups]

    def _column(self, area: int) -> Point:
        left = self.left + area * (self.column + _BETWEEN)
        return left, left + self.column

    def _is_shared(self, population: Population) -> bool:
        return not set(self.axes) <= set(population.axes) or not self.axes

    def _span(self, name: str) -> frozenset[str]:
        """What tells apart the copies of a population: axes of areas, and the thalamus."""
        population = self.circuit.population(name)
        own = frozenset(self.axes) & frozenset(population.axes)
        return own | ({"cortex"} if population.region.in_cortex else frozenset())

    def _joins(self, projection: Projection) -> bool:
        return self._span(projection.pre) != self._span(projection.post)

    def _within_thalamus(self, projection: Projection) -> bool:
        ends = (projection.pre, projection.post)
        return not any(self.circuit.population(name).region.in_cortex for name in ends)

    # ---- groups ----------------------------------------------------------------------------------

    def _title(self) -> Group:
        words = f"{area_count(self.circuit)} and the thalamus"
        return title(self.circuit, words, self.width - 2 * MARGIN)

    def _frames(self) -> Iterator[Group]:
        cortical = [self.tops[p.name] for p in self.rows if p.region.in_cortex]
        thalamic = [self.tops[p.name] for p in self.rows if not p.region.in_cortex]
        if cortical:
            for number in range(len(self.areas)):
                yield self._area(number, max(cortical))
        if self.left_out:
            words = f"… {self.left_out:,} more"
            at = (self.right - 66, min(self.tops.values()) + 3)
            yield Group("areas-left-out", (Words(at, words, 8, GREY),))
        if thalamic:
            edges = (min(thalamic) - _ROW / 2 - 2, max(thalamic) + _ROW / 2)
            frame = box(MARGIN, edges[0], self.width - MARGIN, edges[1], PALE, RULE)
            yield Group("band-thalamus", (frame,), "thalamus")
        yield Group("bands", tuple(self._band_names()))

    def _area(self, number: int, lowest: float) -> Group:
        left, right = self._column(number)
        index = ", ".join(map(str, self.areas[number]))
        name = f"area {index}".strip()
        frame = box(left, HEAD, right, lowest + _ROW / 2 + 2, PAPER, RULE)
        words = Words(((left + right) / 2, HEAD + 14), name, 8, GREY, bold=True, anchor="middle")
        return Group(f"area-{'-'.join(map(str, self.areas[number]))}", (frame, words), name)

    def _band_names(self) -> Iterator[Words]:
        for band, of in groupby(self.rows, key=band_of):
            first = next(of)
            words = band if first.region.in_cortex else "thal."
            yield Words((MARGIN + 6, self.tops[first.name] + 3), words, 8.5, GREY, bold=True)

    def _population(self, population: Population) -> Group:
        y = self.tops[population.name]
        name = Words(
            (self.left - 10, y + 3), self._name(population), _NAME, mono=True, anchor="end"
        )
        marks = [mark for bar in self._bars(population) for mark in self._cell(population, bar, y)]
        title = f"{population.name}: {population.cell_class} in {population.region}"
        return Group(f"population-{population.name}", (name, *marks), title)

    def _cell(self, population: Population, bar: _Bar, y: float) -> Iterator[Mark]:
        if self._is_shared(population):
            fill = LOOKS[population.cell_class].fill
            yield box(bar.left + 3, y - 7, bar.right - 3, y + 7, fill, INK, radius=7)
        else:
            yield from cell(population.cell_class, bar.right - SOMA - 8, y)

    def _name(self, population: Population) -> str:
        return elided(population.name, _MOST_NAME)

    def _wire(self, projection: Projection) -> Group:
        kind = kind_of(self.circuit, projection)
        paths = (self._path(projection, number) for number in self._first_areas(projection))
        marks = tuple(mark for points in paths for mark in wire(points, kind))
        return Group(f"projection-{projection.name}", marks, describe(projection, kind))

    def _first_areas(self, projection: Projection) -> Iterator[int]:
        """The first of the areas that share both ends: they share the wire, too."""
        axes = {*self._span(projection.pre), *self._span(projection.post)}
        seen: set[tuple[int, ...]] = set()
        for number, index in enumerate(self.areas):
            key = tuple(i for axis, i in zip(self.axes, index, strict=True) if axis in axes)
            if key not in seen:
                seen.add(key)
                yield number

    def _path(self, projection: Projection, area: int) -> tuple[Point, ...]:
        """A wire in the column of one area, on the track of its projection."""
        x = self._column(area)[0] + _TRACK * (1 + self.joining.index(projection))
        pre, post = (self.circuit.population(n) for n in (projection.pre, projection.post))
        down = self.tops[post.name] > self.tops[pre.name]
        start = self._touch(projection, pre, area, x, down)
        end = self._touch(projection, post, area, x, not down)
        return (*start, *reversed(end))

    def _touch(
        self, projection: Projection, population: Population, area: int, x: float, below: bool
    ) -> list[Point]:
        """Where a wire on track x meets a population: the edge of its bar, or the side of its cell."""
        y = self.tops[population.name]
        if self._is_shared(population):
            return [(x, y + (7 if below else -7))]
        ends = [p for p in self.joining if population.name in (p.pre, p.post)]
        spread = 5.0 * (ends.index(projection) - (len(ends) - 1) / 2)
        side = self._column(area)[1] - 2 * SOMA - 9
        return [(side, y + 2 + spread), (x, y + 2 + spread)]

    def _inner_wire(self, projection: Projection) -> Group:
        """A pathway between two nuclei, at the right of them."""
        kind = kind_of(self.circuit, projection)
        bars = {
            n: self._bars(self.circuit.population(n))[-1] for n in (projection.pre, projection.post)
        }
        x = max(bar.right for bar in bars.values()) + _TRACK * (1 + self.inner.index(projection))
        start, end = (self.tops[name] for name in (projection.pre, projection.post))
        edges = [bars[name].right - 3 for name in (projection.pre, projection.post)]
        points: Sequence[Point] = ((edges[0], start), (x, start), (x, end), (edges[1], end))
        return Group(
            f"projection-{projection.name}", tuple(wire(points, kind)), describe(projection, kind)
        )
