"""The fixed parts of an emitted NumPy file: checks and helper functions."""

from __future__ import annotations

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
    "product": '''\
def product(left, right, scratch, place):
    """left @ right, in memory that a thread keeps at this place from tile to tile."""
    height, width = left.shape[0], right.shape[1]
    if place not in scratch or scratch[place].size < height * width:
        scratch[place] = np.empty(height * width, left.dtype)
    return np.matmul(left, right, out=scratch[place][: height * width].reshape(height, width))
''',
    "silence": '''\
def silence(array, value, offset, least=None, most=None):
    """Set array[..., i, j] to `value` where j - i - offset is less than `least` or more than `most`.

    Rows begin `offset` tokens after columns. Only the corners that change are touched.
    """
    height, width = array.shape[-2:]
    if most is not None:
        start = max(0, most + offset + 1)
        ahead = ~np.tri(height, max(0, width - start), most + offset - start, dtype=bool)
        np.copyto(array[..., start:], value, where=ahead)
    if least is not None:
        stop = min(width, max(0, height - 1 + least + offset))
        behind = np.tri(height, stop, least + offset - 1, dtype=bool)
        np.copyto(array[..., :stop], value, where=behind)
''',
    "in_range": '''\
def in_range(rates):
    """Whether sums of exponentials are far from what a float cannot hold."""
    return bool(((rates > 2.0**-40) & (rates < 2.0**40)).all())
''',
    "in_tiles": '''\
TILE = (64, 256)  # fewest and most rows of a tile


def in_tiles(tile, stack, tokens, width, dtype, threads):
    """Run `tile(index, rows, scratch)` for every index of `stack` and every few rows, the last rows first.

    Each thread takes the next tile when it is free, and one thread of BLAS.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, found {threads}")
    height = tile_rows(width, dtype)
    starts = reversed(range(0, tokens, height))
    tiles = [(k, slice(s, min(s + height, tokens))) for s in starts for k in np.ndindex(stack)]
    pending = iter(tiles)

    def work():
        scratch = {}
        with np.errstate(over="ignore"):
            for index, rows in pending:
                tile(index, rows, scratch)

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
    """Rows of a tile of `width` columns: what four megabytes hold, within TILE."""
    fewest, most = TILE
    return min(most, max(fewest, 2**22 // (width * np.dtype(dtype).itemsize)))


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
    """As many as BLAS would use; one where it cannot be kept from starting them."""
    if blas() is None:
        return 1
    libraries = blas().select(user_api="blas").lib_controllers
    return max((library.num_threads for library in libraries), default=1)
''',
    "split_columns": '''\
def split_columns(array, *sizes):
    """The last axis as several."""
    return array.reshape(*array.shape[:-1], *sizes)
''',
    "past_product": '''\
CHUNK = 64  # tokens that are compared with each other; what came before lies in a memory


def past_product(query, key, value):
    """Σ_{j <= i} (query_i · key_j) value_j over (..., i, c)."""
    tokens, batch = query.shape[-2], np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    result = np.empty((*batch, tokens, value.shape[-1]), query.dtype)
    memory = np.zeros((*batch, key.shape[-1], value.shape[-1]), query.dtype)
    for start in range(0, tokens, CHUNK):
        rows = slice(start, start + CHUNK)
        q, k, v = query[..., rows, :], key[..., rows, :], value[..., rows, :]
        result[..., rows, :] = np.tril(q @ k.swapaxes(-1, -2)) @ v + q @ memory
        memory += k.swapaxes(-1, -2) @ v
    return result
''',
    "remember": '''\
def remember(memory, key, value):
    """The memory of the past, with one more token: its key times its value."""
    product = key[..., :, None] * value[..., None, :]
    return product if memory is None else memory + product
''',
    "recall": '''\
def recall(query, memory):
    """What a query finds in the memory of the past."""
    return (query[..., None, :] @ memory)[..., 0, :]
''',
    "rotation": '''\
def rotation(positions, frequencies):
    """Rotary embedding: the matrix [[cos, -sin], [sin, cos]] per token and plane, shape (t, p, 2, 2)."""
    angles = positions[:, None] * frequencies
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)
''',
}
