"""HDF5 as SONATA has it: magic number and version at the root, arrays of known size, uncompressed.

Uncompressed, because libsonata's wheel cannot read gzip (seen with 0.2.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cortico.backends.hdf5 import new_hdf5

if TYPE_CHECKING:
    import h5py

MAGIC, VERSION = 0x0A7A, (0, 1)


@contextmanager
def new_file(path: Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """An open, empty SONATA file, and what raises OSError when it could not be written so far."""
    with new_hdf5(path, libver="v108") as (file, check):
        file.attrs["magic"] = np.uint32(MAGIC)
        file.attrs["version"] = np.array(VERSION, np.uint32)
        yield file, check


def array(
    group: h5py.Group, name: str, size: int, dtype: npt.DTypeLike, width: int = 0, fill: int = 0
) -> h5py.Dataset:
    """A new dataset of shape (size,) or (size, width). What is never written reads as `fill`."""
    shape = (size, width) if width else (size,)
    return group.create_dataset(name, shape, dtype, fillvalue=fill)
