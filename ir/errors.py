"""The four errors of cortico. Each says whose fault it is; the command line maps them to exit codes."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Sized
from itertools import islice

from cortico.ir.limits import ERROR_CHARACTERS, LISTED, SHOWN_CHARACTERS

#: Known names that a wrong one is compared with.
_COMPARED = 1000


class CorticoError(Exception):
    """Base of all errors that cortico raises on purpose. The message is meant for a person.

    It is cut where it would be too long to read: names in it may come from a hostile file.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(clipped(message, ERROR_CHARACTERS))


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
    """One problem per line, indented, for an error that lists them all; of very many, the first ones."""
    remaining = iter(problems)
    lines = list(islice(remaining, LISTED))
    if next(remaining, None) is not None:
        more = f" {len(problems) - LISTED:,}" if isinstance(problems, Sized) else ""
        lines.append(f"and{more} more")
    return "".join(f"\n  - {clipped(line, ERROR_CHARACTERS // 4)}" for line in lines)


def near_name(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'heads'?)` when a known name is close to `name`, else an empty string."""
    if len(name) > SHOWN_CHARACTERS:
        return ""
    compared = [each for each in islice(known, _COMPARED) if len(each) <= 2 * SHOWN_CHARACTERS]
    matches = difflib.get_close_matches(name, compared, n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def clipped(text: str, length: int) -> str:
    """`text`, or its beginning and `…` where it has more than `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def named(name: str) -> str:
    """A name in quotes, whole where it is not hostile."""
    return clipped(repr(name[: 2 * SHOWN_CHARACTERS]), SHOWN_CHARACTERS)


def shown(value: object) -> str:
    """A value that may be huge or hostile, short and on one line."""
    try:
        return clipped(reprlib.repr(value), SHOWN_CHARACTERS)
    except ValueError:  # Python writes no integers of more than some thousand digits
        return "an integer of thousands of digits"
