"""Circuit {title}, compiled by cortico to JAX.

{tensors}

{deciding} are computed in their own precision; float64 needs `jax_enable_x64`. In the comments, axes
stand in brackets; the batch axes in front of them are left out.
"""

import functools
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cortico.backends.arrays.template import expect_shape

AREAS: Any = ...  #: weight to its axis of areas, over which it may be split
BLOCK = 256  #: rows of queries that attention computes at once


def checked(name, array, shape, sizes):
    """`array`, whose last axes have `shape`, whose symbols get their `sizes`."""
    array = jnp.asarray(array)
    expect_shape(name, array.shape, shape, sizes)
    return array


def flags(name, array):
    """A 0/1 input as it is; one that holds something else is refused, where its numbers can be looked at.

    They cannot while a call is traced, as by jax.jit; then whatever is not 0 counts as 1.
    """
    array = jnp.asarray(array)
    if array.dtype == bool or isinstance(array, jax.core.Tracer):
        return array
    others = array[(array != 0) & (array != 1)]
    if others.size:
        raise ValueError(f"{name} must hold 0 or 1, found {others[0]}")
    return array


def token_numbers(name, array, count):
    """Numbers of tokens; others than whole ones from 0 to `count` - 1 are refused, where they can be looked at.

    They cannot while a call is traced, as by jax.jit; then the rows of others are NaN.
    """
    array = jnp.asarray(array)
    expected = f"{name} must hold whole numbers from 0 to {count - 1}"
    traced = isinstance(array, jax.core.Tracer)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        found = [] if traced else [*array[array != jnp.trunc(array)][:1], *array.ravel()[:1]]
        raise ValueError(f"{expected}, found {found[0] if found else 'some'} of type {array.dtype}")
    others = (array < 0) | (array >= count)
    if not traced and others.any():
        raise ValueError(f"{expected}, found {array[others][0]}")
    array = array.astype(int)
    return jnp.where(others, count, array)  # a number less than 0 would count from the end


def precision_of(*weights):
    """The precision of the largest weight, at least float32."""
    kinds = [jnp.result_type(getattr(each, "dtype", float)) for each in weights]
    sizes = [(np.size(each), kind.itemsize) for each, kind in zip(weights, kinds)]
    return jnp.result_type(jnp.float32, kinds[sizes.index(max(sizes))]).type


def shard(mesh, weights):
    """The weights on a mesh of devices, split by area where they have areas: over its axis "areas".

    Give the same mesh to `attention`: it splits softmax attention by area and by query, over the axes "areas"
    and "queries", and the outputs by query. What does not divide evenly is not split.
    """
    mesh, placed = automatic(mesh), {}
    for name, array in weights.items():
        spec = [None] * np.ndim(array)
        if name in AREAS:
            spec[AREAS[name]] = split_over(mesh, "areas", array.shape[AREAS[name]])
        placed[name] = jax.device_put(array, NamedSharding(mesh, PartitionSpec(*spec)))
    return placed


def automatic(mesh):
    """The same mesh of devices, where JAX is free to place what is not told."""
    return Mesh(mesh.devices, mesh.axis_names)


def by_query(array, place, mesh):
    """`array` with the axis at `place` split over the axis "queries" of the mesh."""
    mesh, spec = automatic(mesh), [None] * array.ndim
    spec[place] = split_over(mesh, "queries", array.shape[place])
    return lax.with_sharding_constraint(array, NamedSharding(mesh, PartitionSpec(*spec)))


