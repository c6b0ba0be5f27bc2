"""Options: the fields of a frozen dataclass, whose types say all that they may hold.

    @dataclass(frozen=True)
    class Options(OptionSet):
        owner = "backend nest"

        dt: Annotated[float, number(1e-3, 1e3), Help("time step in ms")] = 1.0
        threads: Annotated[int, whole(1, 1024)] = 1
        method: Literal["euler", "rk4"] = "euler"
        seed: Annotated[int, whole(0, 9), Only("method", "rk4")] = 0

`OptionSet.of` reads them by name, `build` reads tables in tables with the kinds of TOML and JSON, `from_text`
reads `KEY=VALUE`, `to_mapping` is the way back. A SpecError says of every wrong option its name, what was
found and what is expected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache, partial
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from cortico.ir.errors import SpecError, bullet_list, near_name, shown
from cortico.ir.limits import DIGITS, SIZE

if TYPE_CHECKING:
    import argparse

T = TypeVar("T")

#: Types that a field may have, each with its rule.
Kinds = tuple[tuple[Any, "Rule | None"], ...]

#: The smallest and the largest positive float, and the one below 1: ends that are left out.
LEAST, MOST, BELOW_ONE = math.ulp(0.0), math.nextafter(math.inf, 0), math.nextafter(1, 0)

_WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
_MOST_FIELDS = 100  #: of one table; a spec has a third of that
_EXACT = 2**53  #: integers below are the same as floats


@dataclass(frozen=True)
class Rule:
    """Which values of its type an option may have, and how these are called."""

    words: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class Only:
    """The option has a meaning where another one, a choice, has this value."""

    option: str
    value: str


@dataclass(frozen=True)
class Help:
    """What the command line says of an option."""

    text: str


def number(low: float, high: float, words: str = "") -> Rule:
    """Numbers from `low` to `high`, both included; never NaN."""
    return Rule(words or f"a number from {low:g} to {high:g}", lambda value: low <= value <= high)


def whole(low: int, high: int, words: str = "") -> Rule:
    """Whole numbers from `low` to `high`, both included."""
    return number(low, high, words or f"a whole number from {low:g} to {high:g}")


@dataclass(frozen=True)
class OptionSet:
    """Base of dataclasses of options. SpecError for values that their types do not allow."""

    owner: ClassVar[str]  #: whose options they are, in errors: `backend nest`

    def __post_init__(self) -> None:
        refuse(self.owner, _value_lines(self.owner, wrong_values(type(self), vars(self))))

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Self:
        """Options by name. SpecError that lists all that is wrong: names, values, what has no meaning."""
        refuse(cls.owner, _wrong_lines(cls, given))
        return cls(**given)

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


def _wrong_lines(kind: type[OptionSet], given: Mapping[str, object]) -> Iterator[str]:
    known, owner = hints(kind), kind.owner
    listed = ", ".join(known) or "none"
    for name in given:
        if name not in known:
            yield f"{owner} has no option {shown(name)}{near_name(name, known)}; it has: {listed}"
    yield from _value_lines(owner, wrong_values(kind, given))
    for name, mark in marks(kind, Only).items():
        if name in given and given.get(mark.option, defaults(kind)[mark.option]) != mark.value:
            yield f"option {name} of {owner} is for {mark.option}={mark.value} only"


def _value_lines(owner: str, wrong: Iterable[tuple[str, str]]) -> Iterator[str]:
    return (f"option {name} of {owner} {what}" for name, what in wrong)


# ---- values and their types ------------------------------------------------------------------------


def hints(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields, with their marks."""
    return _hints(kind)


@cache
def _hints(kind: type) -> dict[str, Any]:
    found = get_type_hints(kind, include_extras=True)
    return {field.name: found[field.name] for field in fields(kind)}


def defaults(kind: type) -> dict[str, Any]:
    """The defaults of a dataclass's fields, MISSING where there is none."""
    made = {f.name: f.default_factory for f in fields(kind) if f.default_factory is not MISSING}
    return {f.name: made[f.name]() if f.name in made else f.default for f in fields(kind)}


def marks(kind: type, mark: type[T]) -> dict[str, T]:
    """The mark of a kind that a field's type has, by the field's name."""
    every = ((name, m) for name, hint in hints(kind).items() for m in _marks(hint))
    return {name: found for name, found in every if isinstance(found, mark)}


def _marks(hint: Any) -> tuple[Any, ...]:
    """All that is written beside a type, in any part of a union."""
    if get_origin(hint) is Annotated:
        return (*hint.__metadata__, *_marks(get_args(hint)[0]))
    return tuple(m for part in get_args(hint) for m in _marks(part)) if _is_union(hint) else ()


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


def alternatives(hint: Any) -> Kinds:
    """The types that a field may have, each with its rule; a choice is a type of its own."""
    if _is_union(hint):
        return tuple(each for part in get_args(hint) for each in alternatives(part))
    if get_origin(hint) is Annotated:
        rule = next((m for m in hint.__metadata__ if isinstance(m, Rule)), None)
        return tuple((kind, inner or rule) for kind, inner in alternatives(get_args(hint)[0]))
    return ((hint, None),)


def wrong_values(
    kind: type, given: Mapping[str, object], path: str = ""
) -> Iterator[tuple[str, str]]:
    """Name and fault of each value that its type does not allow, those in tables too; unknown names are left."""
    for name, (kinds, default) in _kinds(kind).items():
        value = given.get(name, default)
        if value is default:
            continue
        if not _is_allowed(kinds, value):
            yield path + name, _fault(hints(kind)[name], value)
        elif is_dataclass(value):
            yield from wrong_values(type(value), vars(value), f"{path}{name}.")


