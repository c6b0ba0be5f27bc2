"""A training on disk: one safetensors file with weights and velocity, and JSON in its header.

One file, renamed when it is whole: there is never a checkpoint of two different epochs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cortico.files.writing import replacing_files
from cortico.frontends import open_tensors
from cortico.frontends.json_text import parse_json_object
from cortico.ir import SpecError
from cortico.ir.errors import bullet_list, clipped
from cortico.learning.training import Epoch, Snapshot, Training

#: Files in the folder of a training: all that it needs to go on, and the weights alone.
CHECKPOINT, WEIGHTS = "checkpoint.safetensors", "weights.safetensors"

_KEY, _VERSION = "cortico training", 1
_WEIGHTS, _VELOCITY = "weights.", "velocity."


def save_checkpoint(folder: Path, training: Training, snapshot: Snapshot) -> None:
    """Write the state after an epoch, in place of what was there, and its weights beside it."""
    from safetensors.numpy import save

    with replacing_files(folder, force=True) as staging:
        write_checkpoint(staging / CHECKPOINT, training, snapshot)
        (staging / WEIGHTS).write_bytes(save(dict(snapshot.weights)))


def write_checkpoint(path: Path, training: Training, snapshot: Snapshot) -> None:
    """Write the state after an epoch to a file."""
    from safetensors.numpy import save

    tensors = {
        **{_WEIGHTS + name: np.ascontiguousarray(a) for name, a in snapshot.weights.items()},
        **{_VELOCITY + name: np.ascontiguousarray(a) for name, a in snapshot.velocity.items()},
    }
    state = {
        "version": _VERSION,
        "fingerprint": training.fingerprint,
        "random_state": snapshot.random_state,
        "history": [asdict(epoch) for epoch in snapshot.history],
    }
    path.write_bytes(save(tensors, metadata={_KEY: json.dumps(state)}))


def load_checkpoint(folder: Path, training: Training) -> Snapshot:
    """The last whole epoch of a training in `folder`.

    SpecError when there is none, when the file is broken, and when it is of another training: other
    data, settings, spec or first weights.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise SpecError(f"nothing to resume in {str(folder)!r}: it has no {CHECKPOINT}")
    state = _state(path)
    _require_same(path, state["fingerprint"], training.fingerprint)
    tensors = open_tensors(path)
    arrays = {name: np.array(tensors[name]) for name in tensors}
    weights, velocity = _with_prefix(arrays, _WEIGHTS), _with_prefix(arrays, _VELOCITY)
    try:
        history = tuple(map(_epoch, state["history"]))
        np.random.PCG64().state = state["random_state"]
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise SpecError(f"{str(path)!r} is broken: {clipped(str(error), 200)}") from None
    snapshot = Snapshot(weights, velocity, state["random_state"], history)
    _require_whole(path, snapshot, training)
    return snapshot


def _epoch(fields: dict[str, Any]) -> Epoch:
    epoch = Epoch(**fields)
    numbers = [epoch.number, epoch.loss, epoch.validation or 0.0]
    if type(epoch.number) is not int or not all(type(n) in (int, float) for n in numbers):
        raise TypeError("an epoch has a number, a loss and a validation loss")
    return epoch


def _state(path: Path) -> dict[str, Any]:
    """The JSON of a checkpoint. SpecError for other files."""
    open_tensors(path)  # safetensors checks the file
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        metadata = parse_json_object(file.read(size), str(path)).get("__metadata__", {})
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise SpecError(f"{str(path)!r} is no checkpoint of a training")
    state = parse_json_object(text.encode(), str(path))
    wanted = {"version": int, "fingerprint": dict, "random_state": dict, "history": list}
    found = {name: type(value) for name, value in state.items()}
    if state.get("version") != _VERSION or found != wanted:
        raise SpecError(f"{str(path)!r} is a checkpoint of another version of cortico")
    return state


def _require_same(path: Path, then: Mapping[str, str], now: Mapping[str, str]) -> None:
    changed = [name for name in now if then.get(name) != now[name]]
    if not changed:
        return
    words = [_difference(name, str(then.get(name)), now[name]) for name in changed]
    raise SpecError(
        f"cannot resume from {str(path)!r}, it is of another training:{bullet_list(words)}"
    )


def _difference(name: str, then: str, now: str) -> str:
    is_hash = len(now) == 64
    return f"other {name}" if is_hash else f"{name} was {then}, is {now}"


def _with_prefix(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _require_whole(path: Path, snapshot: Snapshot, training: Training) -> None:
    """SpecError when tensors are not those of the training, though the header says so."""
    expected = {name: (a.shape, a.dtype) for name, a in training.initial.items()}
    trained = {name: expected[name] for name in training.trained}
    for found, wanted in ((snapshot.weights, expected), (snapshot.velocity, trained)):
        if {name: (a.shape, a.dtype) for name, a in found.items()} != wanted:
            raise SpecError(f"the tensors of {str(path)!r} are not those of the training")
