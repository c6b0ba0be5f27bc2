"""The tensors of a GGUF file, memory-mapped; what is quantised is made floats when it is read."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cortico.frontends.gguf_file.header import Header, Stored, padded
from cortico.frontends.tensors import Tensors
from cortico.ir.errors import SpecError

_NAMES = (
    "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K TQ1_0 TQ2_0 MXFP4 NVFP4 "
    "IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S IQ1_S IQ1_M IQ4_NL IQ4_XS"
)
#: The types that `gguf.quants.dequantize` knows.
READ = tuple(_NAMES.split())


@dataclass(frozen=True)
class GgufEntry:
    """A tensor of `shape` at bytes `start … start + size` of a file."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int

    @property
    def types(self) -> Collection[str]:
        """Those that are read."""
        return READ

    def load(self) -> np.ndarray:
        """float32, shape as stored: a read-only view of the file for F32, else what it stands for."""
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        if not self.size:
            return np.zeros(self.shape, np.float32)
        rows = (math.prod(self.shape[:-1]), -1)
        try:
            stored = np.memmap(self.file, np.uint8, "r", self.start, (self.size,))
        except (OSError, ValueError) as error:
            raise SpecError(f"{str(self.file)!r} changed while it was read: {error}") from None
        with np.errstate(
            all="ignore"
        ):  # scales of a hostile file overflow: not finite, and refused
            values = dequantize(
                stored.view(np.ndarray).reshape(rows), GGMLQuantizationType[self.dtype]
            )
        return np.asarray(values).reshape(self.shape)


def open_entries(file: Path, header: Header) -> Tensors:
    """The tensors that the header lists. SpecError for those that the file has not in full."""
    if importlib.util.find_spec("gguf") is None:
        raise SpecError("GGUF files need the gguf library: pip install 'cortico[gguf]'")
    end, entries = 0, {}
    for stored in header.tensors:
        entry = _entry(file, header, stored)
        if end is not None and stored.offset != end:
            raise SpecError(
                f"{str(file)!r}: tensor {stored.name!r} is at {stored.offset:,}, expected {end:,}, "
                "where the tensor before it ends"
            )
        entries[stored.name] = entry
        end = padded(stored.offset + entry.size, header.alignment)
    return Tensors(str(file), entries)


def _entry(file: Path, header: Header, stored: Stored) -> GgufEntry:
    dtype, block, size = _type(file, stored)
    last = stored.shape[-1] if stored.shape else 1
    if last % block:
        raise SpecError(
            f"{str(file)!r}: tensor {stored.name!r} has rows of {last} numbers, expected a multiple "
            f"of {block}, a block of type {dtype}"
        )
    length = math.prod(stored.shape) // block * size
    start = header.data + stored.offset
    if start + length > file.stat().st_size:
        raise SpecError(f"{str(file)!r} is cut short: it ends within tensor {stored.name!r}")
    return GgufEntry(file, dtype, stored.shape, start, length)


def _type(file: Path, stored: Stored) -> tuple[str, int, int]:
    """Name of a tensor's type, numbers in a block and its bytes."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        kind = GGMLQuantizationType(stored.code)
        return (kind.name, *GGML_QUANT_SIZES[kind])
    except (ValueError, KeyError):
        raise SpecError(
            f"{str(file)!r}: tensor {stored.name!r} has the unknown type {stored.code}"
        ) from None
