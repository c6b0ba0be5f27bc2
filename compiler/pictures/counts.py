"""Counts before and after passes: neurons and synapses of the circuit that each pass left behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cortico.ir import Circuit
from cortico.passes import Step
from cortico.pictures.matrix import short
from cortico.pictures.paint import new_figure, save
from cortico.pictures.scene import elided, text_width
from cortico.pictures.style import GREY, INK, PAPER, RULE
from cortico.report.words import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW, _MARGIN, _HEAD, _FOOT = 22.0, 16.0, 66.0, 22.0
_PANEL = 190.0
_COLOURS = {"neurons": "#56b4e9", "synapses": "#e69f00"}
_MARKS = {"neurons": "o", "synapses": "s"}


def draw_counts(circuits: Sequence[tuple[str, Circuit]], path: Path) -> None:
    """Write bars for circuits whose sizes are numbers, each with what made it: `lowered`, a pass."""
    names = [name for name, _ in circuits]
    left = _MARGIN + 8 + max(text_width(name, 8, mono=True) for name in names)
    width = left + 2 * (_PANEL + 34) + _MARGIN
    height = _HEAD + _ROW * len(circuits) + _FOOT
    with new_figure(width, height) as figure:
        for k, what in enumerate(_COLOURS):
            x = left + k * (_PANEL + 34)
            share = (x / width, _FOOT / height, _PANEL / width, _ROW * len(circuits) / height)
            axes = figure.add_axes(share)
            _dots(axes, what, [getattr(circuit.counts(), what) for _, circuit in circuits])
            axes.set_yticks(range(len(names)), names if k == 0 else [])
            axes.tick_params(axis="y", length=0, labelfontfamily="monospace")
        top = 1 - 20 / height
        title = elided(one_line(circuits[0][1].name), 60)
        figure.text(_MARGIN / width, top, title, fontsize=11, fontweight="bold", parse_math=False)
        words = f"the circuit after each pass{_tokens(circuits[0][1])}; logarithmic"
        figure.text(_MARGIN / width, top - 16 / height, words, color=GREY)
        save(figure, path)


def circuits_of(lowered: Circuit, steps: Sequence[Step]) -> list[tuple[str, Circuit]]:
    """The lowered circuit, then that after each pass that changed it."""
    return [("lowered", lowered), *((step.name, step.after) for step in steps if step.changed)]


def _dots(axes: Axes, what: str, counts: Sequence[int]) -> None:
    """A mark for each count, with the number beside it."""
    numbers = [max(int(count), 1) for count in counts]
    floor, most = 10 ** (len(str(min(numbers))) - 1), max(numbers)
    axes.set_xscale("log")
    axes.set_xlim(floor / 1.5, most * max(most / floor, 10) ** 0.25)
    axes.set_ylim(len(numbers) - 0.5, -0.5)
    for k, count in enumerate(numbers):
        axes.axhline(k, color=RULE, linewidth=0.6, zorder=0)
        (mark,) = axes.plot(count, k, _MARKS[what], markersize=7, color=_COLOURS[what])
        mark.set(markeredgecolor=INK, markeredgewidth=0.7, gid=f"{what}-{k}")
        axes.annotate(
            short(count),
            (count, k),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1},
        )
    _frame(axes, what)


def _frame(axes: Axes, what: str) -> None:
    """A title, and ticks without a box."""
    from matplotlib.ticker import NullFormatter

    axes.set_title(what, loc="left", fontsize=8.5)
    axes.tick_params(axis="x", which="both", labelsize=6.5, color=RULE)
    axes.tick_params(axis="x", which="minor", length=0)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.spines[:].set_visible(False)


def _tokens(circuit: Circuit) -> str:
    columns = [a for a in circuit.axes if a.role == "column"]
    return "".join(f", {a.name} = {a.extent}" for a in columns)
