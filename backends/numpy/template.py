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
    "silence": '''\
def silence(array, value, offset, least=None, most=None):
    """Set array[..., i, j] to `value` where j - i - offset is less than `least` or more than `most`.

    Rows begin `offset` tokens after columns. Only the corners that change are touched.
    """
    height, width = array.shape[-2:]
    if most is not None:
        start = max(0, most + offset + 1)
        corner = array[..., start:]
        ahead = np.arange(start, max(start, width)) - np.arange(height)[:, None] > most + offset
        corner[..., ahead] = value
    if least is not None:
        stop = min(width, max(0, height - 1 + least + offset))
        corner = array[..., :stop]
        behind = np.arange(stop) - np.arange(height)[:, None] < least + offset
        corner[..., behind] = value
''',
    "in_range": '''\
def in_range(rates):
    """Whether sums of exponentials are far from what a float cannot hold."""
    return bool(((rates > 2.0**-40) & (rates < 2.0**40)).all())
''',
    "in_tiles": '''\
TILE = (64, 256)  # fewest and most rows of a tile


def in_tiles(tile, stack, tokens, width, dtype, threads):
    """Run `tile(index, rows)` for every index of `stack` and every few rows, the last rows first.

    Each thread takes the next tile when it is free, and one thread of BLAS.
    """
    height = tile_rows(width, dtype)
    starts = reversed(range(0, tokens, height))
    tiles = [(k, slice(s, min(s + height, tokens))) for s in starts for k in np.ndindex(stack)]
    pending = iter(tiles)

    def work():
        with np.errstate(over="ignore"):
            for index, rows in pending:
                tile(index, rows)

    threads = min(len(tiles), default_threads() if threads is None else threads)
    if threads == 1:
        work()
        return
    with one_thread_of_blas():
        others = [thread_pool(threads - 1).submit(work) for _ in range(threads - 1)]
        work()
        for other in others:
            other.result()


def tile_rows(width, dtype):
    """Rows of a tile of `width` columns: what half a megabyte holds, within TILE."""
    fewest, most = TILE
    return min(most, max(fewest, 2**19 // (width * np.dtype(dtype).itemsize)))


@functools.cache
def thread_pool(threads):
    return ThreadPoolExecutor(threads)


@functools.cache
def blas():
    """What can hold BLAS to one thread, if threadpoolctl is installed."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


def one_thread_of_blas():
    """Within it, products of matrices do not start threads of their own."""
    return blas().limit(limits=1, user_api="blas") if blas() else contextlib.nullcontext()


def default_threads():
    """As many as there are cores for this process; one where BLAS would start threads of its own."""
    if blas() is None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
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
