"""Work that threads share."""

import contextlib
import functools
import math
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np

SMALL = 2**18  # numbers of an input from which on its work is shared
ONE_CALL = Lock()  # the number of BLAS threads is one for the whole process
CHUNK = 64  # tokens that are compared with each other; what came before lies in a memory


def project(array, matrix, bias, threads, work=None, place=None):
    """array @ matrix + bias, each thread some rows or some columns of it.

    The result lies at its place of `work`, if that is not None.
    """
    rows = array.reshape(math.prod(array.shape[:-1]), len(matrix))
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


def past_product(query, key, value, threads):
    """Σ_{j <= i} (query_i · key_j) value_j over (..., i, c)."""
    stack = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    *batch, heads = stack or (1,)
    query, key, value = (
        np.broadcast_to(a, (*batch, heads, *a.shape[-2:])) for a in (query, key, value)
    )
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
    in_threads(
        some, [((*index, *part),) for index in np.ndindex(*batch) for part in parts], threads
    )
    return result if stack else result[0]


def past_product_behind(past, name, start, query, key, value, threads):
    """`past_product` with what `past` keeps of `start` earlier tokens: a memory, Σ_j key_j value_j, under a name."""
    found = past_product(query, key, value, threads)
    if past is None:
        return found
    if start and name not in past:
        raise ValueError(f"past keeps less than {start} tokens")
    memory = key.swapaxes(-2, -1) @ value
    if start:
        found = found + query @ past[name]
        memory = past[name] + memory
    past[name] = memory
    return found


def slices(sizes, count):
    """Axes of `sizes` cut into parts of at most `count` indices, or of one: a slice of each axis."""
    if not sizes:
        return [()]
    *before, size = sizes
    parts = -(-size // max(1, count))
    cuts = [slice(size * k // parts, size * (k + 1) // parts) for k in range(parts)]
    return [(*first, cut) for first in slices(before, count // max(1, size)) for cut in cuts]


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
    size = math.prod(shape)
    found = memory.get(place)
    if found is None or found.size < size or found.dtype != dtype:
        found = memory[place] = np.empty(size, dtype)
    return found[:size].reshape(shape)


@functools.cache
def thread_pool(threads):
    """So many threads, which stay."""
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
