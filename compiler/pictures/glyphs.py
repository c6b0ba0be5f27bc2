"""Cells as they are drawn: pyramids with dendrites, stars, and round cells with letters.

A cell has its soma at the origin. Synapses end at the tips: apical ones above, basal ones below, those
that divide at the left of the soma.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from cortico.ir import CellClass
from cortico.pictures.scene import Disc, Mark, Point, Shape, Words
from cortico.pictures.style import INK, LOOKS, PAPER, PYRAMIDAL

APICAL, BASAL = 8.0, 18.0  #: how far from the middle the tips of dendrites stand
TOP, BOTTOM = -26.0, 22.0  #: height of the tips of a cortical cell
SOMA = 9.0  #: half the width of a soma
RELAY = 10.5  #: radius of a thalamic cell
_DENDRITE = 1.6


def cell(cell_class: CellClass, x: float, y: float, scale: float = 1.0) -> Iterator[Mark]:
    """The marks of a cell of this class with its soma at (x, y)."""
    shapes = _pyramid if cell_class in PYRAMIDAL else _BODIES.get(cell_class, _round)
    for mark in shapes(cell_class):
        yield _moved(mark, x, y, scale)


def dendrites(cell_class: CellClass, x: float, y: float) -> Iterator[Mark]:
    """The dendrites of a cell, which reach to where its synapses are; relays have none."""
    if cell_class.in_thalamus:
        return
    basal: list[list[Point]] = [[(-5, 5), (-BASAL, BOTTOM)], [(5, 5), (BASAL, BOTTOM)]]
    apical: list[list[Point]] = [[(0, -6), (0, -16), (-APICAL, TOP)], [(0, -16), (APICAL, TOP)]]
    if cell_class not in PYRAMIDAL:
        apical = [[(0, 0), (-APICAL, TOP + 8)], [(0, 0), (APICAL, TOP + 8)]]
    for line in apical + basal:
        yield _moved(Shape(tuple(line), width=_DENDRITE, colour="#555555"), x, y, 1.0)


def _pyramid(cell_class: CellClass) -> Iterator[Mark]:
    fill = LOOKS[cell_class].fill
    yield Shape(((0, -10), (SOMA, 7), (-SOMA, 7)), fill=fill, width=1.3, radius=2)
    if cell_class is CellClass.PT:  # thick-tufted: told from the others in grey
        yield Shape(((0, -3), (4, 4), (-4, 4)), fill=PAPER, width=0.8)
    if cell_class is CellClass.CT:
        yield Shape(((-4.5, 2), (4.5, 2)), width=1.3)


def _star(cell_class: CellClass) -> Iterator[Mark]:
    angles = [math.pi * k / 8 for k in range(16)]
    radii = [9.5 if k % 2 == 0 else 5.0 for k in range(16)]
    points = [(r * math.sin(a), -r * math.cos(a)) for a, r in zip(angles, radii, strict=True)]
    yield Shape(tuple(points), fill=LOOKS[cell_class].fill, width=1.2)


def _round(cell_class: CellClass) -> Iterator[Mark]:
    look = LOOKS[cell_class]
    radius = RELAY if cell_class.in_thalamus else SOMA
    yield Disc((0, 0), radius, look.fill, INK, 1.3)
    if look.letters:
        yield Words((0, 2.4), look.letters, 6.5, bold=True, anchor="middle")


_BODIES = {CellClass.STELLATE: _star}


def _moved(mark: Mark, x: float, y: float, scale: float) -> Mark:
    def there(point: Point) -> Point:
        return x + scale * point[0], y + scale * point[1]

    match mark:
        case Shape():
            points = tuple(map(there, mark.points))
            return Shape(
                points, mark.colour, scale * mark.width, mark.dash, mark.fill, scale * mark.radius
            )
        case Disc():
            centre = there(mark.centre)
            return Disc(centre, scale * mark.radius, mark.fill, mark.colour, scale * mark.width)
        case Words():
            at = there(mark.at)
            return Words(
                at, mark.text, scale * mark.size, mark.colour, mark.bold, mark.mono, mark.anchor
            )
