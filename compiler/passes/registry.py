"""Which passes there are, and the pipelines that have a name."""

from __future__ import annotations

from cortico.passes.base import Pass
from cortico.passes.share_relays import ShareRelays

#: Every pass, in the order in which they are listed.
PASSES: tuple[type[Pass], ...] = (ShareRelays,)

#: Named pipelines, as `--passes` takes them.
PIPELINES: dict[str, tuple[str, ...]] = {
    "none": (),
    "default": ("share-relays",),
    "aggressive": ("share-relays",),
}
