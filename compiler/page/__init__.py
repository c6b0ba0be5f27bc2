"""The page of a circuit: one HTML file that needs no network, with pictures that can be explored.

    from cortico.page import Page, write_page

    write_page(Page(circuit, audit(circuit), spec, steps, claims, activity, tokens), Path("page.html"))

Tables come from Python and can be read without a script; `assets/` has the style and the script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from cortico.anatomy import Audit
from cortico.anatomy.markdown import summary
from cortico.experiment.activity import Activity
from cortico.files.writing import write_text
from cortico.ir import Circuit
from cortico.page.data import json_text, page_data
from cortico.page.frame import framed
from cortico.page.stage import stage_html
from cortico.page.tables import audit_html, circuit_tables, passes_html, proof_html, spec_html
from cortico.passes import Step
from cortico.pictures import require_drawable
from cortico.pictures.titles import area_count, size_of
from cortico.spec import AttentionSpec
from cortico.verify.claims import Claim

#: Scripts in the order in which they run.
_SCRIPTS = ("common.js", "stage.js", "circuit.js", "activity.js", "search.js")

#: What a click on an area does.
_MORE = " An area of the second picture leads to its microcolumns."


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
    places = {
        "size": escape(f"{area_count(circuit)}, {size_of(circuit)}"),
        "stage": stage_html(circuit, _MORE),
        "circuit": circuit_tables(page.audit),
        "spec": spec_html(page.spec),
        "passes": passes_html(page.steps),
        "summary": escape(summary(page.audit)),
        "audit": audit_html(page.audit),
        "proof": proof_html(page.claims),
    }
    data = json_text(page_data(circuit, page.audit, page.activity, page.tokens))
    return framed(circuit.name, "page.html", places, data, _SCRIPTS)


def write_page(page: Page, path: Path, *, force: bool = False) -> None:
    """Write the page to a file. SpecError when another one is there, without `force`."""
    write_text(path, page_html(page), force=force)
