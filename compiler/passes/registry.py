"""Which passes there are, and the pipelines that have a name."""

from __future__ import annotations

from cortico.backends.extras import plugins
from cortico.passes.base import AnyPass, NetworkPass, Pass
from cortico.passes.drop_softmax_shift import DropSoftmaxShift
from cortico.passes.fold_constants import FoldConstants
from cortico.passes.fold_norm import FoldNorm
from cortico.passes.low_rank import LowRank
from cortico.passes.merge_duplicates import MergeDuplicates
from cortico.passes.move_value_bias import MoveValueBias
from cortico.passes.prune_across import PruneAcross
from cortico.passes.prune_dead import PruneDead
from cortico.passes.prune_heads import PruneHeads
from cortico.passes.prune_small import PruneSmall
from cortico.passes.quantize import Quantize
from cortico.passes.reassociate import Reassociate
from cortico.passes.restrict_domain import RestrictDomain
from cortico.passes.serialize import Serialize
from cortico.passes.share_relays import ShareRelays
from cortico.passes.split_sign import SplitSign

#: Every pass of circuits, in the order in which they are listed.
PASSES: tuple[type[Pass], ...] = (
    RestrictDomain,
    DropSoftmaxShift,
    MoveValueBias,
    PruneDead,
    Reassociate,
    ShareRelays,
    MergeDuplicates,
    FoldConstants,
    Serialize,
    SplitSign,
    PruneSmall,
    PruneHeads,
    LowRank,
    Quantize,
)

#: Those that look across the wires of a network.
NETWORK_PASSES: tuple[type[NetworkPass], ...] = (FoldNorm, PruneAcross)

_SMALLER = ("restrict-domain", "drop-softmax-shift", "move-value-bias", "prune-dead")

#: Named pipelines, as `--passes` takes them.
PIPELINES: dict[str, tuple[str, ...]] = {
    "none": (),
    "default": (*_SMALLER, "share-relays", "merge-duplicates", "fold-constants"),
    "aggressive": (*_SMALLER, "reassociate", "share-relays", "merge-duplicates", "fold-constants"),
}


def find_pass(name: str) -> type[AnyPass] | None:
    """The pass called `name`: one of ours, or one installed under the entry points `cortico.passes`."""
    ours: dict[str, type[AnyPass]] = {kind.name: kind for kind in (*PASSES, *NETWORK_PASSES)}
    if name in ours:
        return ours[name]
    for entry in plugins("cortico.passes").select(name=name):
        found: type[AnyPass] = entry.load()
        return found
    return None