@cache
def _kinds(kind: type) -> dict[str, tuple[Kinds, Any]]:
    """Types and default of each field; kept, as all options are looked at when they are made."""
    return {k: (alternatives(hint), defaults(kind)[k]) for k, hint in hints(kind).items()}


def _fault(hint: Any, value: object) -> str:
    found = "nothing" if value is None else shown(value)
    return f"must be {expected(hint)}, found {found}{_advice(value, hint)}"


def _is_allowed(kinds: Kinds, value: object) -> bool:
    return any(_is_one(kind, rule, value) for kind, rule in kinds)


def _is_one(kind: Any, rule: Rule | None, value: object) -> bool:
    if not isinstance(kind, type):
        return _is_in_list(kind, value)
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        return False
    return _can_be_used(value) and (rule is None or rule.fits(value))


def _is_in_list(kind: Any, value: object) -> bool:
    """Whether it is one of the choices, or a tuple of values of one type."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    each = alternatives(get_args(kind)[0])
    return isinstance(value, tuple) and all(_is_allowed(each, member) for member in value)


def _can_be_used(value: object) -> bool:
    """False for integers too large for a size, and for a text with half a character of UTF-16."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)
    return not isinstance(value, int) or abs(value) < SIZE


def expected(hint: Any) -> str:
    """What a value must be, in words."""
    words = (_word(kind, rule) for kind, rule in alternatives(hint) if kind is not NoneType)
    return " or ".join(words)


def _word(kind: Any, rule: Rule | None) -> str:
    if rule is not None:
        return rule.words
    if choices := _choices(kind):
        two = len(choices) == 2 and get_origin(kind) is Literal
        return " or ".join(choices) if two else f"one of {', '.join(choices)}"
    if get_origin(kind) is tuple:
        return f"a list, each {expected(get_args(kind)[0])}"
    if is_dataclass(kind):
        return f"a table with {', '.join(f.name for f in fields(kind))}"
    return _WORDS[kind]


def choices_of(hint: Any) -> tuple[str, ...]:
    """The texts of which a value must be one, if any."""
    return tuple(choice for kind, _ in alternatives(hint) for choice in _choices(kind))


def _choices(kind: Any) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(map(str, kind)) if isinstance(kind, type) and issubclass(kind, StrEnum) else ()


def _advice(value: object, hint: Any) -> str:
    """Why a value of the right type is refused, a near choice, or the YAML trap that 1e4 is a text."""
    if not _can_be_used(value):
        return " (it has half a character)" if isinstance(value, str) else " (it is too large)"
    kinds = [kind for kind, _ in alternatives(hint)]
    if not isinstance(value, str):
        return ""
    if float in kinds:
        try:
            return f" (write {float(value)!r})"
        except ValueError:
            return ""
    return near_name(value, choices_of(hint))


# ---- tables in tables ------------------------------------------------------------------------------


def build(
    kind: type[T], mapping: Mapping[str, Any], problems: list[str], path: str = ""
) -> T | None:
    """An instance of the dataclass `kind` from values as TOML and JSON have them, or None after adding to
    `problems`: choices are texts, whole numbers may stand for floats, tables for dataclasses.
    """
    before, known = len(problems), hints(kind)
    problems.extend(_wrong_names(kind, mapping, path))
    values = {
        name: _converted(mapping[name], hint, path + name, problems)
        for name, hint in known.items()
        if name in mapping
    }
    if len(problems) > before:
        return None
    try:
        return kind(**values)
    except SpecError as error:
        # what does not fit together stands one a line, under a headline that the caller replaces
        problems.extend(line.removeprefix("  - ") for line in str(error).split("\n")[1:])
        return None


def _wrong_names(kind: type, mapping: Mapping[str, Any], path: str) -> Iterator[str]:
    """Fields that do not exist, and fields without a default that are not given."""
    known, own = hints(kind), defaults(kind)
    if len(mapping) > _MOST_FIELDS:
        yield f"{path or 'the spec '}has {len(mapping):,} fields, expected at most {len(known)}"
        return
    for key in mapping:
        if key not in known:
            near = near_name(str(key), known)
            yield f"{path}{'nothing' if key is None else shown(key)} is not a field{near}"
    for name, hint in known.items():
        if name not in mapping and own[name] is MISSING:
            yield f"{path}{name} is missing, expected {expected(hint)}"


def _converted(value: Any, hint: Any, path: str, problems: list[str]) -> Any:
    """`value` as the type `hint`, or None after adding to `problems`."""
    for kind, rule in alternatives(hint):
        if is_dataclass(kind) and isinstance(value, Mapping):
            return build(kind, value, problems, f"{path}.")  # type: ignore[arg-type]
        if isinstance(value, str) and value in _choices(kind):
            return kind(value) if isinstance(kind, type) else value
        exact = kind is float and type(value) is int and abs(value) < _EXACT
        found = float(value) if exact else value
        if type(found) is kind and _is_one(kind, rule, found):
            return found
    problems.append(f"{path} {_fault(hint, value)}")
    return None


def to_mapping(value: Any, always: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a dataclass that are not at their default, and `always` these: what `build` reads."""
    own = defaults(type(value))
    return {n: _plain(v) for n, v in vars(value).items() if n in always or v != own[n]}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_mapping(value)
    return str(value) if isinstance(value, StrEnum) else value


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
    """A number or nothing where the text says so, else the text."""
    return None if text.lower() == "none" else _number(text, (int, float))


def _number(text: str, kinds: Iterable[Callable[[str], object]]) -> object:
    """What `text` is as the first of these kinds that it can be, or itself; of endless digits it is none."""
    for kind in kinds if len(text) <= DIGITS or not text.isdecimal() else ():
        try:
            return kind(text)
        except ValueError:
            continue
    return text
