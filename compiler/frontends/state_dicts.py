"""State dicts of `torch.save`: `pytorch_model.bin`, `weights.pt`.

Files are pickles. Only `torch.load(weights_only=True)` opens them, which makes tensors and plain values
and calls nothing that a file names; nothing else in cortico unpickles.
"""

from __future__ import annotations

import importlib.util
import io
import pickletools
import warnings
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from cortico.frontends.tensors import FLOATS, Entry
from cortico.ir.errors import SpecError, clipped, named
from cortico.ir.reading import require_file

#: Where a live module keeps what acts when it is called, or when its state dict is made.
HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_state_dict_hooks", "_state_dict_pre_hooks")

_DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_OLD_PICKLES = 5  #: that files from before torch 1.6 begin with
_LONGEST_NAME = 200  #: of what a pickle asks for; torch's search in longer ones takes minutes
_HOW = "torch.save(model.state_dict(), path) makes one, save_pretrained a safetensors file"


@dataclass(frozen=True)
class TorchEntry:
    """A torch tensor in memory, or mapped from a file."""

    tensor: Any

    @property
    def dtype(self) -> str:
        name = str(self.tensor.dtype).removeprefix("torch.")
        return _DTYPES.get(name, name)

    @property
    def types(self) -> Collection[str]:
        """Those that are read."""
        return FLOATS

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    def load(self) -> np.ndarray:
        if self.tensor.is_meta:
            raise SpecError("the module is on the meta device: it has shapes and no weights")
        tensor = self.tensor.detach().cpu().resolve_neg()  # a view may hold the negative
        array: np.ndarray = (tensor if self.dtype in ("F32", "F64") else tensor.float()).numpy()
        return array


def read_state_dict(file: Path) -> dict[str, Entry]:
    """The tensors of a file. SpecError for anything but a mapping of names to plain tensors."""
    require_file(file)
    if importlib.util.find_spec("torch") is None:
        raise SpecError(f"{str(file)!r} is read with torch: pip install 'cortico[torch]'")
    found = _load(file)
    if not isinstance(found, Mapping):
        raise SpecError(
            f"{str(file)!r} holds a {type(found).__name__}, expected a state dict: {_HOW}"
        )
    return {str(name): _entry(file, str(name), value) for name, value in found.items()}


def _load(file: Path) -> object:
    import torch

    try:
        archive = zipfile.is_zipfile(file)
        _inspect(file, archive)
        with warnings.catch_warnings(action="ignore"):
            return torch.load(str(file), map_location="cpu", weights_only=True, mmap=archive)
    except SpecError:
        raise
    except Exception as error:  # of torch, pickle and whatever a broken file makes them meet
        reason = clipped(" ".join(clipped(str(error), 1000).split()), 200)
        raise SpecError(
            f"{str(file)!r} is no state dict that torch reads with weights_only=True "
            f"({type(error).__name__}: {reason}); expected tensors and nothing else: {_HOW}"
        ) from None


def _inspect(file: Path, archive: bool) -> None:
    """Refuse, before torch reads it, what would take it long: packed parts, and names of many letters."""
    if not archive:
        with file.open("rb") as stream:
            for _ in range(_OLD_PICKLES):
                _refuse_long_names(file, stream)
        return
    with zipfile.ZipFile(file) as parts:
        for part in parts.infolist():
            if part.compress_type:
                raise SpecError(f"{str(file)!r} is a compressed archive, as torch.save writes none")
            if part.filename.endswith("data.pkl"):
                _refuse_long_names(file, io.BytesIO(parts.read(part)))


def _refuse_long_names(file: Path, stream: IO[bytes]) -> None:
    for code, value, _ in pickletools.genops(stream):
        if code.name == "GLOBAL" and len(str(value)) > _LONGEST_NAME:
            raise SpecError(f"{str(file)!r} asks for {named(str(value))}, which is not in torch")


def _entry(file: Path, name: str, value: object) -> TorchEntry:
    import torch

    if not isinstance(value, torch.Tensor):
        raise SpecError(
            f"{str(file)!r}: {named(name)} is a {type(value).__name__}, expected a tensor: {_HOW}"
        )
    if value.layout is not torch.strided:
        raise SpecError(f"{str(file)!r}: tensor {named(name)} is sparse, expected a plain one")
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise SpecError(f"{str(file)!r}: tensor {named(name)} has fewer numbers than its shape")
    return TorchEntry(value)
