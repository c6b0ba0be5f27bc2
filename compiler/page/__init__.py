"""The page of a circuit: one HTML file that needs no network, with pictures that can be explored.

    from cortico.page import Page, write_page

    write_page(Page(circuit, audit(circuit), spec, steps, claims, activity, tokens), Path("page.html"))

Tables come from Python and can be read without a script; `assets/` has the style and the script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from cortico.anatomy import Audit
from cortico.anatomy.markdown import summary
from cortico.experiment.activity import Activity
from cortico.files.writing import write_text
from cortico.ir import Circuit
from cortico.page.data import json_text, page_data
from cortico.page.svg import svg
from cortico.page.tables import audit_html, circuit_tables, passes_html, proof_html, spec_html
from cortico.passes import Step
from cortico.pictures import SCENES, require_drawable
from cortico.pictures.titles import area_count, size_of
from cortico.report.words import one_line
from cortico.spec import AttentionSpec
from cortico.verify.claims import Claim

#: Scripts in the order in which they run.
_SCRIPTS = ("common.js", "circuit.js", "activity.js", "search.js")

#: View to its tab, and to what a screen reader says of it.
_VIEWS = {
    "laminar": ("One area", "Cells and pathways of one area, above the thalamus"),
    "areas": ("All areas", "All areas, and what joins them and the thalamus"),
    "microcolumn": ("One microcolumn", "The cells of one microcolumn"),
}


@dataclass(frozen=True)
class Page:
    """What a page shows. `activity` is that of the same circuit with its sizes as numbers."""

    circuit: Circuit
    audit: Audit
    spec: AttentionSpec | None = None
    steps: Sequence[Step] = ()
    claims: Sequence[Claim] = ()
    activity: Activity | None = None
    tokens: Sequence[str] = ()


def page_html(page: Page) -> str:
    """The whole page as one text. SpecError for a circuit that is too large to draw."""
    circuit = page.circuit
    require_drawable(circuit)
    return Template(_asset("page.html")).substitute(
        title=escape(one_line(circuit.name)),
        size=escape(f"{area_count(circuit)}, {size_of(circuit)}"),
        style=_asset("page.css"),
        tabs="\n".join(_tab(view, k == 0) for k, view in enumerate(_VIEWS)),
        views="\n".join(_view(circuit, view, k == 0) for k, view in enumerate(_VIEWS)),
        circuit=circuit_tables(page.audit),
        spec=spec_html(page.spec),
        passes=passes_html(page.steps),
        summary=escape(summary(page.audit)),
        audit=audit_html(page.audit),
        proof=proof_html(page.claims),
        data=json_text(page_data(circuit, page.audit, page.activity, page.tokens)),
        script="\n".join(map(_asset, _SCRIPTS)),
    )


def write_page(page: Page, path: Path, *, force: bool = False) -> None:
    """Write the page to a file. SpecError when another one is there, without `force`."""
    write_text(path, page_html(page), force=force)


def _asset(name: str) -> str:
    return (files("cortico.page") / "assets" / name).read_text(encoding="utf-8")


def _tab(view: str, first: bool) -> str:
    chosen, order = ("true", 0) if first else ("false", -1)
    return (
        f'<button type="button" role="tab" id="tab-{view}" aria-controls="view-{view}" '
        f'aria-selected="{chosen}" tabindex="{order}">{escape(_VIEWS[view][0])}</button>'
    )


def _view(circuit: Circuit, view: str, first: bool) -> str:
    """A picture in a box that scrolls."""
    picture = svg(SCENES[view](circuit), view, _VIEWS[view][1])
    return (
        f'<div class="view" role="tabpanel" id="view-{view}" aria-labelledby="tab-{view}" '
        f'tabindex="0"{"" if first else " hidden"}>{picture}</div>'
    )
