"""Arrays in .npy and .npz files, as circuits run on. Headers are held against the size of the file before anything is read.

An .npz file is a zip archive: a few bytes of it can unpack to more than memory holds, and may do so under
names that nobody asks for. So only arrays that are asked for are read, and only as far as they may be large.
Nothing is unpickled.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from cortico.ir.errors import SpecError, clipped, shown
from cortico.ir.limits import MEMBERS, UNPACKED_BYTES
from cortico.ir.reading import AnyPath, require_file

_ENDING = ".npy"
_STRANGE = "it is no .npy or .npz file of numbers"


@dataclass(frozen=True, eq=False)
class Archive(Mapping[str, np.ndarray]):
    """The arrays of an .npz file by name; each is read when it is first asked for."""

    path: Path
    members: Mapping[str, zipfile.ZipInfo]
    _read: dict[str, np.ndarray] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        """KeyError when there is none; SpecError when it is broken or holds anything but numbers."""
        member = self.members[name]
        if name not in self._read:
            what = f"{name!r} in {str(self.path)!r}"
            with (
                _readable(self.path),
                zipfile.ZipFile(self.path) as archive,
                archive.open(member) as s,
            ):
                self._read[name] = _array(s, member.file_size, what)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)


def read_arrays(path: AnyPath) -> np.ndarray | Archive:
    """The array in an .npy file, or those of an .npz file. SpecError for anything else."""
    file = Path(path)
    require_file(file)
    with _readable(file), file.open("rb") as stream:
        begins = stream.read(4)
        stream.seek(0)
        if begins[:2] == b"PK":
            return Archive(file, _members(file))
        return _array(stream, file.stat().st_size, repr(str(file)))


def save_npz(path: AnyPath, arrays: Mapping[str, np.ndarray]) -> None:
    """An .npz file of arrays by whatever name: `np.savez` keeps some for its own parameters."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}{_ENDING}", "w", force_zip64=True) as member:
                np.save(member, array, allow_pickle=False)


def _members(file: Path) -> dict[str, zipfile.ZipInfo]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    if len(members) > MEMBERS:
        raise SpecError(f"{str(file)!r} holds {len(members):,} arrays, expected at most {MEMBERS}")
    packed = sum(m.file_size for m in members if m.compress_type != zipfile.ZIP_STORED)
    if packed > UNPACKED_BYTES:
        raise SpecError(
            f"{str(file)!r} unpacks to {packed:,} bytes, expected at most {UNPACKED_BYTES:,}; "
            "save large arrays with np.savez, which does not compress them"
        )
    by_name = {member.filename.removesuffix(_ENDING): member for member in members}
    if len(by_name) < len(members):
        raise SpecError(f"{str(file)!r} holds two arrays of one name")
    return by_name


def _array(stream: IO[bytes], size: int, what: str) -> np.ndarray:
    """The array of numbers in `size` bytes of .npy."""
    shape, in_columns, dtype, start = _header(stream)
    if dtype.kind not in "fiub":
        raise SpecError(f"{what} has type {clipped(str(dtype), 60)}, expected numbers")
    if math.prod(shape) * dtype.itemsize != size - start:
        raise SpecError(f"{what} has shape {shown(shape)}, which is not the size of the file")
    content = bytearray(stream.read(size - start))
    if len(content) != size - start:
        raise ValueError(_STRANGE)
    array = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if in_columns else "C")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether the first index runs fastest, type, and the number of bytes of the header."""
    version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(_STRANGE)
    shape, in_columns, dtype = readers[version](stream)  # type: ignore[no-untyped-call]
    if any(side < 0 for side in shape):
        raise ValueError(_STRANGE)
    return shape, in_columns, dtype, stream.tell()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what zip, zlib and NumPy raise for broken files, a dozen errors, into one SpecError."""
    try:
        yield
    except SpecError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or _STRANGE
        raise SpecError(f"cannot read {str(path)!r}: {reason}") from None
