"""Tiles of queries, so that no array holds all pairs of tokens."""

import numpy as np

from cortico.backends.numpy.template.threads import in_threads, kept, slices

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
    tiles = [
        ((*example, *part), some)
        for example in np.ndindex(batch)
        for part in parts
        for some in rows
    ]
    in_threads(tile, tiles, threads, work)


def tile_rows(width, dtype, bounded):
    """Rows of a tile of `width` columns: what four megabytes hold, within TILE.

    Fewer where bounds leave a row few columns: the others of its tile are computed in vain.
    """
    fewest, most = TILE
    rows = min(most, max(fewest, 2**22 // (width * np.dtype(dtype).itemsize)))
    return min(rows, max(fewest // 2, width // 2)) if bounded else rows


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


def product(left, right, scratch, place):
    """left @ right, in memory that is used again for the next tile."""
    stack = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*stack, left.shape[-2], right.shape[-1])
    return np.matmul(left, right, out=kept(scratch, place, shape, left.dtype))


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


def in_range(rates):
    """Whether sums of exponentials are far from what a float cannot hold."""
    return bool(((rates > 2.0**-40) & (rates < 2.0**40)).all())


def kept_behind(past, name, array, axis, start):
    """`array` behind what `past` keeps of `start` tokens under a name, along `axis`; now it keeps both.

    There is room for as many tokens again, so that most calls copy only what is new.
    """
    if past is None:
        return array
    stop, whole = start + array.shape[axis], past.get(name)
    if start and (whole is None or whole.shape[axis] < start):
        raise ValueError(f"past keeps less than {start} tokens")
    if whole is None or whole.shape[axis] < stop:
        shape = [*array.shape]
        shape[axis] = max(stop, 2 * start)
        grown = np.empty(shape, array.dtype)
        if start:
            span(grown, axis, 0, start)[...] = span(whole, axis, 0, start)
        past[name] = whole = grown
    span(whole, axis, start, stop)[...] = array
    return span(whole, axis, 0, stop)


def span(array, axis, start, stop):
    """The part of an array between two indices of an axis, which is counted from the end."""
    return array[(..., slice(start, stop), *(slice(None),) * (-1 - axis))]
