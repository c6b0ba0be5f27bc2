"""An audit as a Markdown document with a bibliography."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cortico.anatomy.data import Reference
from cortico.anatomy.findings import Audit, Measure, Verdict
from cortico.report.words import markdown_text


def audit_markdown(found: Audit) -> str:
    """Summary, findings, numbers, quoted rows, and the publications behind them."""
    parts = [
        f"# Anatomy of {markdown_text(found.circuit.name)}",
        summary(found),
        *_section("Pathways", finding_table(found)),
        *_section("Numbers", measure_table(found)),
        *_suggestions(found),
        *_section("Rows quoted", _row_table(found)),
        "## Bibliography",
        "\n".join(bibliography(found.references)),
    ]
    return "\n\n".join(parts) + "\n"


def summary(found: Audit) -> str:
    """`5 projections: 3 supported, 1 contested, 1 unsupported.`"""
    verdicts = list(found.verdicts.values())
    tally = ", ".join(f"{verdicts.count(v)} {v}" for v in Verdict if v in verdicts)
    noun = "projection" if len(verdicts) == 1 else "projections"
    return f"{len(verdicts)} {noun}: {tally or 'nothing to judge'}."


Rows = Iterable[Sequence[str]]


def finding_table(found: Audit) -> Rows:
    """A row for each finding, the gravest of a projection first, under a header."""
    yield ("projection", "pathway", "verdict", "what is published")
    for p in found.circuit.projections:
        pathway = f"{p.source} to {p.post}.{p.compartment}"
        for f in found.of(p.name):
            yield (p.name, pathway, f.verdict, f.statement)


def measure_table(found: Audit) -> Rows:
    """A row for each measure, under a header."""
    yield ("of", "found", "published", "verdict", "what it says")
    for m in found.measures:
        verdict = m.verdict or "not decided"
        yield (_subject(m), m.found, m.published, verdict, m.statement)


def _subject(measure: Measure) -> str:
    return f"{measure.subject}: {measure.rule.replace('_', ' ')}"


def suggestions(found: Audit) -> Iterator[str]:
    """What would help, and which warnings it would resolve: a line for each change."""
    resolved: dict[str, list[str]] = {}
    for finding in found.findings:
        if finding.suggestion:
            resolved.setdefault(finding.suggestion, []).append(finding.projection)
    for measure in found.measures:
        if measure.suggestion:
            resolved.setdefault(measure.suggestion, []).append(_subject(measure))
    for change, subjects in resolved.items():
        yield f"{change} resolves {', '.join(dict.fromkeys(subjects))}"


def _row_table(found: Audit) -> Rows:
    yield ("row", "species, area", "reference", "claim checked by", "caveat")
    for row in found.sources:
        labels = "; ".join(reference.label for reference in row.references)
        yield (row.id, row.species, labels, row.claim_checked, row.caveat)


def bibliography(references: Iterable[Reference]) -> Iterator[str]:
    """A list item for each publication, saying how its DOI was checked."""
    for each in references:
        link = f" [doi:{each.doi}](https://doi.org/{each.doi})" if each.doi else " no DOI"
        yield f"* {markdown_text(each.label)},{link} (DOI checked: {each.checked.replace('_', ' ')})"


def _suggestions(found: Audit) -> Iterator[str]:
    lines = [f"* {markdown_text(line)}" for line in suggestions(found)]
    if lines:
        yield "## Suggestions"
        yield "\n".join(lines)


def _section(title: str, rows: Rows) -> Iterator[str]:
    header, *body = rows
    if body:
        yield f"## {title}"
        yield "\n".join(markdown_table(header, body))


def markdown_table(header: Sequence[str], rows: Rows) -> Iterator[str]:
    """The lines of a table."""
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(map(markdown_text, row))} |"
