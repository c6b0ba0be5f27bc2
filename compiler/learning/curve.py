"""The loss curve as a picture, drawn with matplotlib where it is installed (extra `plots`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortico.backends.extras import is_installed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cortico.learning.training import Epoch

#: Okabe and Ito's blue and vermillion: told apart by colour-blind readers, and in grey by lightness.
_BLUE, _VERMILLION = "#0072B2", "#D55E00"

_STYLE: Any = {
    "svg.hashsalt": "cortico",  # the same losses give the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
}

_SPREAD = 10  #: a loss that falls by this factor is drawn on a logarithmic axis
_DECADES = 1000  #: up to this factor the logarithmic axis has ticks at 2 and 5, too
_FEW = 40  #: up to so many epochs each has a mark


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return is_installed("matplotlib")


def draw_losses(history: Sequence[Epoch], title: str, loss: str, path: Path) -> None:
    """Draw the loss of each epoch to an SVG file; `loss` says what the numbers are.

    ImportError when matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.5, 3.3), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        _draw(axes, history)
        axes.set_title(title, parse_math=False)  # a dollar in a name is a dollar
        axes.set_xlabel("epoch")
        axes.set_ylabel(loss)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _draw(axes: Axes, history: Sequence[Epoch]) -> None:
    epochs = [epoch.number for epoch in history]
    training = [epoch.loss for epoch in history]
    validation = [epoch.validation for epoch in history if epoch.validation is not None]
    marks = ("o", "s") if len(history) <= _FEW else ("", "")
    below = bool(validation) and training[-1] < validation[-1]
    axes.plot(epochs, training, "-", marker=marks[0], ms=3.5, color=_BLUE)
    _label(axes, epochs[-1], training[-1], "training", _BLUE, below=below)
    if validation:
        axes.plot(epochs, validation, "--", marker=marks[1], ms=3.5, color=_VERMILLION)
        _label(axes, epochs[-1], validation[-1], "validation", _VERMILLION, below=not below)
    _scale(axes, len(history), [*training, *validation])
    axes.grid(axis="y", color="0.9", linewidth=0.6)


def _scale(axes: Axes, epochs: int, losses: Sequence[float]) -> None:
    """Limits and ticks: whole epochs, and losses from zero on or by their logarithm."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    room = max(0.5, 0.03 * epochs)
    axes.set_xlim(1 - room, epochs + room)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    if 0 < _SPREAD * min(losses) < max(losses):
        axes.set_yscale("log")
        between = (1, 2, 5) if max(losses) < _DECADES * min(losses) else (1,)
        axes.yaxis.set_major_locator(LogLocator(subs=between))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(0, 1.08 * max(losses) or 1)


def _label(axes: Axes, x: float, y: float, text: str, colour: str, *, below: bool) -> None:
    """The name of a line beside its end, in place of a legend."""
    axes.annotate(
        text,
        (x, y),
        xytext=(7, -5 if below else 5),
        textcoords="offset points",
        va="center",
        color=colour,
        annotation_clip=False,
    )
