"""The header of a GGUF file: its keys, and where its tensors are.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian. The
reader of the `gguf` library makes arrays of every word of the vocabulary, and believes what a file says
of its own sizes. This one passes over lists, and checks each size against the file.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortico.ir.errors import SpecError, named, shown
from cortico.ir.limits import GGUF_KEYS, GGUF_NAME_BYTES, GGUF_TENSORS, GGUF_TEXTS
from cortico.ir.reading import require_file

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
#: Types of values: numbers by their struct code, texts and lists.
_NUMBERS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_LENGTH = struct.Struct("<Q")
_KEPT_BYTES = 4096  #: of a text that are kept
_KEPT = 64  #: values of a list that are kept; none that is read is as long
_MOST_AXES = 4


@dataclass(frozen=True)
class Stored:
    """Where a tensor is. `shape` is NumPy's, `code` the number of its type, `offset` from the data."""

    name: str
    shape: tuple[int, ...]
    code: int
    offset: int


@dataclass(frozen=True)
class Header:
    """Keys and tensors of a file, and the byte where the tensors' data begins."""

    values: dict[str, Any]
    tensors: list[Stored]
    data: int
    alignment: int


def read_header(file: Path) -> Header:
    """SpecError when the file is no GGUF file, is cut short, or says sizes that cannot be."""
    require_file(file)
    if file.stat().st_size < 24:
        raise SpecError(f"{str(file)!r} is no GGUF file: it has less than 24 bytes")
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Walk(data, str(file)).header()


class _Walk:
    """Reads a file's values one after another, and never past its end."""

    def __init__(self, data: mmap.mmap, source: str) -> None:
        self.data, self.source = data, source
        self.at = self.texts = 0

    def header(self) -> Header:
        if self.data[:4] != _MAGIC:
            raise SpecError(f"{self.source!r} is no GGUF file: it begins with {self.data[:4]!r}")
        self.at = 4
        version = self.number("I")
        if version not in _VERSIONS:
            order = " (big-endian files are not read)" if version & 0xFFFF == 0 else ""
            raise self.wrong(f"version is {version}, expected 2 or 3{order}")
        tensors = self.count("tensors", GGUF_TENSORS)
        keys = self.count("keys", GGUF_KEYS)
        values = self.unique("key", (self.key() for _ in range(keys)))
        found = self.unique("tensor", ((s.name, s) for s in map(self.tensor, range(tensors))))
        alignment = values.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise self.wrong(f"general.alignment is {shown(alignment)}, expected a power of two")
        return Header(values, list(found.values()), padded(self.at, alignment), alignment)

    def key(self) -> tuple[str, Any]:
        name = self.name("a key")
        kind = self.number("I")
        if kind in _NUMBERS:
            return name, self.number(_NUMBERS[kind])
        if kind == _TEXT:
            return name, self.text(name)
        if kind == _LIST:
            return name, self.values(name)
        raise self.wrong(f"key {named(name)} has a value of the unknown type {kind}")

    def values(self, name: str) -> list[Any]:
        """The first values of a list; the others are passed over."""
        kind, length = self.number("I"), self.number("Q")
        if kind == _TEXT:
            return self.list_of_texts(name, length)
        if kind not in _NUMBERS:
            raise self.wrong(f"key {named(name)} is a list of the unknown type {kind}")
        size = struct.calcsize(f"<{_NUMBERS[kind]}")
        start = self.skip(length * size, f"the list {named(name)}")
        kept = min(length, _KEPT)
        return list(struct.unpack_from(f"<{kept}{_NUMBERS[kind]}", self.data, start))

    def list_of_texts(self, name: str, length: int) -> list[Any]:
        self.texts += length
        if self.texts > GGUF_TEXTS:
            raise self.wrong(f"key {named(name)} lists too many texts, {length:,}")
        kept = [self.text(name) for _ in range(min(length, _KEPT))]
        at, last = self.at, len(self.data) - 8
        for _ in range(length - len(kept)):  # of vocabularies, so it is a short loop
            if at > last:
                break
            at += 8 + _LENGTH.unpack_from(self.data, at)[0]
        else:
            self.skip(at - self.at, named(name))
            return kept
        raise self.wrong(f"it ends within the list {named(name)}")

    def tensor(self, number: int) -> Stored:
        name = self.name(f"the name of tensor {number}")
        axes = self.number("I")
        if axes > _MOST_AXES:
            raise self.wrong(f"tensor {named(name)} has {axes} axes, expected at most {_MOST_AXES}")
        sizes = [self.number("Q") for _ in range(axes)]
        if math.prod(max(size, 1) for size in sizes) >= 2**63:
            raise self.wrong(
                f"tensor {named(name)} has sizes {shown(sizes)}, more than a file holds"
            )
        return Stored(name, tuple(reversed(sizes)), self.number("I"), self.number("Q"))

    def unique(self, what: str, pairs: Iterator[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise self.wrong(f"the {what} {named(name)} stands twice")
            found[name] = value
        return found

    def count(self, what: str, most: int) -> int:
        found = int(self.number("Q"))
        if found > most:
            raise self.wrong(f"it has {found:,} {what}, expected at most {most:,}")
        return found

    def number(self, code: str) -> Any:
        size = struct.calcsize(f"<{code}")
        return struct.unpack_from(f"<{code}", self.data, self.skip(size, "a number"))[0]

    def name(self, what: str) -> str:
        """The name of a key or tensor."""
        length = self.number("Q")
        if length > GGUF_NAME_BYTES:
            raise self.wrong(f"{what} has {length:,} bytes, more than {GGUF_NAME_BYTES:,}")
        start = self.skip(length, what)
        return self.data[start : self.at].decode("utf-8", "replace")

    def text(self, what: str) -> str:
        """The beginning of a text of any length; none that is read is as long."""
        start = self.skip(self.number("Q"), named(what))
        return self.data[start : min(self.at, start + _KEPT_BYTES)].decode("utf-8", "replace")

    def skip(self, size: int, what: str) -> int:
        """The place of the next `size` bytes, which are passed."""
        start = self.at
        if size > len(self.data) - start:
            raise self.wrong(f"it ends within {what}, at byte {start:,}")
        self.at = start + size
        return start

    def wrong(self, problem: str) -> SpecError:
        return SpecError(f"{self.source!r} is not a whole GGUF file: {problem}")


def padded(size: int, alignment: int) -> int:
    """The next multiple of `alignment`."""
    return -(-size // alignment) * alignment
