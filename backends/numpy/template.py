"""The fixed parts of an emitted NumPy file: checks and helper functions."""

from __future__ import annotations

from cortico.backends.script_parts import FORMULAS

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
    "split_columns": '''\
def split_columns(array, *sizes):
    """The last axis as several."""
    return array.reshape(*array.shape[:-1], *sizes)
''',
    "past_product": '''\
def past_product(query, key, value, chunk=64):
    """Σ_{j <= i} (query_i · key_j) value_j over (..., i, c), in chunks of tokens.

    Within a chunk it is a masked product; what came before lies in a memory of key times value.
    """
    tokens, batch = query.shape[-2], np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    result = np.empty((*batch, tokens, value.shape[-1]), query.dtype)
    memory = np.zeros((*batch, key.shape[-1], value.shape[-1]), query.dtype)
    for start in range(0, tokens, chunk):
        rows = slice(start, start + chunk)
        q, k, v = query[..., rows, :], key[..., rows, :], value[..., rows, :]
        result[..., rows, :] = np.tril(q @ k.swapaxes(-1, -2)) @ v + q @ memory
        memory += k.swapaxes(-1, -2) @ v
    return result
''',
    **{kind: code for kind, code in FORMULAS.items() if kind != "distance"},
}
