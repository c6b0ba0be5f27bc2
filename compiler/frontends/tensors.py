"""Named tensors on disk: one safetensors file or its shards, memory-mapped and read lazily."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np

from cortico.frontends.foreign import PICKLED, conversion, quantised
from cortico.frontends.json_text import parse_json_object, read_json_object
from cortico.ir.errors import SpecError, bullet_list, clipped, near_name
from cortico.ir.limits import JSON_BYTES
from cortico.ir.reading import AnyPath, require_file

#: safetensors' dtype to the NumPy type of its bytes. bfloat16 is the upper half of a float32.
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_INDEX = ".index.json"
_LISTED = 8  #: at most so many problems of a broken index are listed


class Entry(Protocol):
    """One tensor that is known by shape and type, and not read yet."""

    @property
    def dtype(self) -> str: ...
    @property
    def types(self) -> Collection[str]: ...  # those that are read
    @property
    def shape(self) -> tuple[int, ...]: ...
    def load(self) -> np.ndarray: ...


@dataclass(frozen=True)
class FileEntry:
    """A tensor at bytes `start … stop` of a safetensors file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def types(self) -> Collection[str]:
        """Those that are read."""
        return FLOATS

    def load(self) -> np.ndarray:
        """The tensor as float64 or float32; float32 and float64 are read-only views of the file."""
        if self.start == self.stop:
            return np.zeros(self.shape, np.float32)
        code = np.dtype(FLOATS[self.dtype])
        try:
            stored = np.memmap(self.file, code, "r", self.start, self.shape)
        except (OSError, ValueError) as error:
            raise SpecError(f"{str(self.file)!r} changed while it was read: {error}") from None
        return _as_float(stored.view(np.ndarray), self.dtype)


