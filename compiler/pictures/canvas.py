"""A figure that is measured in points from its upper left corner, and rates as colours on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cortico.pictures.scene import elided
from cortico.pictures.style import RULE
from cortico.report.words import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = "cividis"  #: told apart by colour-blind readers, brighter for more, also in grey
MOST_LABELS, _LABEL = 16, 9  #: rows that have a name each, and characters of it


class Canvas:
    """Words and pictures at places of a figure."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.width, self.height = (72 * side for side in figure.get_size_inches())

    def text(self, x: float, y: float, words: str, **style: Any) -> None:
        """Words that begin at a place, on its base line."""
        across, up = float(x / self.width), float(1 - y / self.height)
        self.figure.text(across, up, words, parse_math=False, **style)

    def axes(self, x: float, top: float, size: tuple[float, float]) -> Axes:
        """An empty picture with its upper left corner at a place."""
        width, height = size
        share = (x, self.height - top - height, width, height)
        sides = (self.width, self.height) * 2
        return self.figure.add_axes(tuple(a / b for a, b in zip(share, sides, strict=True)))

    def rates(
        self, values: np.ndarray, x: float, top: float, size: tuple[float, float], least: float
    ) -> Axes:
        """Rates (row, column) as colours, from `least` to the greatest of them, without ticks."""
        axes = self.axes(x, top, size)
        most = float(values.max())
        axes.imshow(
            values,
            cmap=_COLOURS,
            vmin=least if most > least else least - 1,
            vmax=most,
            aspect="auto",
            interpolation="none",
        )
        axes.spines[:].set_color(RULE)
        axes.set_xticks([])
        axes.set_yticks([])
        return axes


def name_rows(axes: Axes, names: Sequence[str], size: float) -> None:
    """The names of rows at the left of them."""
    words = [elided(one_line(name), _LABEL) for name in names]
    axes.set_yticks(range(len(words)), words, parse_math=False)
    axes.tick_params(axis="y", labelsize=size, length=0, pad=1)
