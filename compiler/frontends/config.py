"""`Config`: the `config.json` of a checkpoint, read key by key with readable errors."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortico.frontends.json_text import read_json_object
from cortico.ir.errors import SpecError, near_name, shown
from cortico.ir.limits import MODEL_SIZE


@dataclass(frozen=True)
class Config:
    """Values of a JSON object and the file they come from. JSON's null counts as absent.

    Every reader raises SpecError, naming file and key, when the value is missing (and has no
    default) or has another type than the one asked for.
    """

    source: str
    values: Mapping[str, Any]

    def size(self, key: str, default: int | None = None) -> int:
        """A positive integer: features, heads or layers."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < MODEL_SIZE:
            raise self.wrong(key, f"a positive integer below {MODEL_SIZE}")
        return value

    def optional_size(self, key: str) -> int | None:
        """A positive integer, or None when the key is absent or null."""
        return None if self.values.get(key) is None else self.size(key)

    def number(self, key: str, default: float | None = None) -> float:
        """A finite positive number."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "a positive number")
        if not 0 < value <= sys.float_info.max:  # JSON has NaN, Infinity and integers of any size
            raise self.wrong(key, "a positive number")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a text")
        return value

    def table(self, key: str) -> Config | None:
        """The object under `key`, or None when it is absent or null."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return Config(f"{self.source}: {key}", value)

    def divided(self, key: str, by: str) -> int:
        """The size at `key` over the size at `by`; SpecError when it does not divide."""
        whole, parts = self.size(key), self.size(by)
        if whole % parts:
            raise SpecError(f"{self.source}: {key} = {whole} does not divide into {by} = {parts}")
        return whole // parts

    def wrong(self, key: str, expected: str) -> SpecError:
        """The error for a value that is not `expected`."""
        found = shown(self.values.get(key))
        return SpecError(f"{self.source}: {key} must be {expected}, found {found}")

    def _get(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        if value is None and default is None:
            raise SpecError(f"{self.source} has no {key!r}{near_name(key, self.values)}")
        return default if value is None else value


def read_config(path: Path) -> Config:
    """The `config.json` at `path`."""
    return Config(str(path), read_json_object(path))
