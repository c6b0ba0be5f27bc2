"""JSON from disk, with every way it can be wrong turned into one readable SpecError."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortico.ir.errors import SpecError, clipped, named
from cortico.ir.limits import JSON_BYTES, SHOWN_CHARACTERS
from cortico.ir.reading import read_bytes


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. SpecError when it is not JSON, not an object, or repeats a key."""
    return parse_json_object(read_bytes(path, JSON_BYTES), str(path))


def parse_json_object(text: bytes, source: str) -> dict[str, Any]:
    """The JSON object in UTF-8 `text`; `source` names it in errors."""
    try:
        value = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_no_repeats)
    except RecursionError:
        raise SpecError(f"{source!r} is not JSON that can be read: nested too deeply") from None
    except ValueError as error:  # covers UnicodeDecodeError and JSONDecodeError
        raise SpecError(f"{source!r} is not JSON that can be read: {reason(error)}") from None
    if not isinstance(value, dict):
        raise SpecError(f"{source!r} holds {kind_of(value)}, expected a JSON object")
    return value


def reason(error: Exception) -> str:
    """What a parser says is wrong, short. Python's limit on digits is said in our words."""
    if "integer string conversion" in str(error):
        return "it has a number of thousands of digits"
    return clipped(str(error), 4 * SHOWN_CHARACTERS)


def kind_of(value: object) -> str:
    """What a user calls a value of JSON, YAML or TOML: `a number`, `a text`, …"""
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (type(None), "nothing"),
        (bool, "true or false"),
        ((int, float), "a number"),
        (str, "a text"),
        (list, "a list"),
        (dict, "a table"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), type(value).__name__)


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    require_unique([key for key, _ in pairs])
    return dict(pairs)


def require_unique(keys: Sequence[str]) -> None:
    """ValueError when a key stands twice: which of the two is meant?"""
    if len(set(keys)) < len(keys):
        seen: set[str] = set()
        repeated = next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {named(repeated)} stands twice in one object")
