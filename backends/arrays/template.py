"""What emitted files have in any library of arrays. Never imported: `cortico.backends.linking` copies what is used."""


def expect_shape(name, found, shape, sizes):
    """Refuse an array whose last axes lack `shape`; a symbol there gets its size at first sight."""
    own = found[max(len(found) - len(shape), 0) :]
    expected = [sizes.get(side, side) for side in shape]
    fits = all(isinstance(side, str) or side == size for side, size in zip(expected, own))
    if len(own) != len(shape) or not fits or 0 in found:
        sides = ", ".join(map(str, expected))
        raise ValueError(f"{name} has shape {tuple(found)}, expected (..., {sides}), none empty")
    sizes.update((side, size) for side, size in zip(shape, own) if isinstance(side, str))


def split_columns(array, *sizes):
    """The last axis as several."""
    return array.reshape(*array.shape[:-1], *sizes)


def merge_rows(array, count):
    """The `count` axes before the last as one."""
    return array.reshape(*array.shape[: -1 - count], -1, array.shape[-1])


def merge_columns(array, count):
    """The last `count` axes as one."""
    return array.reshape(*array.shape[:-count], -1)


def merge_heads(array, count):
    """The `count` axes before the last two as one."""
    return array.reshape(*array.shape[: -2 - count], -1, *array.shape[-2:])


def split_heads(array, *sizes):
    """The third axis from the end as several."""
    return array.reshape(*array.shape[:-3], *sizes, *array.shape[-2:])