def _as_float(stored: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "BF16":
        array = np.empty(stored.shape, np.float32)  # its own: a view of it keeps it in use
        np.left_shift(stored, 16, out=array.view(np.uint32), dtype=np.uint32)
        return array
    return stored.astype(np.float32) if dtype == "F16" else stored


@dataclass(frozen=True, eq=False)
class Tensors(Mapping[str, np.ndarray]):
    """Tensors by name. Names, shapes and types are known at once; `self[name]` reads one.

    `scope` is a prefix that `take` puts before names, `purpose` says in errors what for. A tensor that is read
    again while it is in use is the same array: so blocks that share it have one.
    """

    source: str
    entries: Mapping[str, Entry]
    scope: str = ""
    purpose: str = ""
    in_use: WeakValueDictionary[str, np.ndarray] = field(
        default_factory=WeakValueDictionary, repr=False
    )

    def __getitem__(self, name: str) -> np.ndarray:
        """SpecError when there is no such tensor, or its type is no floating point that we read."""
        problems = list(self._problems(name, None))
        if problems:
            raise SpecError(f"{self.source!r}: {problems[0]}")
        return self._load(name)

    def _load(self, name: str) -> np.ndarray:
        found = self.in_use.get(name)
        if found is None:
            found = self.in_use[name] = self.entries[name].load()
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor that exists, without reading it."""
        return self.entries[name].shape

    def scoped(self, scope: str, purpose: str) -> Tensors:
        """The same tensors, with `take` looking under the prefix `scope`."""
        return replace(self, scope=scope, purpose=purpose)

    def take(
        self, wanted: Mapping[str, tuple[int, ...]], ignored: tuple[str, ...] = ()
    ) -> dict[str, np.ndarray]:
        """The tensors named in `wanted`, under the scope, each of the given shape.

        A tensor under the scope that is neither wanted nor ignored is refused: left out, the
        attention would silently be another one. Raises one SpecError that lists every problem.
        """
        names = {self.scope + name: shape for name, shape in wanted.items()}
        problems = [text for name in names for text in self._problems(name, names[name])]
        for name in self.entries:
            rest = name.removeprefix(self.scope)
            if name.startswith(self.scope) and name not in names and not rest.startswith(ignored):
                problems.append(f"tensor {name!r} is part of this attention, and not supported")
        if problems:
            within = {
                name: e.dtype for name, e in self.entries.items() if name.startswith(self.scope)
            }
            problems += quantised(within)
            purpose = f" ({self.purpose})" if self.purpose else ""
            raise SpecError(f"cannot read {self.source!r}{purpose}:{bullet_list(problems)}")
        return {name: self._load(self.scope + name) for name in wanted}

    def _problems(self, name: str, shape: tuple[int, ...] | None) -> Iterator[str]:
        entry = self.entries.get(name)
        if entry is None:
            yield f"no tensor {name!r}{near_name(name, self.entries)}"
            return
        if entry.dtype not in entry.types:
            yield f"tensor {name!r} has type {entry.dtype}, expected one of {', '.join(entry.types)}"
        if shape is not None and entry.shape != shape:
            yield f"tensor {name!r} has shape {entry.shape}, expected {shape}"


def open_tensors(path: AnyPath) -> Tensors:
    """The tensors of a `.safetensors` file, of a state dict of torch, or of the shards of an index.

    Reads headers only, but for old files of torch, which are read whole. SpecError when a file is
    missing, is not what its name says, is truncated, or has a header that lies about sizes.
    """
    file = Path(path)
    if file.name.endswith(_INDEX):
        return Tensors(str(file), _read_index(file))
    return Tensors(str(file), _read_file(file))


def _read_file(file: Path) -> dict[str, Entry]:
    from cortico.frontends.state_dicts import read_state_dict

    other = conversion(file)
    if other:
        raise SpecError(f"cannot read {str(file)!r}: {other}")
    return read_state_dict(file) if file.suffix.lower() in PICKLED else _read_header(file)


def _read_header(file: Path) -> dict[str, Entry]:
    require_file(file)
    _measure(file)
    _validate(file)
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = parse_json_object(stream.read(size), str(file))
    header.pop("__metadata__", None)
    return {name: _entry(file, 8 + size, fields) for name, fields in header.items()}


def _entry(file: Path, data: int, fields: dict[str, Any]) -> FileEntry:
    shape, (start, stop) = tuple(fields["shape"]), fields["data_offsets"]
    return FileEntry(file, fields["dtype"], shape, data + start, data + stop)


def _measure(file: Path) -> None:
    """Refuse a header that is too long before anyone parses it."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
    if JSON_BYTES < size <= file.stat().st_size:
        raise SpecError(f"{str(file)!r} has a header of {size:,} bytes, expected {JSON_BYTES:,}")


def _validate(file: Path) -> None:
    """Let safetensors check header, sizes and offsets against the file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise SpecError(
            f"{str(file)!r} is not a whole safetensors file: {clipped(str(error), 200)}"
        ) from None


def _read_index(file: Path) -> dict[str, Entry]:
    shard_of = _weight_map(file)
    shards = {name: _read_file(file.parent / name) for name in sorted(set(shard_of.values()))}
    lost = [
        f"{name!r} in {shard!r}" for name, shard in shard_of.items() if name not in shards[shard]
    ]
    if lost:
        raise SpecError(f"{str(file)!r} lists tensors that are not there:{_shortened(lost)}")
    return {name: shards[shard][name] for name, shard in shard_of.items()}


def _weight_map(file: Path) -> dict[str, str]:
    shard_of = read_json_object(file).get("weight_map")
    if not isinstance(shard_of, dict):
        raise SpecError(f"{str(file)!r} has no object 'weight_map'")
    bad = [f"{name!r}: {shard!r}" for name, shard in shard_of.items() if not _is_plain_name(shard)]
    if bad:
        raise SpecError(f"{str(file)!r}: shards must be plain file names:{_shortened(bad)}")
    return shard_of


def _is_plain_name(shard: object) -> bool:
    """A file of this folder: no other folder may be reached through an index."""
    if not isinstance(shard, str) or shard in ("", ".", ".."):
        return False
    return not set(shard) & set("/\\:\0")


def _shortened(problems: list[str]) -> str:
    more = [f"and {len(problems) - _LISTED} more"] if len(problems) > _LISTED else []
    return bullet_list(problems[:_LISTED] + more)
