"""Options of backends that emit scripts: names and numbers checked, one error each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from cortico.ir import SpecError
from cortico.ir.errors import near_name, shown


def named(backend: str, options: type[Any], given: Mapping[str, object]) -> dict[str, Any]:
    """`given`, whose names are all fields of `options`. SpecError for one that is not."""
    names = [field.name for field in fields(options)]
    for name in given:
        if name not in names:
            raise SpecError(
                f"backend {backend} has no option {shown(name)}{near_name(name, names)}; "
                f"it has: {', '.join(names)}"
            )
    return dict(given)


def require_apart(
    backend: str, given: Mapping[str, object], names: Sequence[str], choice: str
) -> None:
    """SpecError when an option is given that only `choice`, which was not made, would heed."""
    for name in given:
        if name in names:
            raise SpecError(f"option {name} of backend {backend} is for {choice} only")


def require_number(
    backend: str, name: str, found: object, low: float, high: float, whole: bool = False
) -> None:
    """SpecError unless `found` is a number from `low` to `high`."""
    kinds = (int,) if whole else (int, float)
    if not isinstance(found, kinds) or isinstance(found, bool) or not low <= found <= high:
        kind = "whole number" if whole else "number"
        raise SpecError(
            f"option {name} of backend {backend} must be a {kind} from {low:g} to {high:g}, "
            f"found {shown(found)}"
        )


def require_choice(backend: str, name: str, found: object, choices: Sequence[str]) -> None:
    """SpecError unless `found` is one of `choices`."""
    if found not in choices:
        raise SpecError(
            f"option {name} of backend {backend} must be {' or '.join(choices)}, "
            f"found {shown(found)}{near_name(str(found), choices)}"
        )
