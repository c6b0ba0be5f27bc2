"""Fields: what the types of a dataclass say that its fields may hold, and what given values are as such.

    @dataclass(frozen=True)
    class Box(Record):
        width: Annotated[float, number(0, 9)] = 1.0
        colour: Colour = Colour.RED  # a StrEnum

    Box(width=np.int64(2), colour="blue")  # holds 2.0 and Colour.BLUE

This is the one place where values become of their types: those of spec files, of options and of Python.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum, StrEnum
from functools import cache
from os import PathLike
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cortico.ir.errors import SpecError, bullet_list, named, near_name, shown
from cortico.ir.limits import SIZE

T = TypeVar("T")

#: Types that a field may have, each with its rule.
Kinds = tuple[tuple[Any, "Rule | None"], ...]
#: The name of a field, and what is wrong with what it was given.
Fault = tuple[str, str]

#: The smallest and the largest positive float, and the one below 1: ends that are left out.
LEAST, MOST, BELOW_ONE = math.ulp(0.0), math.nextafter(math.inf, 0), math.nextafter(1, 0)

_WORDS = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
_MOST_FIELDS = 100  #: of one table; a spec has a third of that
_MOST_MEMBERS = 10_000  #: of one list of tables
_TOLD = 8  #: most fields of a table that are named where it is expected
_EXACT = 2**53  #: integers below are the same as floats


@dataclass(frozen=True)
class Rule:
    """Which values of its type an option may have, and how these are called."""

    words: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class Switch:
    """`true` and `false` stand for values of the field, which these make."""

    on: Callable[[], Any]
    off: Callable[[], Any]


def number(low: float, high: float, words: str = "") -> Rule:
    """Numbers from `low` to `high`, both included; never NaN."""
    return Rule(words or f"a number from {low:g} to {high:g}", lambda value: low <= value <= high)


def whole(low: int, high: int, words: str = "") -> Rule:
    """Whole numbers from `low` to `high`, both included."""
    return number(low, high, words or f"a whole number from {low:g} to {high:g}")


@dataclass(frozen=True)
class Record:
    """Base of dataclasses that take values as spec files write them. SpecError for others."""

    #: words that users try as fields, and what says that (no annotation: it is no field)
    elsewhere = MappingProxyType[str, str]({})

    def __post_init__(self) -> None:
        faults = settle(self)
        if faults:
            problems = (" ".join(fault) for fault in faults)
            raise SpecError(f"{type(self).__name__} is wrong:{bullet_list(problems)}")


# ---- types of fields -------------------------------------------------------------------------------


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


@cache
def _kinds(kind: type) -> dict[str, tuple[Any, Kinds, Any]]:
    """Hint, types and default of each field; kept, as all options are looked at when they are made."""
    return {k: (hint, alternatives(hint), defaults(kind)[k]) for k, hint in hints(kind).items()}


# ---- values of these types -------------------------------------------------------------------------


def settle(record: Any) -> list[Fault]:
    """Let the fields of a new dataclass hold what their types have for what it was given; the faults.

    Whole numbers may stand for floats, texts for choices, mappings for dataclasses, lists for tuples, and
    scalars of NumPy for those of Python; `Switch` says what true and false stand for.
    """
    given = vars(record)
    found, faults = converted(type(record), given)
    for name, value in found.items():
        if value is not given[name]:
            object.__setattr__(record, name, value)
    return faults


def converted(
    kind: type, given: Mapping[str, object], path: str = ""
) -> tuple[dict[str, Any], list[Fault]]:
    """Given values as the fields of `kind` hold them, and the faults of others; unknown names are left."""
    found: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, (hint, kinds, default) in _kinds(kind).items():
        if name in given:
            value = given[name]
            is_default = value is default
            found[name] = value if is_default else _as(kinds, hint, value, path + name, faults)
    return found, faults


def build(
    kind: type[T], mapping: Mapping[str, Any], problems: list[str], path: str = ""
) -> T | None:
    """An instance of the dataclass `kind` from values as TOML and JSON have them, or None after adding to
    `problems`.
    """
    faults: list[Fault] = []
    found = _built(kind, mapping, faults, path)
    problems.extend(" ".join(fault).strip() for fault in faults)
    return found


def _built(
    kind: type[T], mapping: Mapping[str, Any], faults: list[Fault], path: str = ""
) -> T | None:
    before = len(faults)
    faults.extend(_wrong_names(kind, mapping, path))
    values, wrong = converted(kind, mapping, path)
    faults.extend(wrong)
    if len(faults) > before:
        return None
    try:
        return kind(**values)
    except SpecError as error:
        # what does not fit together stands one a line, under a headline that the caller replaces
        where = f"{path.removesuffix('.')}:" if path else ""
        faults.extend((where, line.removeprefix("  - ")) for line in str(error).split("\n")[1:])
        return None


def _wrong_names(kind: type, mapping: Mapping[str, Any], path: str) -> Iterator[Fault]:
    """Fields that do not exist, and fields without a default that are not given."""
    known, own = hints(kind), defaults(kind)
    if len(mapping) > _MOST_FIELDS:
        where = path or "the spec"
        yield where, f"has {len(mapping):,} fields, expected at most {len(known)}"
        return
    for key in mapping:
        if key not in known:
            name = "nothing" if key is None else named(str(key))
            hint = kind.elsewhere.get(key) if issubclass(kind, Record) else None
            hint = f": {hint}" if hint else near_name(str(key), known)
            yield f"{path}{name}", f"is not a field{hint}"
    for name, hint in known.items():
        if name not in mapping and own[name] is MISSING:
            yield f"{path}{name}", f"is missing, expected {expected(hint)}"


def as_type(hint: Any, value: Any, name: str, faults: list[Fault]) -> Any:
    """`value` as the type `hint`, or None after adding to `faults`."""
    return _as(alternatives(hint), hint, value, name, faults)


def of_python(value: Any) -> Any:
    """A number of NumPy or torch as Python has it; what is none as it is."""
    if getattr(value, "shape", None) == ():
        with suppress(AttributeError, TypeError, ValueError, RuntimeError):
            return value.item()
    return value


def _as(kinds: Kinds, hint: Any, value: Any, path: str, faults: list[Fault]) -> Any:
    """`value` as one of the types, or None after adding to `faults`."""
    value = of_python(value)
    for kind, rule in kinds:
        if kind is Any:
            return value
        if _is_record(kind) and isinstance(value, Mapping):
            return _built(kind, value, faults, f"{path}.")
        if _holds_records(kind) and isinstance(value, list | tuple):
            return _as_records(get_args(kind)[0], value, path, faults)
        found = _as_one(kind, value)
        if found is not _NOT and (rule is None or rule.fits(found)):
            return found
    if isinstance(value, bool):
        for switch in (m for m in _marks(hint) if isinstance(m, Switch)):
            return switch.on() if value else switch.off()
    faults.append((path, _fault(hint, value)))
    return None


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)


def _holds_records(kind: Any) -> bool:
    """Whether a type is a tuple of such dataclasses."""
    return get_origin(kind) is tuple and _is_record(get_args(kind)[0])


def _as_records(kind: Any, values: Sequence[Any], path: str, faults: list[Fault]) -> Any:
    """Dataclasses from the tables of a list, each fault with its place in the list."""
    before, kinds = len(faults), ((kind, None),)
    if len(values) > _MOST_MEMBERS:
        faults.append((path, f"has {len(values):,} members, expected at most {_MOST_MEMBERS:,}"))
    else:
        members = [
            _as(kinds, kind, value, f"{path}[{k}]", faults) for k, value in enumerate(values)
        ]
    return None if len(faults) > before else tuple(members)


_NOT = object()  #: in place of a value that is not of a type


def _as_one(kind: Any, value: Any) -> Any:
    """`value` as a type has it, or _NOT."""
    if get_origin(kind) in _SHAPES:
        return _as_shape(kind, value)
    if not isinstance(kind, type):
        return _as_listed(kind, value)
    if isinstance(value, kind) and (isinstance(value, Enum) or is_dataclass(value)):
        return value if kind not in _WORDS else _NOT
    if issubclass(kind, StrEnum):
        is_one = isinstance(value, str) and not isinstance(value, Enum) and value in _choices(kind)
        return kind(value) if is_one else _NOT
    if kind is float and type(value) is int and abs(value) < _EXACT:
        return float(value)
    is_own = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not is_own or not _can_be_used(value):
        return _NOT
    return kind(value) if kind in (int, float, str) and type(value) is not kind else value


#: Generic types of arguments.
_SHAPES = (Callable, PathLike, Iterable, Sequence, Mapping)


def _as_shape(kind: Any, value: Any) -> Any:
    """A function, a path, a list of members, or a mapping of names to values."""
    origin, parts = get_origin(kind), get_args(kind)
    letters = origin is Sequence and parts[0] is str and isinstance(value, str)  # axes "hij"
    if not isinstance(value, origin) or (isinstance(value, str | bytes) and not letters):
        return _NOT
    if origin in (Callable, PathLike):
        return value
    faults: list[Fault] = []
    if origin is not Mapping:
        found = [as_type(parts[0], member, "", faults) for member in value]
        return _NOT if faults else found
    if not _is_plain(parts[1]):
        return value
    table = {str(key): as_type(parts[1], each, str(key), faults) for key, each in value.items()}
    return _NOT if faults else table


def _is_plain(kind: Any) -> bool:
    """Whether values are judged here. Arrays are judged by `arrays.py`, all at once."""
    return all(each in _WORDS for each, _ in alternatives(kind))


def _as_listed(kind: Any, value: Any) -> Any:
    """One of some texts, or a tuple of values of one type."""
    if get_origin(kind) is Literal:
        return str(value) if isinstance(value, str) and value in get_args(kind) else _NOT
    if not isinstance(value, list | tuple):
        return _NOT
    of, faults = get_args(kind)[0], list[Fault]()
    members = tuple(_as(alternatives(of), of, member, "", faults) for member in value)
    return _NOT if faults else members


def _fault(hint: Any, value: object) -> str:
    found = "nothing" if value is None else shown(value)
    return f"must be {expected(hint)}, found {found}{_advice(value, hint)}"


def _can_be_used(value: object) -> bool:
    """False for integers too large for a size, and for a text with half a character of UTF-16."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value)
    return not isinstance(value, int) or abs(value) < SIZE


