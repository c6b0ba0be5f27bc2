"""The attention of a whole model on one input: a row for each block with areas, a picture for each area."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cortico.experiment.activity import AttentionMap
from cortico.pictures.canvas import MOST_LABELS, Canvas, name_rows
from cortico.pictures.paint import new_figure, save
from cortico.pictures.scene import elided, text_width
from cortico.pictures.style import GREY
from cortico.report.words import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_AREAS = 16  #: how many are drawn
_PANEL, _GAP, _MARGIN, _HEAD, _NAMES = 66.0, 8.0, 16.0, 66.0, 44.0
_ROW, _NARROWEST = _PANEL + 14, 340.0
_MOST_NAME = 34


class _Block(NamedTuple):
    """A block with areas, and the gate (area, query, source) of those that are drawn."""

    path: str
    axes: str  #: what runs down and across
    areas: Sequence[str]
    gate: np.ndarray


def draw_attention(
    name: str, seen: Sequence[tuple[str, AttentionMap]], path: Path, tokens: Sequence[str] = ()
) -> None:
    """Write the attention of blocks by path; `tokens` names those of a query, where there are as many."""
    blocks = [_block(where, found) for where, found in seen]
    words = max(text_width(elided(b.path, _MOST_NAME), 8, mono=True) for b in blocks)
    left = _MARGIN + max(words, 90) + _NAMES
    most = max(len(block.gate) for block in blocks)
    width = max(left + most * (_PANEL + _GAP) + _MARGIN, _NARROWEST)
    with new_figure(width, _HEAD + _ROW * len(blocks) + 6) as figure:
        page = _Page(figure, left)
        page.title(name, max(math.prod(found.gate.shape[:-2]) for _, found in seen))
        for k, block in enumerate(blocks):
            page.row(block, _HEAD + _ROW * k, tokens)
        save(figure, path)


def _block(path: str, found: AttentionMap) -> _Block:
    shape = found.gate.shape[:-2]
    gate = found.gate.reshape(-1, *found.gate.shape[-2:])[:MOST_AREAS]
    areas = [", ".join(map(str, index)) for index in islice(np.ndindex(*shape), MOST_AREAS)]
    return _Block(path, f"{found.query} ↓ {found.source} →", areas, gate)


class _Page:
    def __init__(self, figure: Figure, left: float) -> None:
        self.canvas, self.left = Canvas(figure), left

    def title(self, name: str, areas: int) -> None:
        more = f"; the first {MOST_AREAS} of {areas} areas" if areas > MOST_AREAS else ""
        words = f"attention on one input, a picture for each area{more}"
        self.canvas.text(_MARGIN, 22, elided(one_line(name), 48), fontsize=11, fontweight="bold")
        self.canvas.text(_MARGIN, 38, words, color=GREY)

    def row(self, block: _Block, top: float, tokens: Sequence[str]) -> None:
        name = elided(block.path, _MOST_NAME)
        self.canvas.text(_MARGIN, top + 12, name, fontfamily="monospace", fontweight="bold")
        self.canvas.text(_MARGIN, top + 23, block.axes, color=GREY, fontsize=7)
        for k, (area, gate) in enumerate(zip(block.areas, block.gate, strict=True)):
            x, low = self.left + k * (_PANEL + _GAP), min(float(gate.min()), 0.0)
            axes = self.canvas.rates(gate, x, top, (_PANEL, _PANEL), low)
            axes.set_gid(f"{block.path}-area-{k}")
            words = f"area {area}: {low:.2g} … {float(gate.max()):.2g}"
            self.canvas.text(x, top + _PANEL + 9, words, color=GREY, fontsize=6)
            if k == 0 and len(tokens) == len(gate) <= MOST_LABELS:
                name_rows(axes, tokens, 4.2)
