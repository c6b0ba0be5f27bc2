"""Circuits and networks on disk: the text, and a safetensors file beside it for the values of parameters.

An array that has several names, as of a tied readout, is stored under the first one. The metadata `tied` of the
safetensors file says under which the others are, as JSON: `{"readout.W": "embedding.W_token"}`.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cortico.ir.arguments import kind
from cortico.ir.circuit import Circuit
from cortico.ir.errors import CircuitError, clipped, shown
from cortico.ir.limits import TEXT_BYTES
from cortico.ir.network import Network
from cortico.ir.tensors import FLOATS, Shape, tied_arrays
from cortico.ir.text.networks import finish_network, print_network, read_network, stored_arrays
from cortico.ir.text.parser import finish, read
from cortico.ir.text.printer import check_file_name, print_circuit

Loaded = TypeVar("Loaded")

#: The metadata of a safetensors file that says which arrays are stored under another name.
_TIED = "tied"

#: Names of types in a safetensors file.
_TYPES = {"float16": "F16", "float32": "F32", "float64": "F64"}


@kind
def save_circuit(circuit: Circuit, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write the text to `path` and, when a parameter has values, `<stem>.safetensors` beside it.

    Both are written whole under temporary names and then renamed. CircuitError when a type cannot be
    stored or the files cannot be written, and, without `force`, when other content is in their place.
    """
    stored = {p.name: p.values for p in circuit.parameters if p.values is not None}
    _save(partial(print_circuit, circuit), stored, Path(path), force)


def save_network(network: Network, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """The same for a network; arrays are stored under the path of their node: `layer[0].attention.W_Q`."""
    _save(partial(print_network, network), stored_arrays(network), Path(path), force)


@kind
def load_circuit(path: str | os.PathLike[str]) -> Circuit:
    """The circuit written at `path`, with the stored values from the file beside it, checked.

    CircuitError when a file is missing or broken, or when its tensors are not what the text says.
    """

    def parsed(text: str, source: Path) -> Circuit:
        draft = read(text)
        shapes = {parameter.name: parameter.shape for parameter in draft.parameters}
        wanted = {n: _Wanted(shapes[n], s.dtype, s.line.number) for n, s in draft.stored.items()}
        return finish(draft, _read_weights(source, draft.weights_file, wanted))

    return _load(Path(path), parsed)


def load_network(path: str | os.PathLike[str]) -> Network:
    """The network written at `path`, with the stored values from the file beside it, checked.

    CircuitError when a file is missing or broken, or when its tensors are not what the text says.
    """

    def parsed(text: str, source: Path) -> Network:
        draft = read_network(text)
        wanted = {name: _Wanted(p.shape) for name, p in draft.stored().items()}
        return finish_network(draft, _read_weights(source, draft.weights_file, wanted))

    return _load(Path(path), parsed)


def _load(source: Path, parsed: Callable[[str, Path], Loaded]) -> Loaded:
    """What is written at `source`; errors say where."""
    text = _read_text(source)
    try:
        return parsed(text, source)
    except CircuitError as error:
        raise CircuitError(f"{source}: {error}") from None


# ---- writing -------------------------------------------------------------------------------------


def _save(
    printed: Callable[[str | None], str],
    stored: Mapping[str, np.ndarray],
    target: Path,
    force: bool,
) -> None:
    weights = _weights_path(target) if stored else None
    text = printed(weights.name if weights else None)
    tied = tied_arrays(stored)
    arrays = {name: _storable(name, values) for name, values in stored.items() if name not in tied}
    contents = [(weights, _serialised(arrays, tied))] if weights else []
    contents.append((target, text.encode()))
    try:
        if not force:
            _require_replaceable(contents)
        _write_all(contents)
    except (OSError, ValueError) as error:
        raise CircuitError(f"cannot write {target}: {_reason(error)}") from error


def _storable(name: str, values: np.ndarray) -> np.ndarray:
    dtype = values.dtype
    if dtype.name not in FLOATS:
        raise CircuitError(f"parameter {name!r} is {dtype}: only {', '.join(FLOATS)} can be stored")
    return np.asarray(values, dtype=dtype.newbyteorder("="), order="C")


def _weights_path(target: Path) -> Path:
    """The weights file beside a text file: another name, whatever the text is called."""
    name = target.stem if target.suffix != ".safetensors" else target.name
    return target.parent / check_file_name(f"{name}.safetensors")


def _serialised(tensors: Mapping[str, np.ndarray], tied: Mapping[str, str]) -> bytes:
    from safetensors.numpy import save

    # one text: the library writes several in another order at each run
    return bytes(save(dict(tensors), {_TIED: json.dumps(tied)} if tied else None))


def _require_replaceable(contents: Sequence[tuple[Path, bytes]]) -> None:
    """CircuitError when a file with other content is in the place of one."""
    there = [(path, content) for path, content in contents if path.is_file()]
    others = [str(path) for path, content in there if path.read_bytes() != content]
    if others:
        raise CircuitError(
            f"{' and '.join(others)} would be replaced by other content: choose another place, or force=True"
        )


def _write_all(contents: Sequence[tuple[Path, bytes]]) -> None:
    """Write every file under a temporary name, then rename them all."""
    written: list[tuple[Path, Path]] = []
    for path, _ in contents:  # a folder would stop the second rename after the first
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a directory")
    try:
        for path, content in contents:
            written.append((_write_temporary(path, content), path))
        for temporary, path in written:
            temporary.replace(path)
    finally:
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)


