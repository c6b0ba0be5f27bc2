"""Figures of matplotlib: scenes painted, and files written so that the same picture is the same file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cortico.backends.extras import require_library
from cortico.ir.errors import SpecError, near_name
from cortico.pictures.scene import Disc, Group, Mark, Scene, Shape, Words

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

#: What files can be written.
FORMATS = ("svg", "png", "pdf")

_POINTS = 72  #: in an inch
_ALIGNMENT: Any = {"start": "left", "middle": "center", "end": "right"}
_STYLE: Any = {
    "svg.hashsalt": "cortico",  # the same picture gives the same file
    "svg.fonttype": "none",  # words stay words: they can be searched and read aloud
    "pdf.fonttype": 42,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.monospace": ["DejaVu Sans Mono"],
    "font.size": 8,
    "axes.linewidth": 0.6,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.unicode_minus": False,
}


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """An empty figure of a size in points. UnsupportedError where matplotlib is not installed."""
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width / _POINTS, height / _POINTS))


def require_matplotlib() -> None:
    """UnsupportedError, with what to install, where matplotlib is not installed."""
    require_library("a picture", "matplotlib", "plots")


def require_format(path: Path) -> str:
    """The format that a file name asks for. SpecError when it is none of `FORMATS`."""
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        known = ", ".join(f".{each}" for each in FORMATS)
        raise SpecError(
            f"cannot draw to {str(path)!r}{near_name(suffix, FORMATS)}: its name must end in {known}"
        )
    return suffix


def save(figure: Figure, path: Path) -> None:
    """Write a figure. SpecError for formats that are not known."""
    kind = require_format(path)
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
    picture = io.BytesIO()  # matplotlib hides a full disk behind errors of its own
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # drawn as a box
        figure.savefig(picture, format=kind, dpi=200, metadata=dates[kind])
    path.write_bytes(picture.getvalue())


def paint(scene: Scene, path: Path) -> None:
    """Write a scene to a file."""
    with new_figure(scene.width, scene.height) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, scene.width)
        axes.set_ylim(scene.height, 0)
        axes.set_axis_off()
        for group in scene.groups:
            axes.add_artist(_group(group))
        save(figure, path)


def _group(group: Group) -> Artist:
    """One artist for all marks of a group, which becomes one element of an SVG file."""
    from matplotlib.artist import Artist

    class Together(Artist):
        axes: Any

        def draw(self, renderer: Any) -> None:
            renderer.open_group("group", gid=self.get_gid())
            for artist in artists:
                artist.axes, artist.figure = self.axes, self.figure
                artist.set_transform(self.axes.transData)
                artist.draw(renderer)
            renderer.close_group("group")

    artists = [_artist(mark) for mark in group.marks]
    together = Together()
    together.set_gid(group.id)
    return together


def _artist(mark: Mark) -> Any:
    from matplotlib.patches import Circle, PathPatch
    from matplotlib.text import Text

    match mark:
        case Shape():
            dash: Any = (0, tuple(d / mark.width for d in mark.dash)) if mark.dash else "solid"
            return PathPatch(
                _path(mark),
                facecolor=mark.fill or "none",
                edgecolor=mark.colour,
                linewidth=mark.width,
                linestyle=dash,
                capstyle="butt" if mark.dash else "round",
                joinstyle="round",
            )
        case Disc():
            return Circle(
                mark.centre,
                mark.radius,
                facecolor=mark.fill,
                edgecolor=mark.colour,
                linewidth=mark.width,
            )
        case Words():
            return Text(
                *mark.at,
                mark.text,
                fontsize=mark.size,
                color=mark.colour,
                fontweight="bold" if mark.bold else "normal",
                fontfamily="monospace" if mark.mono else "sans-serif",
                horizontalalignment=_ALIGNMENT[mark.anchor],
                parse_math=False,  # a dollar in a name is a dollar
            )


def _path(shape: Shape) -> Any:
    from matplotlib.path import Path as Outline

    codes = {
        "M": (Outline.MOVETO,),
        "L": (Outline.LINETO,),
        "Q": (Outline.CURVE3,) * 2,
        "Z": (Outline.CLOSEPOLY,),
    }
    points: list[Sequence[float]] = []
    steps: list[Any] = []
    for letter, where in shape.commands():
        points += where or [(0.0, 0.0)]
        steps += codes[letter]
    return Outline(points, steps)
