"""The audits of the circuits that specs give by default: golden files, and the table in the docs."""

import html
import inspect
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cortico import lower, random_weights
from cortico.anatomy import Verdict, audit
from cortico.anatomy.links import Link
from cortico.anatomy.markdown import audit_markdown, markdown_table
from cortico.anatomy.measures import BLOCK_MEASURES, CIRCUIT_MEASURES, LINK_MEASURES
from cortico.anatomy.rules import RULES
from cortico.spec import AttentionSpec, Kernel, Microcircuit
from tests.anatomy.circuits import joined

DOCS = Path(__file__).parents[2] / "docs"
GOLDEN = Path(__file__).parents[1] / "golden" / "anatomy"

#: A layer with the shape of MiniLM's, at 14 tokens.
SHAPE = {"model": 384, "heads": 12, "tokens": 14}

SPECS = {
    "mask": AttentionSpec(**SHAPE, kernel=Kernel.LINEAR, name="mask circuit"),
    "memory": AttentionSpec(
        **SHAPE, kernel=Kernel.LINEAR, microcircuit=Microcircuit.MEMORY, name="memory circuit"
    ),
    "softmax": AttentionSpec(**SHAPE, name="softmax circuit"),
}

RULES_LISTED = re.compile(
    r"(?<=`make golden` rewrites the rules -->\n\n)(.*?)(?=\n<!-- rules end -->)", re.S
)
TABLE = re.compile(
    r"(?<=`make golden` rewrites this table -->\n\n)(.*?)(?=\n<!-- table end -->)", re.S
)


@pytest.mark.parametrize("name", SPECS)
def test_audit(name, golden):
    spec = SPECS[name]
    golden(audit_markdown(audit(lower(spec, random_weights(spec)))), f"{name}.md", GOLDEN)


def test_the_tables_in_the_docs(golden):
    text = (DOCS / "anatomy.md").read_text(encoding="utf-8")
    for place, table in ((TABLE, three_audits()), (RULES_LISTED, rules_listed())):
        assert place.search(text)
        text = place.sub(lambda _, table=table: table + "\n", text)
    golden(text, "anatomy.md", DOCS)


def test_the_table_in_the_readme(golden):
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert TABLE.search(text)
    golden(TABLE.sub(lambda _: three_audits() + "\n", text), "README.md", DOCS.parent)


def rules_listed() -> str:
    """Every rule and measure with the first paragraph of its docstring."""
    listed = (*RULES, *LINK_MEASURES, *BLOCK_MEASURES, *CIRCUIT_MEASURES)
    said = ((f"`{rule.__name__}`", first_paragraph(rule)) for rule in listed)
    return "\n".join(
        f"| {name} | {text} |" for name, text in (("rule", "says"), ("---", "---"), *said)
    )


def first_paragraph(rule) -> str:
    return " ".join(inspect.getdoc(rule).partition("\n\n")[0].split())


def three_audits() -> str:
    """A row for each pathway of the three circuits, with the projections that take it in each."""
    found = {name: audit(lower(spec)) for name, spec in SPECS.items()}
    links = [(name, link) for name in SPECS for link in links_of(found[name].circuit)]
    pathways = dict.fromkeys(str(link) for _, link in links)
    header = ("pathway", *SPECS, "verdict", "rows")
    table = "\n".join(markdown_table(header, (row(each, links, found) for each in pathways)))
    return table.replace("\\*", "*")  # what is bold here is so on purpose


def links_of(circuit):
    return [Link(circuit, projection) for projection in circuit.projections]


def row(pathway, links, found):
    taken = [(name, link.projection.name) for name, link in links if str(link) == pathway]
    columns = [", ".join(p for n, p in taken if n == name) for name in SPECS]
    findings = [finding for name, projection in taken for finding in found[name].of(projection)]
    (verdict,) = {found[name].verdicts[projection] for name, projection in taken}
    quoted = sorted({row.id for finding in findings for row in finding.pathways})
    shown = verdict if verdict is Verdict.SUPPORTED else f"**{verdict}**"
    return (pathway.replace("->", "to"), *columns, shown, ", ".join(quoted))


def test_every_projection_is_judged():
    for spec in SPECS.values():
        circuit = lower(spec)
        assert list(audit(circuit).verdicts) == [p.name for p in circuit.projections]


def test_the_bibliography_has_what_is_quoted():
    found = audit(lower(SPECS["softmax"]))
    text = html.unescape(audit_markdown(found))
    for row in found.sources:
        for reference in row.references:
            assert reference.label in text
            assert f"https://doi.org/{reference.doi}" in text


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)


def test_a_title_cannot_break_the_document():
    spec = AttentionSpec(8, name="<script>alert(1)</script> | a\n# b")
    text = audit_markdown(audit(lower(spec)))
    tags = Tags()
    tags.feed(text)
    assert tags.seen == []
    assert text.splitlines()[0] == "# Anatomy of &lt;script>alert(1)&lt;/script> \\| a # b"


def test_the_record_has_everything():
    found = audit(joined("core:relay > L4:stellate.basal"))
    record = found.record()
    assert record["verdicts"] == {"p0": "supported"}
    assert record["findings"] == [
        {
            "projection": "p0",
            "verdict": "supported",
            "rule": "pathways_are_published",
            "statement": "Published: P01 (Bruno & Sakmann 2006).",
            "pathways": ["P01"],
            "suggestion": None,
        }
    ]
    assert {m["rule"] for m in record["measures"]} >= {"connection_probability", "neurons_per_area"}
