"""The parts of the page that can be read without its script: tables of cells, pathways, audit and proofs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from cortico.anatomy import Audit, Finding, Reference
from cortico.anatomy.findings import Measure
from cortico.frontends.spec_file import spec_to_mapping
from cortico.passes import Step
from cortico.report.summary import pass_table, report_tables
from cortico.report.table import Table
from cortico.spec import AttentionSpec
from cortico.verify.claims import Claim

#: What stands before a verdict, so that it can be told without colours.
SIGNS = {"supported": "✓", "contested": "~", "unsupported": "?", "contradicted": "✗"}


def table_html(table: Table, of: str = "") -> str:
    """A report table; its title, with `of` behind it, is the caption."""
    words = len(table.header) - table.numeric
    return _table(
        table.title + of, table.header, ([escape(c) for c in r] for r in table.rows), words
    )


def circuit_tables(audit: Audit, of: str = "") -> str:
    """Cells and pathways, each with counts: the text alternative of the pictures. Titles end with `of`."""
    return "\n".join(table_html(table, of) for table in report_tables(audit.circuit))


def spec_html(spec: AttentionSpec | None) -> str:
    """The fields that differ from the defaults."""
    if spec is None:
        return "<p>Read from a compiled circuit, which does not hold its spec.</p>"
    rows = ((f"<code>{escape(k)}</code>", escape(str(v))) for k, v in _flat(spec_to_mapping(spec)))
    return _table("Fields that differ from the defaults", ("field", "value"), rows, 2)


def _flat(mapping: object, path: str = "") -> Iterator[tuple[str, object]]:
    if not isinstance(mapping, dict):
        yield path, mapping
        return
    for key, value in mapping.items():
        yield from _flat(value, f"{path}.{key}" if path else str(key))


def passes_html(steps: Sequence[Step], of: str = "") -> str:
    """What each pass changed."""
    if not any(step.changed or step.left_out for step in steps):
        return "<p>No pass changed this circuit.</p>"
    return table_html(pass_table(steps), of)


def proof_html(claims: Sequence[Claim]) -> str:
    """Every claim and how well it is known."""
    if not claims:
        return (
            "<p>Nothing was proved for this page. <code>cortico report --verify</code> proves the "
            "circuit and its passes, which takes seconds to minutes.</p>"
        )
    rows = (
        (escape(c.claim), escape(c.verdict), escape("; given ".join([c.detail, *c.given])))
        for c in claims
    )
    return _table("Claims", ("claim", "how well it is known", "detail"), rows, 3)


# ---- anatomy -------------------------------------------------------------------------------------


def audit_html(audit: Audit, of: str = "") -> str:
    """Findings by projection, numbers beside published ones, and the publications."""
    findings = _table(
        f"Pathways beside published ones{of}",
        ("projection", "verdict", "what is published", "sources"),
        (row for p in audit.circuit.projections for row in _finding_rows(audit.of(p.name))),
        4,
    )
    return "\n".join((findings, _measures(audit.measures, of), _bibliography(audit.references)))


def _finding_rows(findings: Iterable[Finding]) -> Iterator[Sequence[str]]:
    for finding in findings:
        references = dict.fromkeys(r for pathway in finding.pathways for r in pathway.references)
        sources = "; ".join(map(reference_html, references))
        suggestion = f" Would help: {finding.suggestion}." if finding.suggestion else ""
        name = f"<code>{escape(finding.projection)}</code>"
        statement = escape(finding.statement + suggestion)
        yield (name, verdict_html(finding.verdict), statement, sources)


def _measures(measures: Sequence[Measure], of: str) -> str:
    if not measures:
        return ""
    rows = (
        (
            escape(m.subject),
            escape(m.found),
            escape(m.published),
            verdict_html(m.verdict) if m.verdict else "not decided",
            escape(m.statement),
        )
        for m in measures
    )
    header = ("of", "found", "published", "verdict", "what it says")
    return _table(f"Numbers beside published ones{of}", header, rows, 5)


def verdict_html(verdict: str) -> str:
    """A verdict with its sign and colour."""
    return f'<span class="verdict {verdict}">{SIGNS[verdict]} {verdict}</span>'


def reference_html(reference: Reference) -> str:
    """A publication, linked where it has a DOI."""
    label = escape(reference.label)
    if reference.doi is None:
        return label
    address = f"https://doi.org/{escape(reference.doi)}"
    return f'<a href="{address}" rel="noreferrer">{label}</a>'


def _bibliography(references: Iterable[Reference]) -> str:
    items = "\n".join(
        f"<li>{reference_html(r)}{f', doi {escape(r.doi)}' if r.doi else ''} "
        f"(DOI checked: {escape(r.checked.value.replace('_', ' '))})</li>"
        for r in references
    )
    return f"<details><summary>Publications</summary><ul>\n{items}\n</ul></details>"


def _table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> str:
    """A table in HTML; the columns after the first `words` hold numbers. Cells are HTML already."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "\n".join(f"<tr>{''.join(_cells(row, words))}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table: {escape(title)}">'
        f"<table><caption>{escape(title)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _cells(row: Sequence[str], words: int) -> Iterator[str]:
    first, *others = row
    yield f'<th scope="row">{first}</th>'
    for k, cell in enumerate(others, start=1):
        yield f"<td>{cell}</td>" if k < words else f'<td class="number">{cell}</td>'
