"""Spec files: an `AttentionSpec` as TOML, JSON or YAML. The fields are those of the dataclasses."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from cortico.frontends.json_text import kind_of, parse_json_object, reason, require_unique
from cortico.ir.errors import SpecError, bullet_list, near_name, shown
from cortico.ir.limits import SIZE, SPEC_BYTES
from cortico.ir.reading import AnyPath, read_bytes
from cortico.spec import AttentionSpec

_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    NoneType: "nothing",
}
_MOST_FIELDS = 100  #: of one table; a spec has a third of that
_DEEPEST = 20  #: tables in tables in YAML; a spec has two
_ALWAYS_WRITTEN = ("model", "heads")


def read_spec(path: AnyPath) -> AttentionSpec:
    """The spec in a `.toml`, `.json`, `.yaml` or `.yml` file.

    Raises one SpecError, beginning with the file, that lists every problem.
    """
    file = Path(path)
    parsers = {".toml": _parse_toml, ".json": parse_json_object}
    parsers |= {".yaml": _parse_yaml, ".yml": _parse_yaml}
    if file.suffix.lower() not in parsers:
        raise SpecError(f"{str(file)!r} is no spec file: expected {', '.join(parsers)}")
    return spec_from_mapping(
        parsers[file.suffix.lower()](read_bytes(file, SPEC_BYTES), str(file)), str(file)
    )


def spec_from_mapping(mapping: Mapping[str, Any], source: str = "spec") -> AttentionSpec:
    """The spec whose fields are in `mapping`, tables nested; `source` begins the error."""
    problems: list[str] = []
    spec = _build(AttentionSpec, mapping, "", problems)
    if problems:
        raise SpecError(f"{source!r} is wrong:{bullet_list(problems)}")
    assert isinstance(spec, AttentionSpec)
    return spec


def spec_to_mapping(spec: AttentionSpec) -> dict[str, Any]:
    """`model`, `heads` and the fields that are not at their default: the inverse of reading."""
    return _differences(spec)


def spec_to_json(spec: AttentionSpec) -> str:
    """The text of a `.json` spec file that reads as `spec`."""
    return json.dumps(spec_to_mapping(spec), indent=2) + "\n"


# ---- parsing ---------------------------------------------------------------------------------------


def _parse_toml(text: bytes, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text.decode("utf-8-sig"))
    except RecursionError:
        raise SpecError(f"{source!r} is not TOML that can be read: nested too deeply") from None
    except ValueError as error:
        raise SpecError(f"{source!r} is not TOML that can be read: {reason(error)}") from None


def _parse_yaml(text: bytes, source: str) -> dict[str, Any]:
    """YAML without aliases and merges, which let a text of a few lines mean millions of fields."""
    import yaml

    class Loader(yaml.SafeLoader):
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise ValueError("aliases (*name) are not read, write the value itself")
            if self.depth == _DEEPEST:
                raise RecursionError
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            require_unique([key.value for key, _ in node.value if isinstance(key.value, str)])
            return super().construct_mapping(node, deep)

    try:
        value = yaml.load(text, Loader)
    except RecursionError:
        raise SpecError(f"{source!r} is not YAML that can be read: nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise SpecError(f"{source!r} is not YAML that can be read: {reason(error)}") from None
    if value is not None and not isinstance(value, dict):
        raise SpecError(f"{source!r} holds {kind_of(value)}, expected fields such as 'model: 384'")
    return value or {}


# ---- mapping to dataclass --------------------------------------------------------------------------


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _build(kind: type, mapping: Mapping[str, Any], path: str, problems: list[str]) -> Any:
    """An instance of the dataclass `kind`, or None after adding to `problems`."""
    before = len(problems)
    problems.extend(_wrong_fields(kind, mapping, path))
    given = {f.name: mapping[f.name] for f in fields(kind) if f.name in mapping}
    values = {k: _convert(v, _hints(kind)[k], path + k, problems) for k, v in given.items()}
    if len(problems) > before:
        return None
    return _construct(kind, values, problems)


def _wrong_fields(kind: type, mapping: Mapping[str, Any], path: str) -> Iterator[str]:
    """Fields that do not exist, and fields without a default that are not given."""
    known = {f.name: f for f in fields(kind)}
    if len(mapping) > _MOST_FIELDS:
        yield f"{path or 'the spec '}has {len(mapping):,} fields, expected at most {len(known)}"
        return
    for key in mapping:
        if key not in known:
            yield f"{path}{_shown(key)} is not a field{near_name(str(key), known)}"
    for f in known.values():
        if f.name not in mapping and _default(f) is MISSING:
            yield f"{path}{f.name} is missing, expected {_expected(_hints(kind)[f.name])}"


def _construct(kind: type, values: dict[str, Any], problems: list[str]) -> Any:
    try:
        return kind(**values)
    except SpecError as error:
        # the spec lists its own problems, one a line, under a headline that we replace
        problems.extend(line.removeprefix("  - ") for line in str(error).split("\n")[1:])
        return None


def _convert(value: Any, hint: Any, path: str, problems: list[str]) -> Any:
    """`value` as the type `hint`, or None after adding to `problems`."""
    for kind in _options(hint):
        if is_dataclass(kind) and isinstance(value, Mapping):
            return _build(kind, value, f"{path}.", problems)
        if issubclass(kind, StrEnum) and isinstance(value, str) and value in list(kind):
            return kind(value)
        if kind is float and type(value) is int and abs(value) < 2**53:
            return float(value)
        if type(value) is kind and _can_be_used(value):
            return value
    problems.append(f"{path} must be {_expected(hint)}, found {_shown(value)}{_hint(value, hint)}")
    return None


def _can_be_used(value: Any) -> bool:
    """False for integers too large for a size, and for a text with half a character of UTF-16."""
    if isinstance(value, str):
        return not any("\ud800" <= c <= "\udfff" for c in value)
    return not isinstance(value, int) or abs(value) < SIZE


def _options(hint: Any) -> tuple[type, ...]:
    return get_args(hint) or (hint,)


def _expected(hint: Any) -> str:
    return " or ".join(_word(kind) for kind in _options(hint) if kind is not NoneType)


def _word(kind: type) -> str:
    if issubclass(kind, StrEnum):
        return f"one of {', '.join(kind)}"
    if is_dataclass(kind):
        return f"a table with {', '.join(f.name for f in fields(kind))}"
    return _WORDS[kind]


def _hint(value: Any, hint: Any) -> str:
    """Why a value of the right type is refused, a near choice, or the YAML trap that 1e4 is a text."""
    if not _can_be_used(value):
        return " (it has half a character)" if isinstance(value, str) else " (it is too large)"
    choices = [str(c) for kind in _options(hint) if issubclass(kind, StrEnum) for c in kind]
    if isinstance(value, str) and float in _options(hint):
        try:
            return f" (write {float(value)!r})"
        except ValueError:
            return ""
    return near_name(value, choices) if isinstance(value, str) else ""


def _shown(value: Any) -> str:
    """A value that may be huge or hostile, short and on one line."""
    return "nothing" if value is None else shown(value)


# ---- dataclass to mapping --------------------------------------------------------------------------


def _differences(value: Any) -> dict[str, Any]:
    pairs = ((f, getattr(value, f.name)) for f in fields(value))
    kept = ((f, v) for f, v in pairs if f.name in _ALWAYS_WRITTEN or v != _default(f))
    return {f.name: _plain(v) for f, v in kept}


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _differences(value)
    return str(value) if isinstance(value, StrEnum) else value
