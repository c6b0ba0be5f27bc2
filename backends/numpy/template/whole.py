"""Circuit {title}, compiled by cortico to NumPy.

{tensors}

float32 {deciding} are computed in float32, all others in float64. In the comments, axes stand in
brackets; the batch axes in front of them are left out.{needs}
"""

import math

import numpy as np

from cortico.backends.arrays.template import expect_shape

# ---- what comes in


def precision(*rates):
    """float32 where all rates are, else float64."""
    single = rates and all(np.asarray(each).dtype == np.float32 for each in rates)
    return np.float32 if single else np.float64


def precision_of(weights, *angles):
    """That of the largest weight, at least float32. Those called `angles` do not count."""
    if isinstance(weights, tuple):  # what `pack` gives has one precision, but for angles
        return (
            np.float32 if np.float32 in [np.asarray(each).dtype for each in weights] else np.float64
        )
    arrays = [np.asarray(weight) for name, weight in weights.items() if name not in angles]
    sizes = [(array.size, array.itemsize) for array in arrays if array.dtype.kind == "f"]
    return np.float32 if sizes and max(sizes)[1] <= 4 else np.float64


def checked(name, array, shape, sizes, dtype, own=...):
    """`array`, or its part `own`, as `dtype`; its last axes have `shape`, whose symbols get their `sizes`."""
    array = np.asarray(array)
    expect_shape(name, array.shape, shape, sizes)
    return array[own].astype(dtype, copy=False)


def flags(name, array):
    """A 0/1 input as it is; one that holds something else is refused."""
    array = np.asarray(array)
    others = array[(array != 0) & (array != 1)]
    if others.size:
        raise ValueError(f"{name} must hold 0 or 1, found {others.flat[0]}")
    return array


def expect_weights(weights, names, dtype):
    """Refuse weights that lack some of `names`, and a `dtype` that is neither float32 nor float64."""
    missing = {*names} - {*weights}
    if missing:
        raise ValueError(f"weights are missing: {', '.join(sorted(missing))}")
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, found {dtype}")


# ---- arithmetic


def divide(excitation, inhibition):
    """excitation / inhibition, where a division by zero gives zero."""
    live = inhibition != 0
    if np.all(live):
        return excitation / inhibition
    shape = np.broadcast_shapes(excitation.shape, inhibition.shape)
    ratio = np.zeros(shape, np.result_type(excitation, inhibition))
    return np.divide(excitation, inhibition, out=ratio, where=live)


def finite(peak):
    """`peak`, and 0 where no cell is live."""
    return np.where(np.isfinite(peak), peak, 0)


def merge_rows(array, count):
    """The `count` axes before the last as one."""
    rows = math.prod(array.shape[-1 - count : -1])
    return array.reshape(*array.shape[: -1 - count], rows, array.shape[-1])


def merge_columns(array, count):
    """The last `count` axes as one."""
    return array.reshape(*array.shape[:-count], math.prod(array.shape[-count:]))


def rows(positions, table, name, of):
    """The rows of a table at positions, shape (t, m); `name` is what becomes of the table called `of`."""
    if positions[-1] >= len(table):
        raise ValueError(
            f"{name}: {positions[-1] + 1} tokens, the table {of} has {len(table)} rows"
        )
    return table[positions]


def first(positions):
    """1 for the first token, 0 for others, shape (t,)."""
    return np.asarray(positions == 0, np.float64)


def rotation(positions, frequencies):
    """Rotary embedding: the matrix [[cos, -sin], [sin, cos]] per token and plane, shape (t, p, 2, 2)."""
    angles = positions[:, None] * frequencies
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


# ---- one token at a time


def next_token(state, names):
    """A copy of the state, which holds `names`, that counts one more token; and the position of that token."""
    state, expected = dict(state or {}), ["position", *names]
    if state and {*state} != {*expected}:
        raise ValueError(f"state has {sorted(state)}, expected {sorted(expected)}")
    position = int(state.get("position", 0))
    state["position"] = np.asarray(position + 1)
    return state, position


def remember(memory, key, value):
    """The memory of the past, with one more token: its key times its value."""
    product = key[..., :, None] * value[..., None, :]
    return total(memory, product)


def total(before, new):
    """What a state holds, with one more token."""
    if before is None:
        return new
    if np.shape(before) != new.shape:
        raise ValueError(f"state has an array of shape {np.shape(before)}, expected {new.shape}")
    return before + new


def recall(query, memory):
    """What a query finds in the memory of the past."""
    return (query[..., None, :] @ memory)[..., 0, :]
