"""What a simulator recorded: spikes as a raster, rates over time, histograms of spikes and of their intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from cortico.backends.recordings import Recording
from cortico.experiment.spike_trains import intervals, psth, require_spikes, trains_of
from cortico.files.writing import replacing_files
from cortico.ir import Population, SpecError
from cortico.ir.errors import near_name
from cortico.pictures.canvas import Canvas
from cortico.pictures.grid import BANDS, band_of
from cortico.pictures.paint import new_figure, require_format, save
from cortico.pictures.scene import elided, text_width
from cortico.pictures.style import GREY, INK, LOOKS, RULE
from cortico.report.words import one_line, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Kinds of pictures of recordings, each with what it shows.
KINDS_OF_RECORDINGS: Mapping[str, str] = MappingProxyType(
    {
        "raster": "spikes of every recorded soma, by layer and population",
        "rates": "rates over time: traces of few cells, colours of many",
        "psth": "spikes over time, in bins, as Hz a soma",
        "isi": "intervals between spikes, with their coefficient of variation",
    }
)

BIN = 10.0  #: ms, of a PSTH
_WIDTH, _MARGIN, _HEAD, _FOOT, _GAP = 380.0, 16.0, 60.0, 34.0, 12.0
_PANEL = 64.0  #: height of a panel
_ROW, _LEAST, _TALLEST = 5.0, 14.0, 900.0  #: of a raster: a soma, a population, all
_MOST_TRACES = 8
_MOST_NAME = 26
_MOST_TICKS = (
    20_000  #: spikes of a raster that are drawn as lines; more become an image in the file
)
_BINS = 40  #: of a histogram of intervals
_TRACES = ("#0072b2", "#d55e00", "#009e73", "#a0457b", "#e69f00", "#56b4e9", "#666666", "#1a1a1a")


@dataclass(frozen=True)
class _Panel:
    """A population: how high it stands, what is said below its name, and what draws it."""

    population: Population
    height: float
    under: str
    draw: Callable[[Axes], None]


def draw_recording(
    recording: Recording, kind: str, path: Path, *, width: float = BIN, force: bool = False
) -> None:
    """Write one picture of a recording to an .svg, .png or .pdf file; `width` in ms is that of bins of a `psth`.

    SpecError for other kinds and formats, for what was not recorded, and, without `force`, when another picture
    would be replaced; UnsupportedError where matplotlib is not installed.
    """
    require_format(path)
    if kind not in KINDS_OF_RECORDINGS:
        known = ", ".join(KINDS_OF_RECORDINGS)
        near = near_name(kind, KINDS_OF_RECORDINGS)
        raise SpecError(f"no kind of picture {kind!r}{near}; of a recording there are: {known}")
    make = {"raster": _raster, "rates": _rates, "psth": _psth, "isi": _isi}[kind]
    words, label, panels = make(recording, width)
    with replacing_files(path.parent, force=force) as staging:
        _paint(recording, words, label, panels, staging / path.name, apart=kind != "raster")


def _paint(
    recording: Recording,
    words: str,
    label: str,
    panels: list[_Panel],
    path: Path,
    apart: bool,
) -> None:
    """Panels one below the other on one time axis, with the names of populations at the left."""
    gap = _GAP if apart else 0.0
    left = _MARGIN + 14 + max([96.0, *(text_width(_name(p), 8, mono=True) for p in panels)]) + 34
    height = _HEAD + sum(panel.height + gap for panel in panels) + _FOOT
    width = left + _WIDTH + _MARGIN
    with new_figure(width, height) as figure:
        canvas = Canvas(figure)
        title = elided(one_line(recording.circuit.name), 60)
        canvas.text(_MARGIN, 22, title, fontsize=11, fontweight="bold")
        canvas.text(_MARGIN, 38, words, color=GREY)
        top = _HEAD
        for panel in panels:
            axes = canvas.axes(left, top, (_WIDTH, panel.height))
            axes.set_gid(f"population-{panel.population.name}")
            _frame(axes, last=panel is panels[-1], label=label)
            panel.draw(axes)
            _label(canvas, panel, top)
            top += panel.height + gap
        save(figure, path)


def _name(panel: _Panel) -> str:
    return elided(panel.population.name, _MOST_NAME)


def _label(canvas: Canvas, panel: _Panel, top: float) -> None:
    """The name of a population with the colour of its cell class, its layer, and what is said of it."""
    from matplotlib.patches import Rectangle

    box = (_MARGIN / canvas.width, 1 - (top + min(panel.height, 22)) / canvas.height)
    size = (7 / canvas.width, (min(panel.height, 22) - 3) / canvas.height)
    swatch = Rectangle(box, *size, facecolor=LOOKS[panel.population.cell_class].fill)
    swatch.set(edgecolor=INK, linewidth=0.5, transform=canvas.figure.transFigure)
    canvas.figure.add_artist(swatch)
    canvas.text(_MARGIN + 12, top + 10, _name(panel), fontfamily="monospace", fontweight="bold")
    lines = [f"{band_of(panel.population)} {panel.population.cell_class}", *panel.under.split("\n")]
    for k, words in enumerate(lines if panel.height > 22 else ()):
        canvas.text(_MARGIN + 12, top + 20 + 9 * k, words, color=GREY, fontsize=6.5)


def _frame(axes: Axes, last: bool, label: str) -> None:
    """Thin borders; ticks of time below the last panel only."""
    axes.spines[:].set_color(RULE)
    axes.tick_params(labelsize=6.5, color=RULE, labelbottom=last, bottom=last)
    if last:
        axes.set_xlabel(label, fontsize=7)


def _recorded(recording: Recording, cells: np.ndarray) -> Iterator[tuple[Population, np.ndarray]]:
    """The populations of which some of `cells` are, from the surface down, with the places of those."""
    for band in BANDS:
        for population in recording.circuit.populations:
            places = recording.of(population.name, cells)
            if band_of(population) == band and places.size:
                yield population, places


Made = tuple[str, str, list[_Panel]]


# ---- kinds -----------------------------------------------------------------------------------------


def _raster(recording: Recording, _: float) -> Made:
    spikes, panels = require_spikes(recording), []
    found = [
        (population, trains_of(recording, population.name))
        for population, _ in _recorded(recording, spikes.recorded)
    ]
    rows = sum(len(trains) for _, trains in found)
    row = min(_ROW, _TALLEST / max(rows, 1))
    many = len(spikes.times) > _MOST_TICKS

    def ticks(axes: Axes, trains: list[np.ndarray]) -> None:
        for k, train in enumerate(trains):
            line = axes.vlines(train, k + 0.1, k + 0.9, color=INK, linewidth=0.6)
            line.set_rasterized(many)
        axes.set_xlim(spikes.start, spikes.stop)
        axes.set_ylim(len(trains), 0)
        axes.set_yticks([])

    for population, trains in found:
        height = max(row * len(trains), _LEAST)
        under = f"{quantity(len(trains), 'soma')}"
        panels.append(_Panel(population, height, under, lambda a, t=trains: ticks(a, t)))  # type: ignore[misc]
    words = f"{quantity(len(spikes.times), 'spike')} of {quantity(rows, 'soma')}, a row each"
    return words, "ms", panels


def _rates(recording: Recording, _: float) -> Made:
    if recording.rates is None:
        raise SpecError("this recording has no rates: record them with option monitor")
    rates, panels = recording.rates, []
    sides = (rates.times[0] - rates.interval / 2, rates.times[-1] + rates.interval / 2)

    def course(axes: Axes, values: np.ndarray) -> None:
        low, high = float(values.min()), float(values.max())
        if values.shape[1] <= _MOST_TRACES:
            for k, trace in enumerate(values.T):
                axes.plot(rates.times, trace, color=_TRACES[k], linewidth=0.9)
        else:
            edges: Any = (*sides, values.shape[1], 0)
            most = high if high > low else low + 1
            shown: Any = {"cmap": "cividis", "aspect": "auto", "interpolation": "none"}
            axes.imshow(values.T, extent=edges, vmin=low, vmax=most, **shown)
            axes.set_yticks([])
        axes.set_xlim(*sides)

    for population, places in _recorded(recording, rates.cells):
        values = rates.values[:, places]
        under = f"{quantity(len(places), 'cell')}\n{values.min():.2g} … {values.max():.2g}"
        panels.append(_Panel(population, _PANEL, under, lambda a, v=values: course(a, v)))  # type: ignore[misc]
    words = (
        f"rates each {rates.interval:g} ms; colours from the least to the greatest of a population"
    )
    return words, "ms", panels


def _psth(recording: Recording, width: float) -> Made:
    spikes, panels = require_spikes(recording), []

    def bars(axes: Axes, edges: np.ndarray, values: np.ndarray) -> None:
        axes.stairs(values, edges, fill=True, color="#56b4e9")
        axes.set_xlim(spikes.start, spikes.stop)
        axes.set_ylim(0, max(1.15 * values.max(), 1.0))

    for population, _ in _recorded(recording, spikes.recorded):
        found = psth(recording, population.name, width)
        somas = len(trains_of(recording, population.name))
        under = f"{quantity(somas, 'soma')}\nmean {found.rates.mean():.3g} Hz"
        draw = lambda a, f=found: bars(a, f.edges, f.rates)  # noqa: E731
        panels.append(_Panel(population, _PANEL, under, draw))
    return f"Hz a soma, in bins of {width:g} ms", "ms", panels


def _isi(recording: Recording, _: float) -> Made:
    spikes, panels = require_spikes(recording), []
    found = [
        (population, intervals(recording, population.name))
        for population, _ in _recorded(recording, spikes.recorded)
    ]
    longest = max((each.times.max(initial=0.0) for _, each in found), default=0.0) or 1.0
    edges = np.linspace(0, 1.05 * longest, _BINS + 1)

    def bars(axes: Axes, times: np.ndarray) -> None:
        counts, _ = np.histogram(times, edges)
        axes.stairs(counts, edges, fill=True, color="#e69f00")
        axes.set_xlim(0, edges[-1])
        axes.set_ylim(0, max(1.15 * counts.max(), 1.0))

    for population, each in found:
        cv = f"CV {each.cv:.2f} of {quantity(each.somas, 'soma')}" if each.somas else "CV: too few"
        under = f"{quantity(len(each.times), 'interval')}\n{cv}"
        panels.append(_Panel(population, _PANEL, under, lambda a, t=each.times: bars(a, t)))  # type: ignore[misc]
    words = "intervals between spikes of a soma; CV: deviation over mean, averaged over somas"
    return words, "ms between spikes", panels
