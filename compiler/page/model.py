"""The page of a whole model: one HTML file on which one walks from levels to blocks, areas and populations.

    from cortico.page.model import ModelPage, write_model_page

    write_model_page(ModelPage(compilation.network, compilation.spec, compilation.steps), Path("page.html"))

Blocks that are equal are one circuit: it is drawn once, whatever the number of levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template

from cortico.anatomy import Audit, audit
from cortico.anatomy.markdown import summary
from cortico.files.writing import write_text
from cortico.frontends.spec_file import spec_to_json
from cortico.ir.network import Network, Node
from cortico.page.data import json_text
from cortico.page.frame import asset, framed
from cortico.page.model_data import ModelData
from cortico.page.stage import stage_html
from cortico.page.svg import svg
from cortico.page.tables import audit_html, circuit_tables, passes_html, proof_html, table_html
from cortico.passes import NetworkStep, Step
from cortico.pictures import require_drawable
from cortico.pictures.hierarchy import hierarchy_scene
from cortico.pictures.titles import size_of
from cortico.report.networks import network_tables
from cortico.report.words import quantity
from cortico.spec import ModelSpec
from cortico.verify.claims import Claim

#: Scripts in the order in which they run.
_SCRIPTS = ("common.js", "stage.js", "model.js")

#: What a click on an area does.
_MORE = " An area of the second picture leads to its layers."

_SCALE = 1.2  #: pixels for a point of the picture of the model, with room for a scroll bar

_NO_STEPS = "<p>Read from a compiled model, which does not say what its passes did.</p>"
_NO_SPEC = "<p>Read from a compiled model: its spec is in spec.json beside it.</p>"


@dataclass(frozen=True)
class ModelPage:
    """What a page shows. `spec` and `steps` (by path) are of a model that was compiled just now."""

    network: Network
    spec: ModelSpec | None = None
    steps: Mapping[str, Sequence[Step]] = field(default_factory=dict)
    across: Sequence[NetworkStep] = ()  #: passes across wires
    claims: Sequence[Claim] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)  #: numbers for symbols


def model_page_html(page: ModelPage) -> str:
    """The whole page as one text. SpecError for a network, or a circuit of it, that is too large to draw."""
    network, known = page.network, ModelData(page.network, page.sizes)
    audits = {name: audit(circuit) for name, circuit in known.circuits.items()}
    for each in audits.values():
        require_drawable(each.circuit)
    levels = quantity(len(network.levels), "level")
    scene = hierarchy_scene(network, page.sizes)
    places = {
        "size": escape(
            f"{levels}, {size_of(known.flat)}, {quantity(known.flat.counts().parameters, 'parameter')}"
        ),
        "width": round(_SCALE * scene.width),
        "hierarchy": svg(scene, "map", "Levels and blocks of the model"),
        "blocks": "\n".join(_block(page, name, found) for name, found in audits.items()),
        "tables": "\n".join(map(table_html, network_tables(network, page.steps, page.across))),
        "proof": proof_html(page.claims),
        "spec": _NO_SPEC if page.spec is None else f"<pre>{escape(spec_to_json(page.spec))}</pre>",
    }
    return framed(network.name, "model.html", places, json_text(known.record(audits)), _SCRIPTS)


def write_model_page(page: ModelPage, path: Path, *, force: bool = False) -> None:
    """Write the page to a file. SpecError when another one is there, without `force`."""
    write_text(path, model_page_html(page), force=force)


def _block(page: ModelPage, name: str, found: Audit) -> str:
    """A distinct circuit: where it stands, its pictures and its tables."""
    nodes = next(n for c, n in page.network.blocks.items() if page.network.block_names[c] == name)
    steps = page.steps.get(nodes[0].path, ())
    return Template(asset("block.html")).substitute(
        name=name,
        places=", ".join(map(_link, nodes)),
        stage=stage_html(found.circuit, _MORE, name),
        circuit=circuit_tables(found, f" of {name}"),
        summary=escape(summary(found)),
        audit=audit_html(found, f" of {name}"),
        passes=_NO_STEPS if page.spec is None else passes_html(steps, f" of {name}"),
    )


def _link(node: Node) -> str:
    return f'<a href="#/{escape(node.path)}">{escape(node.path)}</a>'
