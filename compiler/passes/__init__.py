"""Passes: rewrites of circuits, one file each. The file's name is the pass's name with dashes.

`manager` runs them and checks invariants after each, `meaning` compares what two circuits compute.
"""

from cortico.passes.base import Pass
from cortico.passes.manager import Step, check_order, named_apart, parse_passes, run_passes
from cortico.passes.meaning import (
    clearly_differ,
    compare_meaning,
    interface_change,
    moved_by,
    relative_difference,
)
from cortico.passes.registry import PASSES, PIPELINES

__all__ = [
    "PASSES",
    "PIPELINES",
    "Pass",
    "Step",
    "check_order",
    "clearly_differ",
    "compare_meaning",
    "interface_change",
    "moved_by",
    "named_apart",
    "parse_passes",
    "relative_difference",
    "run_passes",
]