def _write_temporary(path: Path, content: bytes) -> Path:
    handle, name = tempfile.mkstemp(prefix=".cortico-", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        temporary.chmod(0o666 & ~_umask())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _umask() -> int:
    """The mask of new files; `mkstemp` makes them private, which saved files should not be."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# ---- reading -------------------------------------------------------------------------------------


def _read_text(path: Path) -> str:
    _require_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(TEXT_BYTES + 1)
        if len(content) > TEXT_BYTES:
            raise CircuitError(f"{path} is too large: expected at most {TEXT_BYTES:,} bytes")
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CircuitError(f"cannot read {path}: {_reason(error)}") from None


def _require_file(path: Path) -> None:
    """A plain file: reading a pipe or a device could wait forever."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise CircuitError(f"cannot read {path}: {_reason(error)}") from None
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "no plain file"
        raise CircuitError(f"cannot read {path}: it is {kind}")


@dataclass(frozen=True)
class _Wanted:
    """What the text says of a stored array; of a network's, any type and the sides that are numbers."""

    shape: Shape
    dtype: str | None = None
    line: int | None = None


def _read_weights(
    source: Path, weights_file: str | None, wanted: Mapping[str, _Wanted]
) -> dict[str, np.ndarray]:
    if not wanted:
        return {}
    if weights_file is None:
        raise CircuitError('parameters have stored values, but no line says: weights "FILE"')
    from safetensors import SafetensorError, safe_open

    path = source.parent / weights_file
    _require_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return _tensors(path, file, wanted)
    except (SafetensorError, OSError) as error:
        raise CircuitError(f"cannot read weights {path}: {_reason(error)}") from None


def _tensors(path: Path, file: Any, wanted: Mapping[str, _Wanted]) -> dict[str, np.ndarray]:
    """The stored arrays, each checked against the text before it is read."""
    present = set(file.keys())
    tied = _tied(path, (file.metadata() or {}).get(_TIED, "{}"), present)
    places = {name: tied.get(name, name) for name in wanted}
    missing = [name for name, place in places.items() if place not in present]
    if missing:
        raise CircuitError(f"weights {path} lack {clipped(', '.join(missing), 500)}")
    for name, expected in wanted.items():
        part = file.get_slice(places[name])
        _require_as_written(path, name, (part.get_dtype(), tuple(part.get_shape())), expected)
    arrays = {place: file.get_tensor(place) for place in dict.fromkeys(places.values())}
    return {name: arrays[place] for name, place in places.items()}


def _tied(path: Path, text: str, present: Container[str]) -> dict[str, str]:
    """Names of arrays to the names that they are stored under. CircuitError for what says no such thing."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise CircuitError(
            f"weights {path}: metadata {_TIED!r} must be JSON of names by name, found {shown(text)}"
        )
    for name in found:
        if name in present:
            raise CircuitError(f"weights {path} hold {name!r}, and say that it is {found[name]!r}")
    return found


def _require_as_written(
    path: Path, name: str, found: tuple[str, tuple[int, ...]], wanted: _Wanted
) -> None:
    types = [_TYPES[wanted.dtype]] if wanted.dtype else [*_TYPES.values()]
    fits = len(found[1]) == len(wanted.shape) and all(
        isinstance(side, str) or side == other
        for side, other in zip(wanted.shape, found[1], strict=True)
    )
    if found[0] not in types or not fits:
        says = f"line {wanted.line} says" if wanted.line else "the text says"
        raise CircuitError(
            f"weights {path} hold {name!r} as {found[0]} {found[1]}, "
            f"but {says} {' or '.join(types)} {wanted.shape}"
        )


def _reason(error: Exception) -> str:
    """What went wrong, on one line and without the path, which the message has already."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())
