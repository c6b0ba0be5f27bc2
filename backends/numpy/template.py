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
    **FORMULAS,
}
