"""Options: the fields of a frozen dataclass, whose types say all that they may hold.

    @dataclass(frozen=True)
    class Options(OptionSet):
        owner = "backend nest"

        dt: Annotated[float, number(1e-3, 1e3), Help("time step in ms")] = 1.0
        threads: Annotated[int, whole(1, 1024)] = 1
        method: Literal["euler", "rk4"] = "euler"
        seed: Annotated[int, whole(0, 9), Only("method", "rk4")] = 0

`OptionSet.of` reads them by name, `from_text` reads `KEY=VALUE`; what values are as their types is said in
`fields.py`. A SpecError says of every wrong option its name, what was found and what is expected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from cortico.ir.errors import SpecError, bullet_list, named, near_name, shown
from cortico.ir.fields import (
    BELOW_ONE,
    LEAST,
    MOST,
    Fault,
    Record,
    Rule,
    Switch,
    alternatives,
    build,
    choices_of,
    converted,
    defaults,
    expected,
    hints,
    marks,
    number,
    settle,
    to_mapping,
    whole,
)
from cortico.ir.limits import DIGITS

if TYPE_CHECKING:
    import argparse

__all__ = [
    "BELOW_ONE",
    "LEAST",
    "MOST",
    "Help",
    "Only",
    "OptionSet",
    "Rule",
    "Switch",
    "add_arguments",
    "alternatives",
    "build",
    "choices_of",
    "defaults",
    "expected",
    "from_text",
    "hints",
    "key_value",
    "marks",
    "number",
    "plain_value",
    "refuse",
    "to_mapping",
    "whole",
]


@dataclass(frozen=True)
class Only:
    """The option has a meaning where another one, a choice, has this value."""

    option: str
    value: str


@dataclass(frozen=True)
class Help:
    """What the command line says of an option."""

    text: str


@dataclass(frozen=True)
class OptionSet(Record):
    """Base of dataclasses of options. SpecError for values that their types do not allow."""

    owner: ClassVar[str]  #: whose options they are, in errors: `backend nest`

    def __post_init__(self) -> None:
        refuse(self.owner, _value_lines(self.owner, settle(self)))

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Self:
        """Options by name. SpecError that lists all that is wrong: names, values, what has no meaning."""
        values, faults = converted(cls, given)
        refuse(
            cls.owner,
            [*_wrong_names(cls, given), *_value_lines(cls.owner, faults), *_senseless(cls, values)],
        )
        return cls(**values)

    @classmethod
    def from_text(cls, texts: Iterable[str]) -> Self:
        """Options from texts such as `threads=4`, by the types of the fields."""
        known = hints(cls)
        pairs = (key_value(text) for text in texts)
        return cls.of({k: from_text(known[k], v) if k in known else v for k, v in pairs})


def refuse(owner: str, lines: Iterable[str]) -> None:
    """SpecError with these lines, if there are any: one as it stands, several as a list."""
    problems = list(lines)
    if len(problems) == 1:
        raise SpecError(problems[0])
    if problems:
        raise SpecError(f"options of {owner} are wrong:{bullet_list(problems)}")


def _wrong_names(kind: type[OptionSet], given: Mapping[str, object]) -> Iterator[str]:
    known = hints(kind)
    listed = ", ".join(known) or "none"
    for name in given:
        if name not in known:
            near = near_name(name, known)
            yield f"{kind.owner} has no option {named(name)}{near}; it has: {listed}"


def _senseless(kind: type[OptionSet], given: Mapping[str, object]) -> Iterator[str]:
    """Options that have a meaning with another value of another option only."""
    for name, mark in marks(kind, Only).items():
        if name in given and given.get(mark.option, defaults(kind)[mark.option]) != mark.value:
            yield f"option {name} of {kind.owner} is for {mark.option}={mark.value} only"


def _value_lines(owner: str, wrong: Iterable[Fault]) -> Iterator[str]:
    return (f"option {name} of {owner} {what}" for name, what in wrong)


def add_arguments(parser: argparse.ArgumentParser, kind: type) -> None:
    """Tell a parser of the options that have help; what they may be is judged later, all at once."""
    for name, mark in marks(kind, Help).items():
        default = defaults(kind)[name]
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=partial(from_text, hints(kind)[name]),
            default=default,
            metavar=name[0].upper(),
            help=f"{mark.text} (default: {default})",
        )


# ---- texts -----------------------------------------------------------------------------------------


def key_value(text: str, expected: str = "KEY=VALUE") -> tuple[str, str]:
    """Key and value of a text such as `dt = 0.5`. SpecError where there is no `=`, or nothing before it."""
    key, equals, value = (part.strip() for part in text.partition("="))
    if not key or not equals:
        raise SpecError(f"expected {expected}, found {shown(text)}")
    return key, value


def from_text(hint: Any, text: str) -> object:
    """What a text says where a value of type `hint` is expected; the text itself where it says no such thing."""
    kinds = [kind for kind, _ in alternatives(hint)]
    if text.lower() == "none" and NoneType in kinds:
        return None
    if bool in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return _number(text, [kind for kind in (int, float) if kind in kinds])


def plain_value(text: str) -> object:
    """A number, true, false or nothing where the text says so, else the text."""
    said = {"none": None, "true": True, "false": False}
    return said[text.lower()] if text.lower() in said else _number(text, (int, float))


def _number(text: str, kinds: Iterable[Callable[[str], object]]) -> object:
    """What `text` is as the first of these kinds that it can be, or itself; of endless digits it is none."""
    for kind in kinds if len(text) <= DIGITS or not text.isdecimal() else ():
        try:
            return kind(text)
        except ValueError:
            continue
    return text
