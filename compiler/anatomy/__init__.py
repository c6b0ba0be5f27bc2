"""Published anatomy, and circuits held against it.

audit(circuit).verdicts          # projection -> supported, contested, unsupported or contradicted
audit_network(network).findings  # the same of a whole model: what blocks have in common is told once
pathways()["P11"].references     # the rows of the table, each with its sources
"""

from cortico.anatomy.audit import audit
from cortico.anatomy.data import CellCount, Checked, Pathway, Reference, cell_counts, pathways
from cortico.anatomy.findings import Audit, Finding, Measure, Verdict
from cortico.anatomy.networks import NetworkAudit, audit_network

__all__ = [
    "Audit",
    "CellCount",
    "Checked",
    "Finding",
    "Measure",
    "NetworkAudit",
    "Pathway",
    "Reference",
    "Verdict",
    "audit",
    "audit_network",
    "cell_counts",
    "pathways",
]
