"""The families of checkpoints that cortico reads. A new one is a file like these, and a line here."""

from __future__ import annotations

from cortico.frontends import bert, gpt2, llama
from cortico.frontends.config import Config
from cortico.frontends.family import Family
from cortico.ir.errors import SpecError, near_name

FAMILIES: tuple[Family, ...] = (bert.FAMILY, gpt2.FAMILY, llama.FAMILY)


def family_of(config: Config) -> Family:
    """The family that serves the config's `model_type`, else SpecError with those that exist."""
    kind = config.text("model_type")
    known = [name for family in FAMILIES for name in family.model_types]
    for family in FAMILIES:
        if kind in family.model_types:
            return family
    raise SpecError(
        f"{config.source}: model_type {kind!r} is not supported{near_name(kind, known)}; "
        f"supported: {', '.join(known)}, and torch.nn.MultiheadAttention without config.json"
    )
