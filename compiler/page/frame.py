"""What every page is: its head, style, data and scripts around a body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template

from cortico.report.words import one_line


def asset(name: str) -> str:
    """The text of a file of `assets/`."""
    return (files("cortico.page") / "assets" / name).read_text(encoding="utf-8")


def framed(
    name: str, body: str, places: Mapping[str, object], data: str, scripts: Sequence[str]
) -> str:
    """A page on what is called `name`: the asset `body` with its `places` filled, JSON, scripts in the order in which they run."""
    title = escape(one_line(name))
    return Template(asset("frame.html")).substitute(
        title=title,
        style=asset("page.css"),
        body=Template(asset(body)).substitute(places, title=title),
        data=data,
        script="\n".join(map(asset, scripts)),
    )
