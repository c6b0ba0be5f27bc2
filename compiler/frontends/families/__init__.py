"""The families of checkpoints that cortico reads. A new one is a file like these, and a line here."""

from __future__ import annotations

from cortico.frontends.config import Config
from cortico.frontends.families import bert, gpt2, llama, mistral, qwen2
from cortico.frontends.family import Family
from cortico.ir.errors import SpecError

FAMILIES: tuple[Family, ...] = (
    bert.FAMILY,
    gpt2.FAMILY,
    llama.FAMILY,
    mistral.FAMILY,
    qwen2.FAMILY,
)


def family_of(config: Config) -> Family:
    """The family that serves the config's `model_type`, else SpecError with those that exist."""
    kind = config.text("model_type")
    known = [name for family in FAMILIES for name in family.model_types]
    for family in FAMILIES:
        if kind in family.model_types:
            return family
    raise SpecError(
        f"{config.source}: model_type {kind!r} is not supported{_other_spelling(kind, known)}; "
        f"supported: {', '.join(known)}, and torch.nn.MultiheadAttention without config.json"
    )


def _other_spelling(kind: str, known: list[str]) -> str:
    """A hint for a name that is spelled differently. A similar name, as of ALBERT, is another model."""
    plain = "".join(filter(str.isalnum, kind.lower()))
    same = (name for name in known if "".join(filter(str.isalnum, name)) == plain)
    return next((f" (did you mean {name!r}?)" for name in same), "")
