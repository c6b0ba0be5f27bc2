"""Published anatomy, and circuits held against it.

audit(circuit).verdicts          # projection -> supported, contested, unsupported or contradicted
pathways()["P11"].references     # the rows of the table, each with its sources
"""

from cortico.anatomy.audit import audit
from cortico.anatomy.data import CellCount, Checked, Pathway, Reference, cell_counts, pathways
from cortico.anatomy.findings import Audit, Finding, Measure, Verdict

__all__ = [
    "Audit",
    "CellCount",
    "Checked",
    "Finding",
    "Measure",
    "Pathway",
    "Reference",
    "Verdict",
    "audit",
    "cell_counts",
    "pathways",
]
