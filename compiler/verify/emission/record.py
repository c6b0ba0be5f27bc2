"""Which backend wrote a folder, with which options: what is needed to emit its files again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from cortico.backends import Backend, get_writer
from cortico.ir import SpecError

Record = Mapping[str, object]


def record_of(target: Backend) -> dict[str, object]:
    """The name of a backend, and its options that are not the default ones. For JSON."""
    options = getattr(target, "options", None)
    chosen = {}
    if is_dataclass(options):
        for option in fields(options):
            value = getattr(options, option.name)
            if value != option.default:
                chosen[option.name] = value
    return {"backend": target.name, "options": chosen}


def backend_of(record: object) -> Backend:
    """The backend that a record names, with its options. SpecError for what is no record."""
    if not isinstance(record, dict):
        raise SpecError("no record of the backend that wrote it")
    name, options = record.get("backend"), record.get("options")
    if set(record) != {"backend", "options"} or not isinstance(name, str):
        raise SpecError("the record of the backend that wrote it is none")
    if not isinstance(options, dict):
        raise SpecError("the options of the backend that wrote it are none")
    try:
        return get_writer(name, **options)
    except TypeError as error:  # of a backend that takes its options by name
        raise SpecError(f"the options of backend {name!r} are wrong: {error}") from None
