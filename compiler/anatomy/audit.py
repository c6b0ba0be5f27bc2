"""The audit: every projection of a circuit held against published anatomy."""

from __future__ import annotations

from collections.abc import Iterator

from cortico.anatomy.findings import Audit, Finding, Verdict
from cortico.anatomy.links import Link
from cortico.anatomy.measures import measures
from cortico.anatomy.rules import RULES
from cortico.ir import Circuit


def audit(circuit: Circuit) -> Audit:
    """What published anatomy says about each projection. Inputs from outside are no projections."""
    links = (Link(circuit, projection) for projection in circuit.projections)
    findings = tuple(finding for link in links for finding in _findings(link))
    return Audit(circuit, findings, tuple(measures(circuit)))


def _findings(link: Link) -> Iterator[Finding]:
    name, spoken = link.projection.name, False
    for rule in RULES:
        for claim in rule(link):
            spoken = True
            yield Finding(name, claim.verdict, rule.__name__, claim.statement, claim.pathways)
    if not spoken:
        statement = f"No row of the table has {link.source} cells reach {link.target} cells."
        yield Finding(name, Verdict.UNSUPPORTED, "nothing_is_published", statement, ())
