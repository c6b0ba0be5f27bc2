"""The four errors of cortico. Each says whose fault it is; the command line maps them to exit codes."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CorticoError(Exception):
    """Base of all errors that cortico raises on purpose. The message is meant for a person."""

    exit_code = 1


class SpecError(CorticoError):
    """The user's input is wrong: a spec, a checkpoint, a path, an array."""

    exit_code = 2


class CircuitError(CorticoError):
    """A circuit breaks an invariant, or a circuit's text cannot be read."""


class PassError(CorticoError):
    """Our bug: a transformation broke an invariant or changed what the circuit computes."""


class UnsupportedError(CorticoError):
    """A backend cannot express this circuit. Lists everything that stands in the way."""


def bullet_list(problems: Iterable[str]) -> str:
    """One problem per line, indented, for an error that lists them all."""
    return "".join(f"\n  - {problem}" for problem in problems)


def near_name(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'heads'?)` when a known name is close to `name`, else an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
