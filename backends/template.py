"""Functions that emitted Python files carry: weights from disk, numbers of tokens, parameters that are formulas.

Never imported: `cortico.backends.linking` copies what a file uses of it.
"""

import functools
import json
from pathlib import Path

import numpy as np


@functools.cache
def load_weights(path=Path(__file__).with_name("circuit.safetensors")):
    """Tensor name to memory-mapped array, from a safetensors file."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    data = np.memmap(path, np.uint8, mode="r", offset=8 + length)
    kinds = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
    arrays, about = {}, header.pop("__metadata__", {})
    for name, entry in header.items():
        start, stop = entry["data_offsets"]
        arrays[name] = data[start:stop].view(kinds[entry["dtype"]]).reshape(entry["shape"])
    tied = json.loads(about.get("tied", "{}"))  # names of arrays that are stored under another
    return arrays | {name: arrays[first] for name, first in tied.items()}


def token_numbers(name, array, count):
    """Numbers of tokens as they are; others than whole ones from 0 to `count` - 1 are refused."""
    array, kind = np.asarray(array), ""
    if array.dtype.kind in "iu":
        others = array[(array < 0) | (array >= count)]
    else:
        others, kind = [*array[array % 1 != 0], *array.flat], f" of type {array.dtype}"
    if len(others):
        expected = f"{name} must hold whole numbers from 0 to {count - 1}"
        raise ValueError(f"{expected}, found {others[0]}{kind}")
    return array


# Formulas, under the names and with the arguments that they have in `cortico.ir.tensors`


def rotation(shape, frequencies):
    """Rotary embedding: the matrix [[cos, -sin], [sin, cos]] per token and plane, shape (t, p, 2, 2)."""
    angles = np.arange(shape[0])[:, None] * frequencies
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


def distance(shape, slopes):
    """Linear position bias slopes[..., None, None] * (j - i), shape (..., i, j)."""
    return slopes[..., None, None] * (np.arange(shape[-1]) - np.arange(shape[-2])[:, None])


def rows(shape, table, name, of):
    """The first rows of a table, shape (t, m); `name` is what becomes of the table called `of`."""
    if shape[0] > len(table):
        raise ValueError(f"{name}: {shape[0]} tokens, the table {of} has {len(table)} rows")
    return table[: shape[0]]


def first(shape):
    """1 for the first token, 0 for others, shape (t,)."""
    return 1.0 * (np.arange(shape[0]) == 0)


def whole_steps(what, time, dt):
    """A time in ms as a number of steps; ValueError that says `what` where there is no such number."""
    steps = time / dt
    if round(steps) < 1 or abs(steps - round(steps)) > 1e-6:  # of a step, for roundings
        raise ValueError(f"{what}, expected a whole number of steps of dt = {dt:g} ms")
    return round(steps)
