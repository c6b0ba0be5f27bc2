"""The families of checkpoints that cortico reads. A new one is a file like these, and a line here."""

from __future__ import annotations

from collections.abc import Collection

from cortico.frontends.config import Config
from cortico.frontends.families import (
    albert,
    bart,
    bert,
    bloom,
    clip,
    cohere,
    dinov2,
    distilbert,
    electra,
    falcon,
    gemma,
    gemma2,
    gemma3,
    gpt2,
    gpt_bigcode,
    gpt_neo,
    gpt_neox,
    gpt_oss,
    gptj,
    granite,
    llama,
    marian,
    mbart,
    mistral,
    mixtral,
    modernbert,
    mpnet,
    mpt,
    olmo,
    olmo2,
    olmoe,
    opt,
    pegasus,
    phi,
    phi3,
    qwen2,
    qwen3,
    roberta,
    stablelm,
    starcoder2,
    t5,
    vit,
    whisper,
)
from cortico.frontends.family import Family, of_part
from cortico.ir.errors import SpecError

FAMILIES: tuple[Family, ...] = (
    bert.FAMILY,
    roberta.FAMILY,
    electra.FAMILY,
    distilbert.FAMILY,
    albert.FAMILY,
    modernbert.FAMILY,
    gpt2.FAMILY,
    gpt_bigcode.FAMILY,
    gpt_neo.FAMILY,
    gptj.FAMILY,
    gpt_neox.FAMILY,
    opt.FAMILY,
    bloom.FAMILY,
    mpt.FAMILY,
    falcon.FAMILY,
    llama.FAMILY,
    mistral.FAMILY,
    mixtral.FAMILY,
    qwen2.FAMILY,
    qwen3.FAMILY,
    gpt_oss.FAMILY,
    gemma.FAMILY,
    gemma2.FAMILY,
    gemma3.FAMILY,
    phi.FAMILY,
    phi3.FAMILY,
    stablelm.FAMILY,
    starcoder2.FAMILY,
    cohere.FAMILY,
    granite.FAMILY,
    olmo.FAMILY,
    olmo2.FAMILY,
    olmoe.FAMILY,
    vit.FAMILY,
    dinov2.FAMILY,
    clip.TEXT,
    clip.VISION,
    *bart.FAMILIES,
    *mbart.FAMILIES,
    *marian.FAMILIES,
    *pegasus.FAMILIES,
    *whisper.FAMILIES,
    *t5.FAMILIES,
    mpnet.FAMILY,
)


_DISENTANGLED = (
    "its attention is disentangled: scores are also products of queries and keys with embeddings of the "
    "distance (content to position), which no spec has"
)
#: Why a `model_type` is not read, where that can be said.
_REASONS = {"deberta": _DISENTANGLED, "deberta-v2": _DISENTANGLED}


def family_of(
    config: Config, part: str | None = None, ignore: Collection[str] = ()
) -> tuple[Family, Config]:
    """The family that serves the config's `model_type`, and the config; SpecError with those that exist.

    Of a model of several parts, the one that `part` names.
    """
    kind = config.text("model_type")
    if kind == "clip":
        return family_of(clip.tower_of(config, part, ignore))
    parts = {family.part: family for family in FAMILIES if kind in family.model_types}
    if parts:
        return of_part(config, part, parts), config
    if kind in _REASONS:
        raise SpecError(f"{config.source}: model_type {kind!r} is not supported: {_REASONS[kind]}")
    known = list(dict.fromkeys(name for family in FAMILIES for name in family.model_types))
    raise SpecError(
        f"{config.source}: model_type {kind!r} is not supported{_other_spelling(kind, known)}; "
        f"supported: {', '.join([*known, 'clip'])}, and torch.nn.MultiheadAttention without config.json"
    )


def parts_of_model(family: Family, config: Config) -> dict[str | None, Family]:
    """The families of all parts of a model, of which one is given."""
    if family.part is None:
        return {None: family}
    kind = config.text("model_type")
    return {each.part: each for each in FAMILIES if kind in each.model_types}


def parts_of(config: Config) -> list[str | None]:
    """The parts that a config's model may have; one that is None is a model without parts."""
    kind = config.text("model_type")
    if kind == "clip":
        return [*clip.TOWERS]
    return [family.part for family in FAMILIES if kind in family.model_types]


def _other_spelling(kind: str, known: list[str]) -> str:
    """A hint for a name that is spelled differently. A similar name, as of ALBERT, is another model."""
    plain = "".join(filter(str.isalnum, kind.lower()))
    same = (name for name in known if "".join(filter(str.isalnum, name)) == plain)
    return next((f" (did you mean {name!r}?)" for name in same), "")