def expected(hint: Any) -> str:
    """What a value must be, in words."""
    words = [_word(kind, rule) for kind, rule in alternatives(hint) if kind is not NoneType]
    switch = [_WORDS[bool] for mark in _marks(hint) if isinstance(mark, Switch)]
    return " or ".join(switch + words)


def _word(kind: Any, rule: Rule | None) -> str:
    if rule is not None:
        return rule.words
    if choices := _choices(kind):
        two = len(choices) == 2 and get_origin(kind) is Literal
        return " or ".join(choices) if two else f"one of {', '.join(choices)}"
    if get_origin(kind) in (tuple, Iterable, Sequence):
        return f"a list, each {expected(get_args(kind)[0])}"
    if get_origin(kind) is Mapping:
        values = get_args(kind)[1]
        return f"a mapping of names to {expected(values) if _is_plain(values) else 'arrays'}"
    if get_origin(kind) in (Callable, PathLike):
        return {Callable: "a function", PathLike: "a path"}[get_origin(kind)]
    if _is_record(kind) and len(hints(kind)) <= _TOLD:
        return f"a table with {', '.join(hints(kind))}"
    return _WORDS.get(kind) or f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}"


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


def to_mapping(value: Any, always: Collection[str] = ()) -> dict[str, Any]:
    """The fields of a dataclass that are not at their default, and `always` these: what `build` reads."""
    own = defaults(type(value))
    return {n: _plain(v) for n, v in vars(value).items() if n in always or v != own[n]}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_mapping(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, StrEnum) else value
