"""The audit of a whole model: what is alike in nodes that share a block is told once, with how often it is there.

Wires are pathways, too: synapses of the block that hears, from cells of another.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cortico.anatomy.audit import audit
from cortico.anatomy.findings import Audit, Finding, Measure, Verdict
from cortico.anatomy.links import Link
from cortico.ir.counts import Count
from cortico.ir.names import local_name
from cortico.ir.network import Network
from cortico.ir.paths import prefix


@dataclass(frozen=True)
class JoinedFinding:
    """A projection of a distinct block, or a wire onto it, at all nodes where the same is found of it."""

    block: str  #: whose cells hear
    name: str  #: of the projection within the block
    source: str  #: the population that is heard; of another block after the name of that
    target: str  #: population and compartment that hear
    paths: tuple[str, ...]  #: the nodes
    projections: tuple[str, ...]  #: their names in the flat circuit
    synapses: Count  #: of all nodes
    findings: tuple[Finding, ...]  #: as of the first node, the gravest first

    @property
    def verdict(self) -> Verdict:
        return self.findings[0].verdict

    def record(self) -> dict[str, Any]:
        """The same as JSON has it; a number of synapses that depends on sizes is a text."""
        count = self.synapses if isinstance(self.synapses, int) else str(self.synapses)
        return {
            "block": self.block,
            "projection": self.name,
            "source": self.source,
            "target": self.target,
            "nodes": list(self.paths),
            "synapses": count,
            "verdict": self.verdict,
            "findings": [_without_projection(finding) for finding in self.findings],
        }


@dataclass(frozen=True)
class JoinedMeasure:
    """A number of a distinct block at all nodes of which it says the same; of the whole model without a block."""

    block: str
    measure: Measure  #: without a path; `found` is the range of all nodes
    paths: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {"block": self.block, "nodes": list(self.paths), **self.measure.record()}


@dataclass(frozen=True)
class NetworkAudit:
    """A network held against published anatomy: `flat` says it of every projection of the flat circuit."""

    network: Network
    flat: Audit

    @cached_property
    def _block_at(self) -> dict[str, str]:
        """Path of a node to the name of its block."""
        names = self.network.block_names
        return {node.path: names[node.circuit] for node in self.network.nodes}

    @cached_property
    def findings(self) -> tuple[JoinedFinding, ...]:
        """Every projection of every distinct block, and the wires onto it, block by block."""
        groups: dict[Hashable, list[Link]] = {}
        for projection in self.flat.circuit.projections:
            link = Link(self.flat.circuit, projection)
            said = (replace(f, projection="") for f in self.flat.of(projection.name))
            key = (self._block_at[link.post.path], link.name, self._source(link), *said)
            groups.setdefault(key, []).append(link)
        made = (self._joined(links) for links in groups.values())
        return tuple(sorted(made, key=lambda each: self._place(each.block)))

    def _joined(self, links: list[Link]) -> JoinedFinding:
        first, projections = links[0], [link.projection for link in links]
        return JoinedFinding(
            self._block_at[first.post.path],
            first.name,
            self._source(first),
            f"{local_name(first.post)}.{first.projection.compartment}",
            tuple(link.post.path for link in links),
            tuple(projection.name for projection in projections),
            self.flat.circuit.counts().synapses_in(projections),
            self.flat.of(first.projection.name),
        )

    def _source(self, link: Link) -> str:
        name = local_name(link.pre)
        within = link.pre.path == link.post.path
        return name if within else f"{self._block_at[link.pre.path]}.{name}"

    @cached_property
    def measures(self) -> tuple[JoinedMeasure, ...]:
        """Every number of every distinct block, block by block, then those of the whole model."""
        groups: dict[Hashable, list[Measure]] = {}
        for measure in self.flat.measures:
            own = replace(measure, subject=measure.subject.removeprefix(prefix(measure.path)))
            block = self._block_at.get(measure.path, "")
            groups.setdefault((block, replace(own, path="", found="")), []).append(own)
        made = (
            JoinedMeasure(
                self._block_at.get(found[0].path, ""),
                replace(found[0], found=_range([measure.found for measure in found]), path=""),
                tuple(measure.path for measure in found if measure.path),
            )
            for found in groups.values()
        )
        return tuple(sorted(made, key=lambda each: self._place(each.block)))

    def _place(self, block: str) -> int:
        """Where a block stands in the order of blocks; the whole model is last."""
        names = list(self.network.block_names.values())
        return names.index(block) if block else len(names)

    def share(self, verdict: Verdict) -> Any:
        """The share of synapses with this verdict; None while it depends on sizes."""
        of_all = self.flat.circuit.counts().synapses
        own = sum(each.synapses for each in self.findings if each.verdict is verdict)
        return own / of_all if isinstance(of_all, int) and isinstance(own, int) else None

    def record(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {
            "network": self.network.name,
            "findings": [each.record() for each in self.findings],
            "measures": [each.record() for each in self.measures],
        }


def audit_network(network: Network) -> NetworkAudit:
    """What published anatomy says about each projection and each wire of a network.

    CircuitError where the flat circuit cannot be made.
    """
    return NetworkAudit(network, audit(network.flatten()))


def _without_projection(finding: Finding) -> dict[str, Any]:
    return {key: value for key, value in finding.record().items() if key != "projection"}


def _range(found: list[str]) -> str:
    """The texts with the least and the largest number, or the one there is."""
    low, high = min(found, key=_first_number), max(found, key=_first_number)
    return low if _first_number(low) == _first_number(high) else f"{low} … {high}"


def _first_number(text: str) -> float:
    digits: Iterator[str] = (part.replace(",", "") for part in re.findall(r"\d[\d,.e+-]*", text))
    try:
        return float(next(digits, "0").rstrip(",.-+e"))
    except ValueError:
        return 0.0
