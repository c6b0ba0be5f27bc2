"""What a path is that a user gives: said in the same words by every command."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from cortico.files.names import CIRCUIT, NETWORK

_SPEC_SUFFIXES = (".toml", ".json", ".yaml", ".yml")


class PathKind(StrEnum):
    """What cortico reads, in words."""

    SPEC = f"a spec file ({', '.join(_SPEC_SUFFIXES)})"
    SAFETENSORS = "a .safetensors file"
    PICKLED = "a PyTorch file (.bin, .pt, .pth)"
    GGUF = "a .gguf file"
    ONNX = "an .onnx file"
    CHECKPOINT = "a checkpoint folder"
    COMPILED = "a compiled folder"
    MODEL = "a folder of a compiled model"
    TEXT = "a circuit file (.cortico)"
    SONATA = "a SONATA folder"
    FOLDER = "a folder of nothing that cortico knows"
    UNKNOWN = "a file of no kind that cortico knows"

    @property
    def label(self) -> str:
        """What it is, without the suffixes."""
        return self.partition(" (")[0]


#: What a spec and weights are read from.
SOURCES = (
    PathKind.SPEC,
    PathKind.SAFETENSORS,
    PathKind.PICKLED,
    PathKind.GGUF,
    PathKind.ONNX,
    PathKind.CHECKPOINT,
)
#: What holds a circuit.
CIRCUITS = (PathKind.COMPILED, PathKind.TEXT)

_BY_SUFFIX = {
    **dict.fromkeys(_SPEC_SUFFIXES, PathKind.SPEC),
    ".safetensors": PathKind.SAFETENSORS,
    **dict.fromkeys((".bin", ".pt", ".pth"), PathKind.PICKLED),
    ".gguf": PathKind.GGUF,
    ".onnx": PathKind.ONNX,
    ".cortico": PathKind.TEXT,
}


def kind_of(path: Path, accepted: tuple[PathKind, ...]) -> PathKind:
    """What `path` is, one of `accepted`. SpecError that says what it is and what is expected."""
    from cortico.ir import SpecError  # here, so that --help does not load NumPy

    try:
        found = list(_kinds(path))
    except OSError as error:
        raise SpecError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    for kind in found:
        if kind in accepted:
            return kind
    if found == [PathKind.FOLDER] and PathKind.CHECKPOINT in accepted:
        return PathKind.CHECKPOINT  # whose reader says which files are missing
    *others, last = accepted
    expected = f"{', '.join(others)} or {last}" if others else last
    how = _conversion(path) if PathKind.CHECKPOINT in accepted else ""
    raise SpecError(f"{str(path)!r} is {found[0].label}, expected {expected}{how}")


def is_compiled_model(path: Path) -> bool:
    """Whether a path is the folder of a compiled model."""
    return (path / NETWORK).is_file()


def _conversion(path: Path) -> str:
    """How a file of weights of another library becomes one that is read."""
    from cortico.frontends.foreign import conversion

    what = conversion(path) if path.is_file() else None
    return f"; {what}" if what else ""


def _kinds(path: Path) -> Iterator[PathKind]:
    """All that a path may be taken for: a folder may hold a circuit, and SONATA files of it."""
    path.stat()
    if path.is_dir():
        yield from _folder_kinds(path)
    else:
        yield _BY_SUFFIX.get(path.suffix.lower()) or (
            PathKind.TEXT if _begins_as_text(path) else PathKind.UNKNOWN
        )


def _folder_kinds(folder: Path) -> Iterator[PathKind]:
    compiled, model = (folder / CIRCUIT).is_file(), is_compiled_model(folder)
    if model:
        yield PathKind.MODEL
    if (folder / "circuit_config.json").is_file():
        yield PathKind.SONATA
    if compiled:
        yield PathKind.COMPILED
    if (folder / "config.json").exists() or not (compiled or model or _has_no_tensors(folder)):
        yield PathKind.CHECKPOINT
    elif not (compiled or model):
        yield PathKind.FOLDER


def _has_no_tensors(folder: Path) -> bool:
    patterns = ("*.safetensors*", "pytorch_model.bin*")
    return not any(next(folder.glob(pattern), None) for pattern in patterns)


def _begins_as_text(path: Path) -> bool:
    """Whether a file of any name begins as a circuit's text does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(8) == b"cortico "
