"""Spec files: an `AttentionSpec` or a `ModelSpec` as TOML, JSON or YAML. The fields are those of the dataclasses."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from cortico.frontends.json_text import kind_of, parse_json_object, reason, require_unique
from cortico.ir.arguments import kind
from cortico.ir.errors import SpecError, bullet_list
from cortico.ir.limits import SPEC_BYTES
from cortico.ir.options import build, to_mapping
from cortico.ir.reading import AnyPath, read_bytes
from cortico.spec import AttentionSpec, ModelSpec

_DEEPEST = 20  #: tables in tables in YAML; a model spec has seven

_Spec = TypeVar("_Spec", AttentionSpec, ModelSpec)


@kind
def read_spec(path: AnyPath) -> AttentionSpec:
    """The spec in a `.toml`, `.json`, `.yaml` or `.yml` file.

    Raises one SpecError, beginning with the file, that lists every problem.
    """
    mapping = _read(Path(path))
    if is_of_model(mapping):
        raise SpecError(f"{str(path)!r} describes a whole model, expected one attention")
    return spec_from_mapping(mapping, str(path))


@kind
def read_model_spec(path: AnyPath) -> ModelSpec:
    """The model spec in such a file. SpecError as above."""
    mapping = _read(Path(path))
    if not is_of_model(mapping):
        raise SpecError(f"{str(path)!r} describes one attention, expected a model with a 'stack'")
    return _from_mapping(ModelSpec, mapping, str(path))


def read_any_spec(path: AnyPath) -> AttentionSpec | ModelSpec:
    """Whichever of both a file describes."""
    mapping = _read(Path(path))
    if is_of_model(mapping):
        return _from_mapping(ModelSpec, mapping, str(path))
    return spec_from_mapping(mapping, str(path))


def is_of_model(mapping: Mapping[str, Any]) -> bool:
    """Whether fields are those of a model spec, of which each has a stack, rather than of one attention."""
    return "stack" in mapping


def _read(file: Path) -> dict[str, Any]:
    parsers = {".toml": _parse_toml, ".json": parse_json_object}
    parsers |= {".yaml": _parse_yaml, ".yml": _parse_yaml}
    if file.suffix.lower() not in parsers:
        raise SpecError(f"{str(file)!r} is no spec file: expected {', '.join(parsers)}")
    return parsers[file.suffix.lower()](read_bytes(file, SPEC_BYTES), str(file))


def spec_from_mapping(mapping: Mapping[str, Any], source: str = "spec") -> AttentionSpec:
    """The spec whose fields are in `mapping`, tables nested; `source` begins the error."""
    return _from_mapping(AttentionSpec, mapping, source)


def _from_mapping(kind: type[_Spec], mapping: Mapping[str, Any], source: str) -> _Spec:
    problems: list[str] = []
    spec = build(kind, mapping, problems)
    if spec is None:
        raise SpecError(f"{source!r} is wrong:{bullet_list(problems)}")
    return spec


def spec_to_mapping(spec: AttentionSpec | ModelSpec) -> dict[str, Any]:
    """The fields that are not at their default, and of an attention `model` and `heads`: the inverse of reading."""
    return to_mapping(spec, always=("model", "heads") if isinstance(spec, AttentionSpec) else ())


def spec_to_json(spec: AttentionSpec | ModelSpec) -> str:
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
