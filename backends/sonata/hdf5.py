"""HDF5 as SONATA has it: magic number and version at the root, arrays of known size, uncompressed.

Uncompressed, because libsonata's wheel cannot read gzip (seen with 0.2.2).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import h5py

MAGIC, VERSION = 0x0A7A, (0, 1)


def new_file(path: Path) -> h5py.File:
    """An open, empty SONATA file. h5py is imported here."""
    import h5py

    file = h5py.File(path, "w", libver="v108")
    file.attrs["magic"] = np.uint32(MAGIC)
    file.attrs["version"] = np.array(VERSION, np.uint32)
    return file


def array(
    group: h5py.Group, name: str, size: int, dtype: npt.DTypeLike, width: int = 0, fill: int = 0
) -> h5py.Dataset:
    """A new dataset of shape (size,) or (size, width). What is never written reads as `fill`."""
    shape = (size, width) if width else (size,)
    return group.create_dataset(name, shape, dtype, fillvalue=fill)
