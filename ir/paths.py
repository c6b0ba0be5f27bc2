"""Paths of blocks, such as `encoder.layer[3].attention`."""

from __future__ import annotations

import re

NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_PART = rf"{NAME.pattern}(?:\[(?:0|[1-9][0-9]{{0,8}})\])?"
PATH = re.compile(rf"{_PART}(?:\.{_PART})*")
_LEVEL = re.compile(r"(?:[A-Za-z0-9_]+\.)*?[A-Za-z0-9_]+\[[0-9]+\](?=\.|\Z)")


def prefix(path: str) -> str:
    """What stands before the names of a block's parts in the flat circuit: `encoder_layer_3_attention_`."""
    return path.replace("[", "_").replace("]", "").replace(".", "_") + "_" if path else ""


def level_of(path: str) -> str | None:
    """The level of the hierarchy that a path is in: it up to its first number; None where it has none."""
    found = _LEVEL.match(path)
    return found.group() if found else None
