"""An audit as a Markdown document with a bibliography; of a whole model what blocks have in common is told once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cortico.anatomy.data import Reference
from cortico.anatomy.findings import Audit, Measure, Verdict
from cortico.anatomy.networks import NetworkAudit
from cortico.ir.paths import prefix
from cortico.report.words import markdown_text, number


def audit_markdown(found: Audit | NetworkAudit) -> str:
    """Summary, findings, numbers, quoted rows, and the publications behind them."""
    flat = _flat(found)
    parts = [
        f"# Anatomy of {markdown_text(flat.circuit.name)}",
        summary(found),
        *_section("Pathways", finding_table(found)),
        *_section("Numbers", measure_table(found)),
        *_suggestions(flat),
        *_section("Rows quoted", _row_table(flat)),
        "## Bibliography",
        "\n".join(bibliography(flat.references)),
    ]
    return "\n\n".join(parts) + "\n"


def _flat(found: Audit | NetworkAudit) -> Audit:
    return found.flat if isinstance(found, NetworkAudit) else found


def summary(found: Audit | NetworkAudit) -> str:
    """`5 projections: 3 supported, 1 contested, 1 unsupported.`, of a model with shares of synapses."""
    verdicts = list(_flat(found).verdicts.values())
    tally = ", ".join(
        f"{verdicts.count(v)} {v}{_share(found, v)}" for v in Verdict if v in verdicts
    )
    noun = "projection" if len(verdicts) == 1 else "projections"
    return f"{len(verdicts)} {noun}: {tally or 'nothing to judge'}."


def _share(found: Audit | NetworkAudit, verdict: Verdict) -> str:
    share = found.share(verdict) if isinstance(found, NetworkAudit) else None
    return "" if share is None else f" ({share:.1%} of synapses)"


Rows = Iterable[Sequence[str]]


def finding_table(found: Audit | NetworkAudit) -> Rows:
    """A row for each finding, the gravest of a projection first, under a header."""
    return _joined_findings(found) if isinstance(found, NetworkAudit) else _findings(found)


def _findings(found: Audit) -> Rows:
    yield ("projection", "pathway", "verdict", "what is published")
    for p in found.circuit.projections:
        pathway = f"{p.source} to {p.post}.{p.compartment}"
        for f in found.of(p.name):
            yield (p.name, pathway, f.verdict, f.statement)


def _joined_findings(found: NetworkAudit) -> Rows:
    yield ("projection", "pathway", "nodes", "synapses", "verdict", "what is published")
    for each in found.findings:
        ends, times = f"{each.source} to {each.target}", str(len(each.paths))
        for f in each.findings:
            row = (ends, times, number(each.synapses), f.verdict, f.statement)
            yield (f"{each.block}: {each.name}", *row)


def measure_table(found: Audit | NetworkAudit) -> Rows:
    """A row for each measure, under a header."""
    return _joined_measures(found) if isinstance(found, NetworkAudit) else _measures(found)


def _measures(found: Audit) -> Rows:
    yield ("of", "found", "published", "verdict", "what it says")
    for m in found.measures:
        yield (_subject(m), m.found, m.published, _decided(m), m.statement)


def _joined_measures(found: NetworkAudit) -> Rows:
    yield ("of", "nodes", "found", "published", "verdict", "what it says")
    for each in found.measures:
        m, where = each.measure, each.block or "the whole model"
        row = (m.found, m.published, _decided(m), m.statement)
        yield (f"{where}: {_subject(m)}", str(len(each.paths) or "–"), *row)


def _decided(measure: Measure) -> str:
    return measure.verdict or "not decided"


def _subject(measure: Measure) -> str:
    named = not measure.path or measure.subject.startswith(prefix(measure.path))
    where = "" if named else f" of {measure.path}"
    return f"{measure.subject}{where}: {measure.rule.replace('_', ' ')}"


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
