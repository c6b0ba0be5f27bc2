"""Seats: the modules of a live model of transformers in whose place emitted code computes attention."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cortico.frontends.checkpoint import count_layers
from cortico.frontends.families import parts_of
from cortico.frontends.family import Attention
from cortico.frontends.live_models import (
    config_of,
    has,
    open_model,
    place_of,
    read_live,
)
from cortico.ir.errors import SpecError, UnsupportedError

#: Of families whose attention is not one module: the module that attends, and the map out, which the circuit has.
_TWO = ("self", "output.dense")
_SPLIT: Mapping[str, tuple[str, str]] = {"BERT": _TWO, "RoBERTa": _TWO, "ELECTRA": _TWO}

_BY_DISTANCE = "its position bias by distance is a table for one number of tokens"
#: Families that are not replaced, and why.
REFUSED: Mapping[str, str] = {
    "ALBERT": "its module of attention adds the residual and normalises, too",
    "Bloom": "its position bias depends on where the padding is",
    "GPT-Neo": "its modules hide tokens themselves, whatever the mask",
    "ModernBERT": "it does not tell its attention the positions of tokens, but how each is turned",
    "MPNet": _BY_DISTANCE,
    "MPT": "its position bias is of another length than what it caches",
    "T5": _BY_DISTANCE,
    "mT5": _BY_DISTANCE,
}
#: Ways in which transformers computes attention whose masks are understood.
_WAYS = (None, "eager", "sdpa")


@dataclass(frozen=True)
class Seat:
    """One module of attention and what it computes.

    layer: its number in its part. path: of the module. dense: of a module behind it that the circuit has already, if there is one.
    """

    layer: int
    path: str
    dense: str | None
    attention: Attention


def seats_of(model: Any) -> list[Seat]:
    """Every attention of a live model, read; UnsupportedError, SpecError where one cannot be replaced."""
    config = config_of(model)
    way = getattr(model.config, "_attn_implementation", None)
    if way not in _WAYS:
        raise UnsupportedError(
            f"{type(model).__name__} attends by {way!r}, expected 'sdpa' or 'eager': "
            "model.set_attn_implementation('sdpa')"
        )
    seats = [seat for part in parts_of(config) for seat in _seats_of_part(model, part)]
    _refuse_others(model, [seat.path for seat in seats])
    return seats


def _seats_of_part(model: Any, part: str | None) -> Iterator[Seat]:
    found = open_model(model, part=part)
    family = found.family
    assert family is not None
    if family.name in REFUSED:
        raise UnsupportedError(
            f"attention of {family.name} is not replaced: {REFUSED[family.name]}"
        )
    if part is not None and not has(model, place_of(found, 0).removesuffix(".")):
        return  # a decoder that stands alone, or one tower of two
    for layer in range(count_layers(found)):
        place, attention = place_of(found, layer), read_live(model, found, layer, part=part)
        inside, dense = _SPLIT.get(family.name, ("", None))
        path = f"{place}{inside}".removesuffix(".")
        yield Seat(layer, path, dense and f"{place}{dense}", attention)


def _refuse_others(model: Any, paths: Collection[str]) -> None:
    """SpecError where the model attends elsewhere, too."""
    for name, module in model.named_modules():
        inside = any(
            f"{name}.".startswith(f"{p}.") or f"{p}.".startswith(f"{name}.") for p in paths
        )
        if type(module).__name__.endswith("Attention") and not inside:
            raise SpecError(
                f"{type(model).__name__} has attention at {name!r}, a {type(module).__name__}, "
                "that its config does not speak of: not all of it would be replaced"
            )
