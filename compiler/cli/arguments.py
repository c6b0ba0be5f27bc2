"""Arguments of a command as a class with types: what argparse is told of them, and what it found.

A field's type says how a text is read: a path, a whole number, a text, a flag, or a tuple for what may be
repeated. What `--help` says of it stands beside it. Nothing here loads NumPy, and these are no dataclasses,
each of which would take a millisecond to make: `--help` would be slow.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self, get_args, get_origin, get_type_hints


class _Argument(NamedTuple):
    """What argparse is told of a field, beside what follows from its type."""

    flags: tuple[str, ...]
    default: Any
    apart: str
    settings: dict[str, Any]


def argument(*flags: str, default: Any = None, apart: str = "", **settings: Any) -> Any:
    """A field of a command: an option with these flags, or without flags what is given by place.

    Of the options that are `apart` by the same word one may be given. `settings` are those of argparse's
    `add_argument`, beside type and action, which follow from the field's type.
    """
    return _Argument(flags, default, apart, settings)


class CommandArguments:
    """Base of the arguments of a command. Its fields are what `argument` made, here and in its bases."""

    @classmethod
    def add_to(cls, parser: argparse.ArgumentParser) -> None:
        """Tell a parser of all fields."""
        hints, groups = get_type_hints(cls), {"": parser}
        for name, (flags, default, apart, own) in cls._fields().items():
            if apart not in groups:
                groups[apart] = parser.add_mutually_exclusive_group()  # type: ignore[assignment]
            settings = {**_settings(hints[name]), **own}
            if flags:
                empty = {"append": [], "store_true": False}.get(settings.get("action", ""), default)
                settings |= {"dest": name, "default": empty}
            groups[apart].add_argument(*(flags or (name,)), **settings)

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> Self:
        """What was parsed; what may be repeated is a tuple."""
        made = cls()
        for name in cls._fields():
            found = getattr(parsed, name)
            setattr(made, name, tuple(found) if isinstance(found, list) else found)
        return made

    @classmethod
    def _fields(cls) -> dict[str, _Argument]:
        every = (pair for base in reversed(cls.__mro__) for pair in vars(base).items())
        return {name: found for name, found in every if isinstance(found, _Argument)}

    def given(self, *names: str) -> Iterator[str]:
        """Those of these options that were given, as they are written: `--random-weights`."""
        for name in names:
            found = getattr(self, name)
            if found is not None and found is not False and found != ():
                yield f"--{name.replace('_', '-')}"

    def refuse(self, what: str, *names: str) -> None:
        """SpecError when one of these options was given: it does not apply to `what`."""
        from cortico.ir import SpecError  # here, so that --help does not load NumPy

        for flag in self.given(*names):
            raise SpecError(f"{flag} does not apply to {what}")


def _settings(hint: Any) -> dict[str, Any]:
    """What argparse is told of a type."""
    if hint is bool:
        return {"action": "store_true"}
    if get_origin(hint) is tuple:
        return {"action": "append"}
    kinds: dict[Any, Callable[[str], object]] = {Path: Path, int: whole_number}
    found = next((kinds[kind] for kind in (hint, *get_args(hint)) if kind in kinds), None)
    return {} if found is None else {"type": found}


# ---- what a text says ------------------------------------------------------------------------------


def whole_number(text: str) -> int:
    """The number that `text` says, for argparse's `type`. ArgumentTypeError when it is none."""
    from cortico.ir.errors import shown
    from cortico.ir.limits import DIGITS

    if not (text.isascii() and text.isdecimal()) or len(text) > DIGITS:
        raise argparse.ArgumentTypeError(
            f"expected a whole number of at most {DIGITS} digits, found {shown(text)}"
        )
    return int(text)


def binding(text: str) -> tuple[str, int]:
    """The symbol and number of a text such as `n=16`, for argparse's `type`."""
    symbol, number = pair(text, "SYMBOL=NUMBER, such as n=16")
    return symbol, whole_number(number)


def pair(text: str, expected: str) -> tuple[str, str]:
    """What stands before and behind the first `=`. ArgumentTypeError where there is none, or nothing before it."""
    from cortico.ir import SpecError
    from cortico.ir.options import key_value

    try:
        return key_value(text, expected)
    except SpecError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
