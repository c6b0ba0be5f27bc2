"""The connectivity matrix: which population projects to which compartment, with how many synapses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortico.ir import Circuit, Projection
from cortico.pictures.grid import BANDS, band_of
from cortico.pictures.paint import new_figure, save
from cortico.pictures.scene import elided, text_width
from cortico.pictures.style import GREY, INK, LINES, PAPER, RULE, Kind, kind_of
from cortico.report.words import number, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL, _SMALL, _MARGIN = 40.0, 6.5, 16.0
_MOST_NAME = 34
_COLOURS = "cividis_r"  #: told apart by colour-blind readers, dark for many, also in grey


def draw_matrix(circuit: Circuit, path: Path) -> None:
    """Write the matrix of a circuit whose sizes are numbers."""
    matrix = _Matrix(circuit)
    with new_figure(matrix.width, matrix.height) as figure:
        axes = figure.add_axes(
            (
                matrix.left / matrix.width,
                matrix.below / matrix.height,
                _CELL * len(matrix.columns) / matrix.width,
                _CELL * len(matrix.rows) / matrix.height,
            )
        )
        matrix.draw(axes, figure)
        save(figure, path)


class _Matrix:
    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        ordered = [p for band in BANDS for p in circuit.populations if band_of(p) == band]
        self.rows = [p.name for p in ordered]
        self.columns = [
            (p.name, c.name) for p in ordered for c in p.compartments if self._hears(p.name, c.name)
        ]
        self.row_names = [elided(name, _MOST_NAME) for name in self.rows]
        self.column_names = [elided(".".join(column), _MOST_NAME) for column in self.columns]
        self.left = _MARGIN + 8 + max(text_width(t, 8, mono=True) for t in self.row_names)
        names = [text_width(t, 8, mono=True) for t in self.column_names]
        self.above = 48 + max([*names, 0])
        self.below = 70.0
        grid = _CELL * len(self.columns)
        self.width = max(self.left + grid + _MARGIN + 40, 440.0)
        self.height = self.above + _CELL * len(self.rows) + self.below

    def _hears(self, population: str, compartment: str) -> bool:
        return bool(self.circuit.projections_onto(population, compartment))

    def draw(self, axes: Axes, figure: Figure) -> None:
        axes.set_xlim(0, len(self.columns))
        axes.set_ylim(len(self.rows), 0)
        axes.set_xticks([k + 0.5 for k in range(len(self.columns))], self.column_names, rotation=90)
        axes.set_yticks([k + 0.5 for k in range(len(self.rows))], self.row_names)
        axes.tick_params(length=0, labeltop=True, labelbottom=False, labelfontfamily="monospace")
        axes.spines[:].set_color(RULE)
        for k in range(1, len(self.columns)):
            axes.axvline(k, color=RULE, linewidth=0.4, zorder=0)
        for k in range(1, len(self.rows)):
            axes.axhline(k, color=RULE, linewidth=0.4, zorder=0)
        for projection in self.circuit.projections:
            self._entry(axes, projection)
        self._title(figure)
        self._legend(figure)

    def _entry(self, axes: Axes, projection: Projection) -> None:
        """A filled cell: colour by the logarithm of the synapses, border by the kind of pathway."""
        import matplotlib
        from matplotlib.patches import Rectangle

        count = int(self.circuit.counts().synapses_of[projection.name])
        share = math.log10(max(count, 1)) / self._decades
        fill = matplotlib.colormaps[_COLOURS](share)
        x, y, width = self._place(projection)
        look = LINES[kind_of(self.circuit, projection)]
        dash: Any = (0, tuple(d / 1.8 for d in look.dash)) if look.dash else "solid"
        patch = Rectangle((x + 0.05, y + 0.07), width - 0.1, 0.86, facecolor=fill)
        patch.set(edgecolor=look.colour, linewidth=1.8, linestyle=dash)
        patch.set_gid(f"projection-{projection.name}")
        axes.add_patch(patch)
        words: Any = {"color": PAPER if share > 0.55 else INK, "fontsize": _SMALL}
        axes.text(x + width / 2, y + 0.5, short(count), ha="center", va="center", **words)

    def _place(self, projection: Projection) -> tuple[float, float, float]:
        """Left edge, row and width: projections of the same ends share a cell."""
        ends = (projection.pre, projection.post, projection.compartment)
        same = [p for p in self.circuit.projections if (p.pre, p.post, p.compartment) == ends]
        column = self.columns.index((projection.post, projection.compartment))
        width = 1 / len(same)
        return column + same.index(projection) * width, self.rows.index(projection.pre), width

    @property
    def _decades(self) -> float:
        counts = self.circuit.counts().synapses_of.values()
        return max([1.0, *(math.log10(max(int(c), 1)) for c in counts)])

    def _title(self, figure: Figure) -> None:
        """The circuit's name, and how to read the matrix."""
        name = elided(one_line(self.circuit.name), 60)
        top, left = 1 - 20 / self.height, _MARGIN / self.width
        total = number(self.circuit.counts().synapses)
        under = (
            f"from the row to the column; {total} synapses in all, darker is more{self._sizes()}"
        )
        figure.text(left, top, name, fontsize=11, fontweight="bold", parse_math=False)
        figure.text(left, top - 16 / self.height, under, color=GREY)

    def _legend(self, figure: Figure) -> None:
        """What the borders mean, below the matrix."""
        from matplotlib.lines import Line2D

        present = {kind_of(self.circuit, p) for p in self.circuit.projections}
        y = 30 / self.height
        for k, kind in enumerate(kind for kind in Kind if kind in present):
            x, look = (self.left + 100 * k) / self.width, LINES[kind]
            dashes: Any = [d / 1.8 for d in look.dash] or (None, None)
            sample = Line2D([x, x + 24 / self.width], [y, y], color=look.colour, linewidth=1.8)
            sample.set_dashes(dashes)
            figure.add_artist(sample)
            figure.text(x + 30 / self.width, y - 3 / self.height, kind.value)

    def _sizes(self) -> str:
        columns = [a for a in self.circuit.axes if a.role == "column"]
        return "".join(f", {a.name} = {a.extent}" for a in columns)


def short(count: int) -> str:
    """A count in at most four characters and a letter: `950`, `57.8M`, `3.3G`."""
    scaled, letter = float(count), ""
    for each in ("k", "M", "G", "T", "P", "E"):
        if scaled < 1000:
            break
        scaled, letter = scaled / 1000, each
    digits = f"{scaled:.0f}" if scaled >= 100 or not letter else f"{scaled:.1f}".removesuffix(".0")
    return digits + letter