def past_product(query, key, value, chunk=64):
    """Σ_{j <= i} (query_i · key_j) value_j over (..., i, c), in chunks of tokens.

    Within a chunk it is a masked product; what came before lies in a memory of key times value.
    """
    tokens = query.shape[-2]
    batch = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    size = min(chunk, tokens)

    def chunks(array):
        array = jnp.broadcast_to(array, (*batch, *array.shape[-2:]))
        array = jnp.pad(array, [(0, 0)] * len(batch) + [(0, -tokens % size), (0, 0)])
        return jnp.moveaxis(array.reshape(*batch, -1, size, array.shape[-1]), -3, 0)

    def recall(memory, parts):
        query, key, value = parts
        recalled = jnp.tril(query @ key.mT) @ value + query @ memory
        return memory + key.mT @ value, recalled

    memory = jnp.zeros((*batch, key.shape[-1], value.shape[-1]), query.dtype)
    _, recalled = lax.scan(recall, memory, (chunks(query), chunks(key), chunks(value)))
    recalled = jnp.moveaxis(recalled, 0, -3).reshape(*batch, -1, value.shape[-1])
    return recalled[..., :tokens, :]


def attend_window(query, key, value, scale, least, most, live=None, mesh=None):
    """`attend` where a row hears only columns near it: a block of rows is given these columns alone."""
    rows, width = query.shape[-2], BLOCK + most - least
    if mesh is not None or key.shape[-2] != rows or not 0 <= least <= most or rows <= 2 * width:
        return attend(query, key, value, scale, least, most, live, mesh=mesh)
    exists = jnp.ones((1, 1, rows), bool) if live is None else live
    columns = [window_columns(part, most) for part in (key, value, exists.mT)]

    @jax.checkpoint
    def block(start):
        near = [lax.dynamic_slice_in_dim(part, start, width, -2) for part in columns]
        part = lax.dynamic_slice_in_dim(queries, start, BLOCK, -2)
        return attend(part, near[0], near[1], scale, least - most, 0, near[2].mT)

    queries = pad_rows(query)
    result = jnp.moveaxis(lax.map(block, jnp.arange(0, rows, BLOCK)), 0, -3)
    return result.reshape(*result.shape[:-3], -1, result.shape[-1])[..., :rows, :]


