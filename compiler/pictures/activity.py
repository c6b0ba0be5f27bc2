"""The activity of all populations on one input, area by area; first the attention that it carries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cortico.experiment.activity import Activity
from cortico.ir import Circuit, Population, Role
from cortico.pictures.canvas import MOST_LABELS, Canvas, name_rows
from cortico.pictures.grid import BANDS, band_of
from cortico.pictures.paint import new_figure, save
from cortico.pictures.scene import elided, text_width
from cortico.pictures.style import GREY
from cortico.report.words import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_AREAS = 4  #: how many are drawn
_PANEL, _GAP, _ROW, _MARGIN, _HEAD = 92.0, 14.0, 118.0, 16.0, 72.0
_STRIP = 14.0  #: width of the picture of one number for each token
_MOST_NAME = 26


@dataclass(frozen=True)
class _Row:
    """One row of pictures: rates (…, rows, columns) with the axes of areas in front, if any."""

    id: str
    name: str
    under: Sequence[str]
    areas: tuple[str, ...]
    axes: tuple[str, str]  #: what runs down and across
    values: np.ndarray


def draw_activity(activity: Activity, path: Path, tokens: Sequence[str] = ()) -> None:
    """Write the rates of every population; `tokens` names the tokens of a query and of a source."""
    rows = [*_attention_row(activity), *_rows(activity)]
    areas = [area.index for area in islice(activity.circuit.areas, MOST_AREAS)]
    left = _MARGIN + 12 + max(max(text_width(r.name, 8, mono=True) for r in rows), 96) + 34
    width = left + len(areas) * (_PANEL + _GAP) + _MARGIN
    height = _HEAD + _ROW * len(rows) + 12
    with new_figure(width, height) as figure:
        page = _Page(figure, activity.circuit, areas, left, tokens)
        page.title()
        for k, row in enumerate(rows):
            page.row(row, _HEAD + _ROW * k)
        save(figure, path)


class _Page:
    def __init__(
        self,
        figure: Figure,
        circuit: Circuit,
        areas: Sequence[tuple[int, ...]],
        left: float,
        tokens: Sequence[str],
    ) -> None:
        self.canvas, self.circuit, self.areas = Canvas(figure), circuit, areas
        self.left, self.tokens = left, tokens

    def title(self) -> None:
        name = elided(one_line(self.circuit.name), 60)
        self._text(_MARGIN, 22, name, fontsize=11, fontweight="bold")
        left_out = len(self.circuit.areas) - len(self.areas)
        more = f"; {left_out} more areas are not drawn" if left_out > 0 else ""
        self._text(
            _MARGIN,
            38,
            f"rates on one input, by area, each from its least to its greatest rate{more}",
            color=GREY,
        )
        for k, index in enumerate(self.areas):
            words = f"area {', '.join(map(str, index))}".strip()
            x = self.left + k * (_PANEL + _GAP)
            self._text(x, _HEAD - 8, words, color=GREY, fontweight="bold")

    def row(self, row: _Row, top: float) -> None:
        """A picture for each area, or one for cells that areas share; each has its own scale."""
        self._text(_MARGIN, top + 14, row.name, fontfamily="monospace", fontweight="bold")
        for k, words in enumerate(row.under):
            self._text(_MARGIN, top + 26 + 10 * k, words, color=GREY, fontsize=7)
        own = [k for k, axis in enumerate(_area_axes(self.circuit)) if axis in row.areas]
        seen: list[tuple[int, ...]] = []
        for number, index in enumerate(self.areas):
            key = tuple(index[k] for k in own)
            if key not in seen:
                seen.append(key)
                self._picture(
                    row, row.values[key], self.left + number * (_PANEL + _GAP), top, number
                )

    def _picture(self, row: _Row, values: np.ndarray, x: float, top: float, number: int) -> None:
        width = _PANEL if row.axes[1] else _STRIP
        low, high = float(values.min()), float(values.max())
        axes = self.canvas.rates(values, x, top, (width, _ROW - 30), low)
        axes.set_gid(row.id if number == 0 else f"{row.id}-{number}")
        if number == 0:
            self._name_rows(axes, row.axes[0], len(values))
        words = f"{low:.2g} … {high:.2g}" if high > low else f"{low:.2g}"
        self._text(x, top + _ROW - 22, words, color=GREY, fontsize=6.5)
        if row.axes[1]:
            self._text(x + width, top + _ROW - 22, f"{row.axes[1]} →", fontsize=6.5, ha="right")

    def _name_rows(self, axes: Axes, axis: str, size: int) -> None:
        is_token = axis in _column_axes(self.circuit)
        if is_token and len(self.tokens) == size <= MOST_LABELS:
            name_rows(axes, self.tokens, 5)
        elif axis:
            axes.set_ylabel(f"{axis} ↓", fontsize=6.5, labelpad=2, rotation=0, ha="right")

    def _text(self, x: float, y: float, words: str, **style: Any) -> None:
        self.canvas.text(x, y, words, **style)


# ---- rows ----------------------------------------------------------------------------------------


def _attention_row(activity: Activity) -> Iterator[_Row]:
    found = activity.attention
    if found is not None:
        under = ["the gate of cells", elided(found.population, _MOST_NAME)]
        under += ["sum over sources: 1"] * np.allclose(found.gate.sum(axis=-1), 1)
        axes = (found.query, found.source)
        yield _Row("attention", "attention", under, found.areas, axes, found.gate)


def _rows(activity: Activity) -> Iterator[_Row]:
    circuit = activity.circuit
    for band in BANDS:
        for population in circuit.populations:
            if band_of(population) == band:
                yield _row(circuit, population, activity.rates[population.name])


def _row(circuit: Circuit, population: Population, rates: np.ndarray) -> _Row:
    """Two axes are kept for a picture: tokens before features. Rates are summed over the others."""
    areas = tuple(axis for axis in _area_axes(circuit) if axis in population.axes)
    tokens = [axis for axis in _column_axes(circuit) if axis in population.axes]
    rest = [axis for axis in population.axes if axis not in (*areas, *tokens)]
    kept = (tokens + rest)[:2]
    summed = [axis for axis in population.axes if axis not in (*areas, *kept)]
    order = _letters((*areas, *kept), population.axes)
    values = np.einsum(rates, _letters(population.axes, population.axes), order)
    values = values.reshape(values.shape + (1,) * (2 - len(kept)))
    under = [f"[{', '.join(population.axes)}]", f"{band_of(population)} {population.cell_class}"]
    under += [f"sum over {', '.join(summed)}"] if summed else []
    down, across = (*kept, "", "")[:2]
    name = elided(population.name, _MOST_NAME)
    return _Row(f"population-{population.name}", name, under, areas, (down, across), values)


def _letters(axes: Sequence[str], known: Sequence[str]) -> list[int]:
    return [list(known).index(axis) for axis in axes]


def _area_axes(circuit: Circuit) -> list[str]:
    return [axis.name for axis in circuit.axes if axis.role is Role.AREA]


def _column_axes(circuit: Circuit) -> list[str]:
    return [axis.name for axis in circuit.axes if axis.role is Role.COLUMN]
