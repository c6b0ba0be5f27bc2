"""Passes: rewrites of circuits, one file each. The file's name is the pass's name with dashes.

`manager` runs them and checks invariants after each, `meaning` compares what two circuits compute.
"""

from cortico.passes.base import AnyPass, NetworkPass, Pass
from cortico.passes.manager import (
    Step,
    as_passes,
    check_order,
    model_passes,
    parse_passes,
    run_passes,
)
from cortico.passes.meaning import (
    compare_meaning,
    interface_change,
    relative_difference,
    seen_change,
)
from cortico.passes.naming import named_apart
from cortico.passes.networks import NetworkStep, run_across, run_on_blocks
from cortico.passes.registry import NETWORK_PASSES, PASSES, PIPELINES

__all__ = [
    "NETWORK_PASSES",
    "PASSES",
    "PIPELINES",
    "AnyPass",
    "NetworkPass",
    "NetworkStep",
    "Pass",
    "Step",
    "as_passes",
    "check_order",
    "compare_meaning",
    "interface_change",
    "model_passes",
    "named_apart",
    "parse_passes",
    "relative_difference",
    "run_across",
    "run_on_blocks",
    "run_passes",
    "seen_change",
]
