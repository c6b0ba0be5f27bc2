"""Reading a file that a user names: a regular one, and no larger than it should be."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from cortico.ir.errors import SpecError

#: A path as users write it.
AnyPath = str | PathLike[str]


def read_bytes(path: Path, most: int) -> bytes:
    """The whole file. SpecError when it cannot be read, or has more than `most` bytes."""
    require_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise SpecError(f"cannot read {str(path)!r}: {error.strerror}") from None
    if len(content) > most:
        raise SpecError(f"{str(path)!r} is too large: expected at most {most:,} bytes")
    return content


def require_file(path: Path) -> None:
    """SpecError unless `path` is a regular file; a pipe or a device would be waited on for ever."""
    try:
        path.stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(f"cannot read {str(path)!r}: {reason}") from None
    if not path.is_file():
        kind = "a directory" if path.is_dir() else "not a regular file"
        raise SpecError(f"cannot read {str(path)!r}: it is {kind}, expected a file")
