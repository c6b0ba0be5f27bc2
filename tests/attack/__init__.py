"""Attacks on what cortico says of itself, each with an oracle that shares nothing with what it attacks.

Every module with a `trial(seed)` is an attack: it makes one attempt and says what came of it.
`python -m tests.attack` runs many of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

from tests.attack.trial import Trial


@cache
def attacks() -> tuple[str, ...]:
    """The names of all attacks."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return tuple(file.stem for file in files if "\ndef trial(" in file.read_text(encoding="utf-8"))


def trial_of(name: str) -> Callable[[int], Trial]:
    """The function that makes one attempt of an attack."""
    found: Callable[[int], Trial] = import_module(f"tests.attack.{name}").trial
    return found


def trials_in_tests(name: str) -> int:
    """How many trials of an attack pytest makes: those that take about ten seconds."""
    return int(getattr(import_module(f"tests.attack.{name}"), "IN_TESTS", 10))
