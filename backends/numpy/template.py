"""The fixed parts of an emitted file: header, loading of weights, and helper functions."""

from __future__ import annotations

LOAD_WEIGHTS = '''\
@functools.cache
def load_weights(path=Path(__file__).with_name("circuit.safetensors")):
    """Tensor name to memory-mapped array, from a safetensors file."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    data = np.memmap(path, np.uint8, mode="r", offset=8 + length)
    kinds = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
    arrays = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, stop = entry["data_offsets"]
            arrays[name] = data[start:stop].view(kinds[entry["dtype"]]).reshape(entry["shape"])
    return arrays
'''

CHECKED = '''\
def checked(name, array, shape, sizes, dtype):
    """`array` as `dtype`. Its last axes must have `shape`; a symbol there gets its size at first sight."""
    array = np.asarray(array)
    found = array.shape[max(array.ndim - len(shape), 0) :]
    expected = [sizes.get(side, side) for side in shape]
    fits = all(isinstance(side, str) or side == size for side, size in zip(expected, found))
    if len(found) != len(shape) or not fits or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}, expected (..., {str(expected)[1:-1]})")
    sizes.update((side, size) for side, size in zip(shape, found) if isinstance(side, str))
    return array.astype(dtype, copy=False)
'''

HELPERS = {
    "divide": '''\
def divide(excitation, inhibition):
    """excitation / inhibition, where a division by zero gives zero."""
    shape = np.broadcast_shapes(excitation.shape, inhibition.shape)
    ratio = np.zeros(shape, np.result_type(excitation, inhibition))
    return np.divide(excitation, inhibition, out=ratio, where=inhibition != 0)
''',
    "finite": '''\
def finite(peak):
    """`peak`, and 0 where no cell is live."""
    return np.where(np.isfinite(peak), peak, 0)
''',
    "merge_rows": '''\
def merge_rows(array, count):
    """The `count` axes before the last as one."""
    return array.reshape(*array.shape[: -1 - count], -1, array.shape[-1])
''',
    "merge_columns": '''\
def merge_columns(array, count):
    """The last `count` axes as one."""
    return array.reshape(*array.shape[:-count], -1)
''',
    "rotation": '''\
def rotation(shape, frequencies):
    """Rotary embedding: the matrix [[cos, -sin], [sin, cos]] per token and plane, shape (t, p, 2, 2)."""
    angles = np.arange(shape[0])[:, None] * frequencies
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
''',
    "distance": '''\
def distance(shape, slopes):
    """Linear position bias slopes[..., None, None] * (j - i), shape (..., i, j)."""
    return slopes[..., None, None] * (np.arange(shape[-1]) - np.arange(shape[-2])[:, None])
''',
}
