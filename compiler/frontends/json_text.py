"""JSON from disk, with every way it can be wrong turned into one readable SpecError."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

from cortico.ir.errors import SpecError

#: A path as users write it.
AnyPath = str | PathLike[str]


def read_bytes(path: Path) -> bytes:
    """The whole file. SpecError when it cannot be read."""
    require_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpecError(f"cannot read {str(path)!r}: {error.strerror}") from None


def require_file(path: Path) -> None:
    """SpecError unless `path` is a regular file; a pipe or a device would be waited on for ever."""
    try:
        path.stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(f"cannot read {str(path)!r}: {reason}") from None
    if not path.is_file():
        kind = "a directory" if path.is_dir() else "not a regular file"
        raise SpecError(f"cannot read {str(path)!r}: it is {kind}, expected a file")


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. SpecError when it is not JSON, not an object, or repeats a key."""
    return parse_json_object(read_bytes(path), str(path))


def parse_json_object(text: bytes, source: str) -> dict[str, Any]:
    """The JSON object in UTF-8 `text`; `source` names it in errors."""
    try:
        value = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_no_repeats)
    except RecursionError:
        raise SpecError(f"{source!r} is not JSON that can be read: nested too deeply") from None
    except ValueError as error:  # covers UnicodeDecodeError and JSONDecodeError
        raise SpecError(f"{source!r} is not JSON that can be read: {error}") from None
    if not isinstance(value, dict):
        raise SpecError(f"{source!r} holds {kind_of(value)}, expected a JSON object")
    return value


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
    table = dict(pairs)
    if len(table) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {repeated!r} stands twice in one object")
    return table
