"""What an audit says: verdicts on projections, and numbers held against published ones."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from cortico.anatomy.data import CellCount, Pathway, Reference
from cortico.ir import Circuit


class Verdict(StrEnum):
    """What published anatomy says. In order of gravity."""

    SUPPORTED = "supported"  #: published
    CONTESTED = "contested"  #: publications disagree, or support it with a restriction
    UNSUPPORTED = "unsupported"  #: no publication in the table speaks for it
    CONTRADICTED = "contradicted"  #: published evidence speaks against it

    @property
    def gravity(self) -> int:
        return list(Verdict).index(self)


@dataclass(frozen=True)
class Finding:
    """What one rule says about one projection."""

    projection: str
    verdict: Verdict
    rule: str  #: the name of the function that says so
    statement: str
    pathways: tuple[Pathway, ...]
    suggestion: str | None = None  #: what would resolve it; tried, not guessed

    def record(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {
            "projection": self.projection,
            "verdict": self.verdict,
            "rule": self.rule,
            "statement": self.statement,
            "pathways": [pathway.id for pathway in self.pathways],
            "suggestion": self.suggestion,
        }


@dataclass(frozen=True)
class Measure:
    """A number of the circuit beside published ones. No verdict while the number is not known."""

    subject: str  #: a projection, or a piece of cortex
    rule: str
    found: str
    published: str
    verdict: Verdict | None
    statement: str
    sources: tuple[Pathway | CellCount, ...]
    suggestion: str | None = None
    path: str = ""  #: of the block, where it is of one block of a network

    def record(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {
            "subject": self.subject,
            "rule": self.rule,
            "found": self.found,
            "published": self.published,
            "verdict": self.verdict,
            "statement": self.statement,
            "sources": [source.id for source in self.sources],
            "suggestion": self.suggestion,
            **({"path": self.path} if self.path else {}),
        }


@dataclass(frozen=True)
class Audit:
    """A circuit held against published anatomy. Every projection has at least one finding."""

    circuit: Circuit
    findings: tuple[Finding, ...]
    measures: tuple[Measure, ...] = ()

    def of(self, projection: str) -> tuple[Finding, ...]:
        """What the rules say about a projection, the gravest first."""
        own = self._findings_of.get(projection, ())
        return tuple(sorted(own, key=lambda finding: -finding.verdict.gravity))

    @cached_property
    def _findings_of(self) -> dict[str, list[Finding]]:
        found: dict[str, list[Finding]] = {}
        for finding in self.findings:
            found.setdefault(finding.projection, []).append(finding)
        return found

    @cached_property
    def verdicts(self) -> dict[str, Verdict]:
        """Projection to the gravest verdict on it."""
        return {p.name: self.of(p.name)[0].verdict for p in self.circuit.projections}

    @property
    def sources(self) -> tuple[Pathway | CellCount, ...]:
        """All rows that findings and measures quote, by id."""
        quoted = [row for finding in self.findings for row in finding.pathways]
        rows = [*quoted, *(row for measure in self.measures for row in measure.sources)]
        return tuple(sorted({row.id: row for row in rows}.values(), key=lambda row: row.id))

    @property
    def references(self) -> tuple[Reference, ...]:
        """The publications behind all quoted rows, by name."""
        found = {reference for row in self.sources for reference in row.references}
        return tuple(sorted(found, key=lambda reference: (reference.label, reference.doi or "")))

    def record(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {
            "circuit": self.circuit.name,
            "verdicts": self.verdicts,
            "findings": [finding.record() for finding in self.findings],
            "measures": [measure.record() for measure in self.measures],
        }
