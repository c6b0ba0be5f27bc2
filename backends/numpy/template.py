"""The fixed parts of an emitted NumPy file: checks and helper functions."""

from __future__ import annotations

from cortico.ir import TRANSFERS
from cortico.ir.transfer import Transfer

CHECKED = '''\
def checked(name, array, shape, sizes, dtype, own=...):
    """`array`, or its part `own`, as `dtype`. Its last axes must have `shape`; a symbol there gets its size at first sight."""
    array = np.asarray(array)
    found = array.shape[max(array.ndim - len(shape), 0) :]
    expected = [sizes.get(side, side) for side in shape]
    fits = all(isinstance(side, str) or side == size for side, size in zip(expected, found))
    if len(found) != len(shape) or not fits or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}, expected (..., {', '.join(map(str, expected))}), none empty")
    sizes.update((side, size) for side, size in zip(shape, found) if isinstance(side, str))
    return array[own].astype(dtype, copy=False)
'''

HELPERS = {
    "share": '''\
def share(rank, ranks, areas, tokens=None, power=1.0):
    """Two slices: the areas of this rank, and of these its query tokens.

    Ranks that are more than areas form teams: a team has one area, and shares its tokens. Where tokens
    cannot be shared (None), some ranks have no area. See `cut` for `power`.
    """
    teams = ranks if tokens is None else min(areas, ranks)
    team = rank * teams // ranks
    first, last = (-(-k * ranks // teams) for k in (team, team + 1))  # ranks of the team
    return cut(areas, team, teams), cut(tokens or 0, rank - first, last - first, power)


def cut(length, part, parts, power=1.0):
    """One of so many parts of a length: equal, or for 0.5 of equal work when token i hears i others."""
    return slice(*(round(length * (k / parts) ** power) for k in (part, part + 1)))
''',
    "sum_of_ranks": '''\
def sum_of_ranks(part, comm, axis=0, own=slice(None), tokens=None):
    """The sum of what all ranks have: areas of their own, and `own` of all `tokens` along `axis`.

    This is the one time that ranks meet.
    """
    if comm is None:
        return part
    shape = list(part.shape)
    if tokens is not None:
        shape[axis] = tokens
    whole, total = np.zeros(shape, part.dtype), np.empty(shape, part.dtype)
    np.moveaxis(whole, axis, 0)[own] = np.moveaxis(part, axis, 0)
    comm.Allreduce(whole, total)
    return total
''',
    "divide": '''\
def divide(excitation, inhibition):
    """excitation / inhibition, where a division by zero gives zero."""
    live = inhibition != 0
    if np.all(live):
        return excitation / inhibition
    shape = np.broadcast_shapes(excitation.shape, inhibition.shape)
    ratio = np.zeros(shape, np.result_type(excitation, inhibition))
    return np.divide(excitation, inhibition, out=ratio, where=live)
''',
    "finite": '''\
def finite(peak):
    """`peak`, and 0 where no cell is live."""
    return np.where(np.isfinite(peak), peak, 0)
''',
    "merge_rows": '''\
def merge_rows(array, count):
    """The `count` axes before the last as one."""
    rows = int(np.prod(array.shape[-1 - count : -1]))
    return array.reshape(*array.shape[: -1 - count], rows, array.shape[-1])
''',
    "merge_columns": '''\
def merge_columns(array, count):
    """The last `count` axes as one."""
    return array.reshape(*array.shape[:-count], int(np.prod(array.shape[-count:])))
''',
    "close_by": '''\
def close_by(array, index, scratch, place):
    """`array`; a copy without gaps, kept at its place, when a thread reads that of the same `index` again."""
    seen, copied = scratch["indices"].get(place, (None, False))
    if seen != index:
        scratch["indices"][place] = index, False
        return array
    copy = kept(scratch, place, array.shape, array.dtype)
    if not copied:
        copy[...] = array
        scratch["indices"][place] = index, True
    return copy
''',
    "product": '''\
def product(left, right, scratch, place):
    """left @ right, in memory that is used again for the next tile."""
    stack = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*stack, left.shape[-2], right.shape[-1])
    return np.matmul(left, right, out=kept(scratch, place, shape, left.dtype))
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
TILE = (128, 256)  # fewest and most rows of a tile
TOGETHER = 2**17  # pairs of tokens of all areas in a tile, if it is of several


def in_tiles(tile, batch, areas, rows, width, dtype, threads, work, bounded=False):
    """Run `tile(index, few, scratch)` for every example, a few areas and a few of `rows`, the last first.

    An index is that of the example and a slice for each axis of `areas`. Tiles are `bounded` whose columns
    depend on their rows.
    """
    height = max(1, min(rows.stop - rows.start, tile_rows(width, dtype, bounded)))
    starts = range(rows.start, rows.stop, height)[::-1]
    rows = [slice(start, min(start + height, rows.stop)) for start in starts]
    parts = slices(areas, TOGETHER // (height * width))
    tiles = [((*example, *part), some) for example in np.ndindex(batch) for part in parts for some in rows]
    in_threads(tile, tiles, threads, work)


def tile_rows(width, dtype, bounded):
    """Rows of a tile of `width` columns: what four megabytes hold, within TILE.

    Fewer where bounds leave a row few columns: the others of its tile are computed in vain.
    """
    fewest, most = TILE
    rows = min(most, max(fewest, 2**22 // (width * np.dtype(dtype).itemsize)))
    return min(rows, max(fewest // 2, width // 2)) if bounded else rows

''',
    "project": '''\
def project(array, matrix, bias, threads, work=None, place=None):
    """array @ matrix + bias, each thread some rows or some columns of it.

    The result lies at its place of `work`, if that is not None.
    """
    rows = array.reshape(int(np.prod(array.shape[:-1])), len(matrix))
    height, width = len(rows), matrix.shape[1]
    result = kept(work, place, (height, width), array.dtype)

    def part(some, columns, scratch):
        its = result[some, columns]
        np.matmul(rows[some], matrix[:, columns], out=its)
        if bias is not None:
            its += bias[columns]

    by_rows, count = height > width, max(1, threads)
    cuts = [max(height, width) * k // count for k in range(count + 1)]
    cuts = [slice(start, stop) for start, stop in zip(cuts, cuts[1:])]
    everything = slice(None)
    in_threads(part, [(cut, everything) if by_rows else (everything, cut) for cut in cuts], threads)
    return result.reshape(*array.shape[:-1], width)
''',
    "past_product": '''\
CHUNK = 64  # tokens that are compared with each other; what came before lies in a memory


def past_product(query, key, value, threads):
    """Σ_{j <= i} (query_i · key_j) value_j over (..., i, c)."""
    stack = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    *batch, heads = stack or (1,)
    query, key, value = (np.broadcast_to(a, (*batch, heads, *a.shape[-2:])) for a in (query, key, value))
    tokens, features = query.shape[-2], value.shape[-1]
    result = np.empty((*batch, tokens, heads, features), query.dtype).swapaxes(-3, -2)
    later = ~np.tri(CHUNK, dtype=bool)

    def some(index, scratch):
        memory = 0
        for start in range(0, tokens, CHUNK):
            rows = slice(start, min(start + CHUNK, tokens))
            q, k, v = query[*index, rows], key[*index, rows], value[*index, rows]
            k = k.swapaxes(-2, -1)
            scores, size = q @ k, rows.stop - start
            np.copyto(scores, 0, where=later[:size, :size])
            result[*index, rows] = scores @ v + q @ memory if start else scores @ v
            memory = k @ v + memory

    parts = slices((heads,), -(-heads // max(1, threads)))
    in_threads(some, [((*index, *part),) for index in np.ndindex(*batch) for part in parts], threads)
    return result if stack else result[0]
''',
    "slices": '''\
def slices(sizes, count):
    """Axes of `sizes` cut into parts of at most `count` indices, or of one: a slice of each axis."""
    if not sizes:
        return [()]
    *before, size = sizes
    parts = -(-size // max(1, count))
    cuts = [slice(size * k // parts, size * (k + 1) // parts) for k in range(parts)]
    return [(*first, cut) for first in slices(before, count // max(1, size)) for cut in cuts]
''',
    "in_threads": '''\
SMALL = 2**18  # numbers of an input from which on its work is shared
ONE_CALL = Lock()  # the number of BLAS threads is one for the whole process


def in_threads(function, tasks, threads, work=None):
    """Call `function(*task, scratch)` for all tasks. Each thread takes the next when it is free.

    BLAS has one thread meanwhile: its own would wait in busy loops, on cores that are needed here. With
    0 threads it is the other way round. `scratch` is what a thread keeps from task to task, all in `work`.
    """
    pending, work = iter(tasks), {} if work is None else work

    def take_turns(number):
        scratch = work.setdefault(number, {})
        scratch["indices"] = {}
        with np.errstate(over="ignore", invalid="ignore"):
            for task in pending:
                function(*task, scratch)

    if not threads:
        return take_turns(0)
    threads = min(len(tasks), threads)
    with ONE_CALL, one_thread_of_blas():
        others = [thread_pool(threads - 1).submit(take_turns, k) for k in range(1, threads)]
        try:
            take_turns(0)
        finally:
            for _ in pending:  # after an error or Ctrl-C no other task is begun
                pass
            for other in others:
                other.cancel() or other.result()


def kept(memory, place, shape, dtype):
    """The array at this place of `memory`, if that is not None, made anew if it is too small or of another kind."""
    if memory is None:
        return np.empty(shape, dtype)
    size = int(np.prod(shape))
    found = memory.get(place)
    if found is None or found.size < size or found.dtype != dtype:
        found = memory[place] = np.empty(size, dtype)
    return found[:size].reshape(shape)


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


def number_of_threads(threads, size):
    """`threads`; by default as many as BLAS would use, or one where it cannot be kept from starting them.

    0 if an input of `size` numbers is better left to the threads of BLAS.
    """
    if threads is None:
        libraries = blas().select(user_api="blas").lib_controllers if blas() else []
        threads = max((library.num_threads for library in libraries), default=1)
    if threads < 1:
        raise ValueError(f"threads must be at least 1, found {threads}")
    return threads if threads == 1 or size >= SMALL else 0
''',
    "split_columns": '''\
def split_columns(array, *sizes):
    """The last axis as several."""
    return array.reshape(*array.shape[:-1], *sizes)
''',
    "remember": '''\
def remember(memory, key, value):
    """The memory of the past, with one more token: its key times its value."""
    product = key[..., :, None] * value[..., None, :]
    return total(memory, product)
''',
    "total": '''\
def total(before, new):
    """What a state holds, with one more token."""
    if before is None:
        return new
    if np.shape(before) != new.shape:
        raise ValueError(f"state has an array of shape {np.shape(before)}, expected {new.shape}")
    return before + new
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


def _definition(transfer: Transfer) -> str:
    """A transfer function as one of the emitted file."""
    return (
        f'def {transfer.name}(x):\n    """{transfer.formula}"""\n    return {transfer.numpy_body}\n'
    )


HELPERS |= {name: _definition(t) for name, t in TRANSFERS.items() if t.numpy_body}
