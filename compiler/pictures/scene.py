"""A drawing as plain values: marks in named groups. `paint.py` gives it to matplotlib, the page to SVG.

Lengths are in points (1/72 inch); x runs to the right and y down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cortico.pictures.style import INK

Point = tuple[float, float]

#: Width of a character in parts of the size of its letters: exact for the monospaced, an upper bound
#: for the others.
_MONO, _SANS = 0.602, 0.6


@dataclass(frozen=True)
class Shape:
    """A line through `points`, or a polygon when it has a filling; corners are rounded by `radius`."""

    points: tuple[Point, ...]
    colour: str = INK
    width: float = 1.2
    dash: tuple[float, ...] = ()
    fill: str | None = None
    radius: float = 0.0

    @property
    def closed(self) -> bool:
        return self.fill is not None

    def commands(self) -> Iterator[tuple[str, tuple[Point, ...]]]:
        """Steps of the outline: M and L with one point, Q with control point and end, Z with none."""
        corners = list(self.points)
        if not self.closed or self.radius == 0:
            yield "M", (corners[0],)
            yield from self._corners(corners[:-1], corners[1:-1], corners[2:])
            yield "L", (corners[-1],)
        else:
            yield "M", (_toward(corners[0], corners[-1], self.radius),)
            around = [corners[-1], *corners, corners[0]]
            yield from self._corners(around[:-2], corners, around[2:])
        if self.closed:
            yield "Z", ()

    def _corners(
        self, before: Sequence[Point], corners: Sequence[Point], after: Sequence[Point]
    ) -> Iterator[tuple[str, tuple[Point, ...]]]:
        for last, corner, following in zip(before, corners, after, strict=False):
            if self.radius == 0:
                yield "L", (corner,)
            else:
                yield "L", (_toward(corner, last, self.radius),)
                yield "Q", (corner, _toward(corner, following, self.radius))


@dataclass(frozen=True)
class Disc:
    """A circle."""

    centre: Point
    radius: float
    fill: str
    colour: str = INK
    width: float = 0.0


@dataclass(frozen=True)
class Words:
    """One line of text that starts, ends or is centred at `at`, on its base line."""

    at: Point
    text: str
    size: float = 8.0
    colour: str = INK
    bold: bool = False
    mono: bool = False
    anchor: str = "start"  #: start, middle or end

    @property
    def width(self) -> float:
        return text_width(self.text, self.size, self.mono)

    @property
    def left(self) -> float:
        share = {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor]
        return self.at[0] - share * self.width


Mark = Shape | Disc | Words


@dataclass(frozen=True)
class Group:
    """Marks that are one thing: a population, a projection, a frame."""

    id: str  #: `population-deep`, `projection-value`; unique in its scene
    marks: tuple[Mark, ...]
    title: str = ""  #: what it is, for those who cannot see it


@dataclass(frozen=True)
class Scene:
    """A drawing of given size, back to front."""

    title: str
    width: float
    height: float
    groups: tuple[Group, ...]


def text_width(text: str, size: float, mono: bool = False) -> float:
    """At least as wide as `text` is when drawn, in points."""
    return len(text) * size * (_MONO if mono else _SANS)


def elided(text: str, most: int) -> str:
    """`text`, with its middle left out where it has more than `most` characters."""
    if len(text) <= most:
        return text
    head = (most - 1) // 2
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def box(
    left: float, top: float, right: float, bottom: float, fill: str, colour: str, radius: float = 6
) -> Shape:
    """A rectangle with round corners."""
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return Shape(corners, colour=colour, width=0.8, fill=fill, radius=radius)


def _toward(start: Point, end: Point, length: float) -> Point:
    """The point at most `length`, and at most half way, from `start` to `end`."""
    distance = math.dist(start, end)
    share = min(length / distance, 0.5) if distance else 0.0
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])
