"""Axons: lines with the ends that their kind has, and dots where they branch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from cortico.pictures.scene import Disc, Mark, Point, Shape
from cortico.pictures.style import LINES, PAPER, Kind

_WIDTH = 1.3
_ARROW = (6.5, 2.9)  #: length and half width
_CORNER = 3.0


def wire(points: Sequence[Point], kind: Kind) -> Iterator[Mark]:
    """An axon through `points` that ends at the last one as its kind does."""
    look = LINES[kind]
    end, direction = points[-1], _direction(points[-2], points[-1])
    inhibits = kind in (Kind.INHIBITION, Kind.SUBTRACTION)
    length = 2 * 2.6 if inhibits else _ARROW[0]
    neck = (end[0] - length * direction[0], end[1] - length * direction[1])
    yield stem((*points[:-1], neck), kind)
    if inhibits:
        centre = (end[0] - 2.6 * direction[0], end[1] - 2.6 * direction[1])
        ring = Disc(centre, 2.1, PAPER, look.colour, 1.0)
        yield ring if kind is Kind.SUBTRACTION else Disc(centre, 2.6, look.colour)
    else:
        fill = look.colour if kind is Kind.DRIVER else PAPER
        yield Shape(_arrow(end, direction), look.colour, 1.0, fill=fill)


def stem(points: Sequence[Point], kind: Kind) -> Shape:
    """An axon through `points` that joins another one."""
    look = LINES[kind]
    return Shape(tuple(points), look.colour, _WIDTH, look.dash, radius=_CORNER)


def branches(paths: Iterable[Sequence[Point]], kind: Kind) -> Iterator[Mark]:
    """Dots where the wires of one net part."""
    segments = {(a, b) for path in paths for a, b in pairwise(path) if math.dist(a, b)}
    corners = dict.fromkeys(point for segment in sorted(segments) for point in segment)
    for point in corners:
        if len({way for segment in segments for way in _ways(point, *segment)}) > 2:
            yield Disc(point, 2.1, LINES[kind].colour)


def _ways(point: Point, start: Point, end: Point) -> Iterator[tuple[int, int]]:
    """The directions in which a segment leaves `point`; none when it does not touch it."""
    if not math.isclose(math.dist(start, point) + math.dist(point, end), math.dist(start, end)):
        return
    for other in (start, end):
        x, y = _direction(point, other)
        if (x, y) != (0.0, 0.0):
            yield round(x), round(y)


def _arrow(tip: Point, direction: Point) -> tuple[Point, ...]:
    length, half = _ARROW
    (x, y), (dx, dy) = tip, direction
    base = (x - length * dx, y - length * dy)
    return (
        tip,
        (base[0] - half * dy, base[1] + half * dx),
        (base[0] + half * dy, base[1] - half * dx),
    )


def _direction(start: Point, end: Point) -> Point:
    length = math.dist(start, end)
    return ((end[0] - start[0]) / length, (end[1] - start[1]) / length) if length else (0.0, 0.0)