def attend(
    query, key, value, scale, least=None, most=None, live=None, bias=None, sinks=(), mesh=None
):
    """softmax(scale query keyᵀ + bias) value over (..., heads, tokens, features).

    Row i hears column j where least <= i - j <= most and where `live`; it is zero where it hears none. A sink
    is the score of one more key, whose value is zero. Fewer heads of keys serve neighbouring heads of queries.
    """
    key, value = (jnp.repeat(part, query.shape[-3] // part.shape[-3], -3) for part in (key, value))
    extra = {"live": live, "bias": bias, **{str(k): sink for k, sink in enumerate(sinks)}}
    extra = {name: with_heads(array) for name, array in extra.items() if array is not None}
    inside = functools.partial(attend_blocks, scale=scale, least=least, most=most)
    if mesh is None:
        return inside(query, key, value, extra, 0)
    mesh = automatic(mesh)
    areas = split_over(mesh, "areas", query.shape[-3])
    queries = split_over(mesh, "queries", query.shape[-2])

    def part(array, rows):  # an axis of length one is the same for all
        spec = [None] * (array.ndim - 3)
        spec += [
            areas if array.shape[-3] > 1 else None,
            rows if array.shape[-2] > 1 else None,
            None,
        ]
        return PartitionSpec(*spec)

    def local(query, key, value, extra):
        first = lax.axis_index(queries) * query.shape[-2] if queries else 0
        return inside(query, key, value, extra, first)

    specs = (part(query, queries), part(key, None), part(value, None))
    extras = {name: part(array, queries) for name, array in extra.items()}
    batch = np.broadcast_shapes(
        *(array.shape[:-3] for array in (query, key, value, *extra.values()))
    )
    out = PartitionSpec(*[None] * len(batch), areas, queries, None)
    split = jax.shard_map(
        local, mesh=mesh, in_specs=(*specs, extras), out_specs=out, check_vma=False
    )
    return split(query, key, value, extra)


def split_over(mesh, axis, *sizes):
    """The axis of the mesh where it has that axis and it divides all the sizes; else None: not split."""
    devices = mesh.shape.get(axis, 1)
    return axis if devices > 1 and all(size % devices == 0 for size in sizes) else None


def with_heads(array):
    """`array` over (..., heads, rows, columns), where it may lack heads."""
    return array if array.ndim > 2 else array[None]


def attend_blocks(query, key, value, extra, first, scale, least, most):
    """Attention in blocks of rows, so that no array holds all pairs of tokens. Rows count from `first`."""
    rows = query.shape[-2]
    if rows <= 2 * BLOCK:
        return attend_rows(query, key, value, extra, first, scale, least, most)

    @jax.checkpoint  # going back, a block is computed again rather than kept
    def block(start):
        def part(array):
            return (
                array if array.shape[-2] == 1 else lax.dynamic_slice_in_dim(array, start, BLOCK, -2)
            )

        extras = {name: part(array) for name, array in padded.items()}
        return attend_rows(part(queries), key, value, extras, first + start, scale, least, most)

    queries = pad_rows(query)
    padded = {name: pad_rows(array) for name, array in extra.items()}
    result = lax.map(block, jnp.arange(0, rows, BLOCK))
    result = jnp.moveaxis(result, 0, -3)
    return result.reshape(*result.shape[:-3], -1, result.shape[-1])[..., :rows, :]


def attend_rows(query, key, value, extra, first, scale, least, most):
    """Attention of some rows, the first of which is number `first`, to all columns."""
    scores = scale * (query @ key.mT)
    if "bias" in extra:
        scores = scores + extra["bias"]
    steps = first + jnp.arange(query.shape[-2])[:, None] - jnp.arange(key.shape[-2])
    live = extra.get("live", True)
    live = live if least is None else live & (steps >= least)
    live = live if most is None else live & (steps <= most)
    scores = jnp.where(live, scores, -jnp.inf)
    sinks = [array for name, array in extra.items() if name not in ("live", "bias")]
    peak = scores.max(-1, keepdims=True)
    for sink in sinks:
        peak = jnp.maximum(peak, sink)
    mask, peak = jnp.exp(scores - finite(peak)), finite(peak)
    pool = mask.sum(-1, keepdims=True) + sum(jnp.exp(sink - peak) for sink in sinks)
    return divide(mask @ value, pool)


def window_columns(array, most):
    """`array` with `most` zeros before its tokens, and a whole number of blocks after them."""
    after = -array.shape[-2] % BLOCK
    return jnp.pad(array, [(0, 0)] * (array.ndim - 2) + [(most, after), (0, 0)])


def pad_rows(array):
    """`array` with rows of zeros until they are a multiple of BLOCK; a single row is for all."""
    missing = -array.shape[-2] % BLOCK if array.shape[-2] > 1 else 0
    return jnp.pad(array, [(0, 0)] * (array.ndim - 2) + [(0, missing), (0, 0)])


def divide(excitation, inhibition):
    """excitation / inhibition, where a division by zero gives zero."""
    live = inhibition != 0
    return jnp.where(live, excitation / jnp.where(live, inhibition, 1), 0)


def finite(peak):
    """`peak`, and 0 where no cell is live; a constant, for it cancels."""
    return lax.stop_gradient(jnp.where(jnp.isfinite(peak), peak, 0))


def exact(numbers):
    """Numbers in the highest precision that JAX is set to, if they have it."""
    return jnp.asarray(numbers).astype(jnp.promote_types(jnp.asarray(numbers).dtype, jnp.float32))


def rows(positions, table, name, of):
    """The rows of a table at positions, shape (t, m); `name` is what becomes of the table called `of`."""
    tokens, count = len(positions), len(table)
    if tokens > count:
        raise ValueError(f"{name}: {tokens} tokens, the table {of} has {count} rows")
    return table[positions]


def first(positions):
    """1 for the first token, 0 for others, shape (t,)."""
    return positions == 0


def rotation(positions, frequencies):
    """Rotary embedding: the matrix [[cos, -sin], [sin, cos]] per token and plane, shape (t, p, 2, 2)."""
    angles = positions[:, None] * frequencies
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.stack([jnp.stack([cos, -sin], -1), jnp.stack([sin, cos], -1)], -2)
