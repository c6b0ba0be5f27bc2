"""The pictures of a circuit in tabs, with room for details beside them."""

from __future__ import annotations

from html import escape
from string import Template

from cortico.ir import Circuit
from cortico.page.frame import asset
from cortico.page.svg import svg
from cortico.pictures import SCENES

#: View to its tab, and to what a screen reader says of it.
VIEWS = {
    "laminar": ("One area", "Cells and pathways of one area, above the thalamus"),
    "areas": ("All areas", "All areas, and what joins them and the thalamus"),
    "microcolumn": ("One microcolumn", "The cells of one microcolumn"),
}


def stage_html(circuit: Circuit, more: str, name: str = "") -> str:
    """The pictures; `more` is what else can be done. Ids begin with the `name` of one of several circuits."""
    prefix = f"{name}-" if name else ""
    return Template(asset("stage.html")).substitute(
        prefix=prefix,
        of=f" of {escape(name)}" if name else "",
        more=escape(more),
        tabs="\n".join(_tab(view, prefix) for view in VIEWS),
        views="\n".join(_view(circuit, view, prefix) for view in VIEWS),
    )


def _tab(view: str, prefix: str) -> str:
    chosen, order = ("true", 0) if view == next(iter(VIEWS)) else ("false", -1)
    return (
        f'<button type="button" role="tab" id="{prefix}tab-{view}" aria-controls="{prefix}view-{view}" '
        f'aria-selected="{chosen}" tabindex="{order}">{escape(VIEWS[view][0])}</button>'
    )


def _view(circuit: Circuit, view: str, prefix: str) -> str:
    """A picture in a box that scrolls."""
    picture = svg(SCENES[view](circuit), f"{prefix}{view}", VIEWS[view][1])
    hidden = "" if view == next(iter(VIEWS)) else " hidden"
    return (
        f'<div class="view" role="tabpanel" id="{prefix}view-{view}" aria-labelledby="{prefix}tab-{view}" '
        f'tabindex="0"{hidden}>{picture}</div>'
    )
