"""Weights that are not read, and how to make of them weights that are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_SAVE = "load them where they come from and save them as safetensors (save_pretrained)"
_TENSORFLOW = (
    "TensorFlow or Keras weights; transformers 4 makes them safetensors: "
    "AutoModel.from_pretrained(folder, from_tf=True).save_pretrained(new)"
)
_FLAX = _TENSORFLOW.replace("TensorFlow or Keras", "Flax").replace("from_tf", "from_flax")
_ENDS: Mapping[str, str] = {
    ".h5": _TENSORFLOW,
    ".keras": _TENSORFLOW,
    ".pb": _TENSORFLOW,
    ".ckpt.index": _TENSORFLOW,
    ".msgpack": _FLAX,
    ".npz": f"arrays of NumPy or MLX; {_SAVE}",
    ".ckpt": (
        "a checkpoint of a training; save what it holds: "
        "torch.save(torch.load(path)['state_dict'], 'weights.pt')"
    ),
}
_CTRANSLATE2 = (
    "CTranslate2 weights, which do not convert back: use the model that they were made of"
)
#: Suffixes of files of `torch.save`.
PICKLED = (".bin", ".pt", ".pth")
#: How files of `torch.save` begin: a zip archive, or a pickle of protocol 2 and later.
_PICKLES_BEGIN = (b"PK\x03\x04", b"\x80")

_BY_PARTS: tuple[tuple[tuple[str, ...], str], ...] = (
    ((".qweight", ".qzeros", ".g_idx"), "GPTQ or AWQ stored them in few bits"),
    ((".absmax", ".quant_map", ".SCB", ".weight_format"), "bitsandbytes stored them in few bits"),
    (
        (".weight_scale", ".weight_scale_inv", ".input_scale"),
        "they are stored in 8 bits and scales",
    ),
    ((".scales", ".biases"), "MLX stored them in few bits (mlx_lm.convert --dequantize)"),
)
_NARROW = ("F8_", "F4", "F6", "float8", "float4")


def conversion(file: Path) -> str | None:
    """What a file of weights is that is not read, and how it is converted; None for others."""
    for end, what in _ENDS.items():
        if file.name.lower().endswith(end):
            return f"{file.name} has {what}"
    if file.name == "model.bin" and not is_pickled(file):
        return f"{file.name} has {_CTRANSLATE2}"
    return None


def conversions(folder: Path) -> str:
    """The same of the first such file in a folder, as the end of an error."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    found = (conversion(file) or _itself(file) for file in files)
    return next((f"; {what}" for what in found if what), "")


def _itself(file: Path) -> str | None:
    """A hint for a file that is read, but not found by its folder alone."""
    read = file.suffix == ".gguf" or (file.suffix in PICKLED and is_pickled(file))
    return f"if {file.name} has them, give the file itself" if read else None


def is_pickled(file: Path) -> bool:
    """Whether a file begins as one of `torch.save` does."""
    try:
        with file.open("rb") as stream:
            return stream.read(4).startswith(_PICKLES_BEGIN)
    except OSError:
        return False


def quantised(types: Mapping[str, str]) -> Iterator[str]:
    """What was done to weights of few bits, given names of tensors and their types; else nothing."""
    for ends, how in _BY_PARTS:
        if any(name.endswith(ends) or _has_part(name, ends) for name in types):
            yield f"the weights are quantised: {how}; save them as floats"
            return
    if any(kind.startswith(_NARROW) for kind in types.values()):
        yield "the weights are stored in 8 bits or fewer: save them as floats (model.to(torch.bfloat16))"


def _has_part(name: str, parts: Iterable[str]) -> bool:
    return any(f"{part}." in name for part in parts)
