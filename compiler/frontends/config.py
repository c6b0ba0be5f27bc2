"""`Config`: the `config.json` of a checkpoint, read key by key with readable errors."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cortico.frontends.json_text import read_json_object
from cortico.ir.errors import SpecError, near_name, shown
from cortico.ir.limits import MODEL_SIZE


@dataclass(frozen=True)
class Config:
    """Values of a JSON object and the file they come from.

    Every reader raises SpecError, naming file and key, when the value is missing or has another
    type than the one asked for. What a missing key means is said by `Keys`, which fills it in.
    """

    source: str
    values: Mapping[str, Any]
    tokens: int | None = None  #: how many the reader asks for; the file does not say it

    def changed(self, **values: Any) -> Config:
        """The same with other values of some keys."""
        return replace(self, values={**self.values, **values})

    def size(self, key: str) -> int:
        """A positive integer: features, heads or layers."""
        return self._whole(key, 1, "a positive integer")

    def optional_size(self, key: str) -> int | None:
        """A positive integer, or None when the key is absent or null."""
        return None if self.values.get(key) is None else self.size(key)

    def count(self, key: str) -> int:
        """An integer that may be zero."""
        return self._whole(key, 0, "an integer, zero or more,")

    def number(self, key: str) -> float:
        """A finite positive number."""
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key, "a positive number")
        if not 0 < value <= sys.float_info.max:  # JSON has NaN, Infinity and integers of any size
            raise self.wrong(key, "a positive number")
        return float(value)

    def numbers(self, key: str) -> list[float]:
        """A list of finite positive numbers."""
        found = self._get(key)
        if not isinstance(found, list):
            raise self.wrong(key, "a list of positive numbers")
        return [
            Config(self.source, {f"{key}[{k}]": v}).number(f"{key}[{k}]")
            for k, v in enumerate(found)
        ]

    def flag(self, key: str) -> bool:
        value = self._get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def text(self, key: str) -> str:
        value = self._get(key)
        if not isinstance(value, str):
            raise self.wrong(key, "a text")
        return value

    def choice(self, key: str, *choices: str) -> str:
        """One of some texts."""
        if self._get(key) not in choices:
            raise self.wrong(key, f"one of {', '.join(choices)}")
        return str(self.values[key])

    def table(self, key: str) -> Config | None:
        """The object under `key`, or None when it is absent or null."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return Config(f"{self.source}: {key}", value)

    def for_layer(self, key: str, layer: int, layers: str, *choices: str) -> str | None:
        """What the list under `key` says of a layer: one of some texts, None where there is no list.

        `layers` is the key that says how long the list must be.
        """
        texts = self.values.get(key)
        if texts is None:
            return None
        if not isinstance(texts, list) or len(texts) != self.size(layers):
            raise self.wrong(key, f"a list with one entry per layer, {self.size(layers)} of them")
        return Config(self.source, {f"{key}[{layer}]": texts[layer]}).choice(
            f"{key}[{layer}]", *choices
        )

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

    def _whole(self, key: str, least: int, words: str) -> int:
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value < MODEL_SIZE:
            raise self.wrong(key, f"{words} below {MODEL_SIZE}")
        return value

    def _get(self, key: str) -> Any:
        if key not in self.values:
            raise SpecError(f"{self.source} has no {key!r}{near_name(key, self.values)}")
        return self.values[key]


def read_config(path: Path) -> Config:
    """The `config.json` at `path`."""
    return Config(str(path), read_json_object(path))
