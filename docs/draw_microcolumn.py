"""Draws one microcolumn of the mask circuit: `python docs/draw_microcolumn.py` writes microcolumn.svg.

Colours follow Okabe and Ito, whose palette colour-blind readers tell apart, some darkened for print.
Pathways differ in line style too; key and mask are both solid and never meet.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

TARGET = Path(__file__).with_name("microcolumn.svg")
WIDTH, HEIGHT = 960, 700

KEY, QUERY, MASK, POOL, OUT = "#0072B2", "#D55E00", "#000000", "#A0457B", "#00694E"
DASHES = {KEY: "", QUERY: "9 5", MASK: "", POOL: "2 4", OUT: "14 4 3 4"}
CELLS = (330, 390, 450)  #: where the three cells of a layer stand that are drawn for all of them
SUPERFICIAL, DEEP, MASK_CELL = 180, 400, 600

Point = tuple[float, float]


def drawing() -> str:
    """The SVG text."""
    parts = [*frame(), *wires(), *cells(), *labels()]
    body = "\n".join(f"  {part}" for part in parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="DejaVu Sans, Verdana, sans-serif" '
        f'font-size="14" role="img" aria-label="One microcolumn of the mask circuit">\n'
        f"  <defs>\n{''.join(arrow_head(colour) for colour in DASHES)}  </defs>\n{body}\n</svg>\n"
    )


# ---- shapes --------------------------------------------------------------------------------------


def arrow_head(colour: str) -> str:
    """The end of an exciting axon."""
    return (
        f'    <marker id="to{colour[1:]}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" '
        f'markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">'
        f'<path d="M0 0L10 5L0 10z" fill="{colour}"/></marker>\n'
    )


def text(x: float, y: float, words: str, colour: str = "#000000", **style: str) -> str:
    """Words that start, end or are centred at (x, y)."""
    given = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
    return f'<text x="{x}" y="{y}" fill="{colour}"{given}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, fill: str, dash: str = "") -> str:
    """A rectangle with round corners."""
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" fill="{fill}" '
        f'stroke="#666666" stroke-dasharray="{dash}"/>'
    )


def wire(colour: str, *points: Point, arrow: bool = True) -> str:
    """An axon through `points`, with an arrow head where it excites."""
    path = "M" + "L".join(f"{x} {y}" for x, y in points)
    end = f' marker-end="url(#to{colour[1:]})"' if arrow else ""
    dash = f' stroke-dasharray="{DASHES[colour]}"' if DASHES[colour] else ""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2.2"{dash}{end}/>'


def dot(x: float, y: float, colour: str, radius: float = 4.5) -> str:
    """A branch of an axon, or a synapse that divides."""
    return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{colour}"/>'


def pyramidal(x: float, y: float) -> Iterable[str]:
    """A pyramidal cell: soma at (x, y), apical dendrite 60 above, basal dendrites 28 below."""
    dendrites = (
        f"M{x} {y}L{x} {y - 60}M{x - 11} {y - 70}L{x} {y - 60}L{x + 11} {y - 70}"
        f"M{x - 11} {y + 9}L{x - 18} {y + 26}M{x + 11} {y + 9}L{x + 18} {y + 26}"
    )
    yield f'<path d="{dendrites}" fill="none" stroke="#444444" stroke-width="2.5"/>'
    soma = f"{x},{y - 17} {x + 16},{y + 11} {x - 16},{y + 11}"
    yield f'<polygon points="{soma}" fill="#ffffff" stroke="#000000" stroke-width="2"/>'


def round_cell(x: float, y: float, colour: str, radius: float = 20) -> str:
    """A relay cell or an interneuron."""
    return (
        f'<circle cx="{x}" cy="{y}" r="{radius}" fill="#ffffff" stroke="{colour}" '
        f'stroke-width="2.5"/>'
    )


# ---- the circuit ---------------------------------------------------------------------------------


def frame() -> Iterable[str]:
    """Paper, microcolumn and thalamus."""
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    yield box(270, 50, 450, 450, "#f4f4f4")
    yield '<path d="M270 290L720 290" stroke="#999999" stroke-dasharray="5 5"/>'
    yield box(40, 565, 880, 75, "#f4f4f4")
    yield text(495, 34, "microcolumn of head h, query token i, source token j", **CENTRED, **BOLD)
    yield text(705, 76, "L2/3", **RIGHT, **BOLD)
    yield text(705, 316, "L5", **RIGHT, **BOLD)
    yield text(905, 588, "thalamus", **RIGHT, **BOLD)


def wires() -> Iterable[str]:
    """Every pathway of the circuit."""
    yield wire(KEY, (90, 580), (90, 110), (CELLS[-1] + 14, 110))  # key
    yield wire(KEY, (90, 427), (CELLS[-1] + 32, 427))  # value
    yield dot(90, 427, KEY)
    yield wire(QUERY, (225, 580), (225, 207), (CELLS[-1] + 32, 207))  # query
    for x in CELLS:
        yield wire(MASK, (x, SUPERFICIAL + 11), (x, 248), arrow=False)
        yield wire(OUT, (x, DEEP + 11), (x, 472), arrow=False)
    yield wire(MASK, (CELLS[0], 248), (MASK_CELL - 17, 248), (MASK_CELL - 17, 210))
    yield wire(MASK, (MASK_CELL, SUPERFICIAL + 11), (MASK_CELL, 332), (CELLS[0] - 12, 332))
    yield wire(MASK, (MASK_CELL, 332), (788, 332))
    yield dot(MASK_CELL, 332, MASK)
    yield wire(POOL, (810, 352), (810, DEEP), (CELLS[0] + 17, DEEP), arrow=False)
    yield from (dot(x + 19, DEEP, POOL, 6) for x in CELLS)
    yield wire(OUT, (CELLS[0], 472), (690, 472), (690, 580))


def cells() -> Iterable[str]:
    """Three cells of each kind stand for all of them."""
    for x in CELLS:
        yield from pyramidal(x, SUPERFICIAL)
        yield from pyramidal(x, DEEP)
    yield from pyramidal(MASK_CELL, SUPERFICIAL)
    yield round_cell(810, 332, POOL)
    yield round_cell(90, 602, KEY)
    yield round_cell(225, 602, QUERY)
    yield round_cell(690, 602, OUT)


CENTRED = {"text_anchor": "middle"}
RIGHT = {"text_anchor": "end"}
BOLD = {"font_weight": "bold"}
SMALL = {"font_size": "12.5"}


def labels() -> Iterable[str]:
    """All words beside cells and pathways."""
    yield text(100, 100, "key: W_K x_j", KEY)
    yield text(100, 417, "value: W_V x_j", KEY)
    yield text(100, 197, "query: W_Q x_i", QUERY)
    yield text(286, 76, "superficial cells, one per", **SMALL)
    yield text(286, 92, "key feature: key × query", **SMALL)
    yield text(MASK_CELL + 24, 172, "mask cell", **SMALL)
    yield text(MASK_CELL + 24, 189, "exp(sum / √d)", **SMALL)
    yield text(MASK_CELL - 130, 267, "sum over features", **SMALL)
    yield text(286, 305, "deep cells, one per value", **SMALL)
    yield text(286, 320, "feature: value × mask / pool", **SMALL)
    yield text(840, 322, "PV pool", POOL, **BOLD)
    yield text(840, 340, "of (h, i):", **SMALL)
    yield text(840, 357, "sum of mask", **SMALL)
    yield text(840, 374, "cells over j", **SMALL)
    yield text(585, 393, "divides (shunting)", POOL, **SMALL)
    yield text(700, 530, "W_O, summed over heads,", OUT, **SMALL)
    yield text(700, 546, "source tokens and features", OUT, **SMALL)
    yield text(118, 598, "core", KEY, **BOLD)
    yield text(118, 616, "relay", KEY)
    yield text(253, 598, "matrix", QUERY, **BOLD)
    yield text(253, 616, "relay", QUERY)
    yield text(718, 607, "higher-order", OUT, **BOLD)
    yield text(718, 624, "relay", OUT)
    yield text(80, 662, "source token x_j", **CENTRED)
    yield text(235, 662, "query token x_i", **CENTRED)
    yield text(690, 662, "output token y_i", **CENTRED)
    yield text(40, 688, "Arrow: excites. Dotted line ending in dots: divides.", **SMALL)


if __name__ == "__main__":
    TARGET.write_text(drawing(), encoding="utf-8")
