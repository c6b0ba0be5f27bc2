"""HDF5 files that are written through Python, so that a full disk is an error.

The HDF5 library ends with a segmentation fault when it cannot write what it has cached (seen with 1.14). So
it is given a file that takes everything, and that says at the end what could not be written.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py


class DiskFile(io.FileIO):
    """A new file that keeps its first error, and takes nothing any more from then on."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, bytes or a buffer; returns how many bytes that are."""
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self._error is None:
            left = left[self._kept(super().write, left) or 0 :]
        return size

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend to `size` bytes."""
        if self._error is None:
            self._kept(super().truncate, size)
        return size or 0

    def _kept(self, action: Callable[[Any], int | None], argument: Any) -> int | None:
        try:
            return action(argument)
        except OSError as error:
            self._error = error
            return None

    def check(self) -> None:
        """OSError when something could not be written."""
        if self._error is not None:
            raise self._error


@contextmanager
def new_disk_file(path: Path) -> Iterator[DiskFile]:
    """A file for HDF5 to write to. OSError at the end, whatever HDF5 says, when the disk had no room."""
    file = DiskFile(path)
    try:
        yield file
    finally:
        file.close()
        file.check()


@contextmanager
def new_hdf5(path: Path, **options: Any) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """A new HDF5 file, and a function that raises OSError as soon as something could not be written.

    h5py is imported here; `options` are those of `h5py.File`.
    """
    import h5py

    with new_disk_file(path) as disk, h5py.File(disk, "w", **options) as file:
        yield file, disk.check
