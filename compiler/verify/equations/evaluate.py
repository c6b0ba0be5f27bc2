"""Equations on numbers: what their tensors are at given sizes, in float64. For counterexamples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cortico.ir.tensors import FORMULAS
from cortico.ir.transfer import TRANSFERS
from cortico.verify.equations.language import (
    OFFSET,
    Add,
    Apply,
    Equations,
    Expression,
    Number,
    Product,
    Read,
    Size,
    Sum,
    Within,
)

Sizes = Mapping[str, int]
Arrays = dict[str, np.ndarray]


class _Named(NamedTuple):
    """An array with a name for each of its axes."""

    names: tuple[str, ...]
    array: np.ndarray


class _Table(NamedTuple):
    """What a formula makes for as many positions as any index has; a reading takes what it needs."""

    rows: np.ndarray


def evaluate(equations: Equations, sizes: Sizes, given: Mapping[str, np.ndarray]) -> Arrays:
    """Every tensor that is given or defined, at sizes of sorts.

    `given` has an array for each given tensor that no formula makes. ValueError when a rotation is
    asked for other than two components.
    """
    tensors: dict[str, np.ndarray | _Table] = dict(given)
    for name, formula in equations.formulas.items():
        shape = (max(sizes.values()), *(sizes[sort] for sort in equations.given[name][1:]))
        if shape[2:] != (2, 2):
            raise ValueError(f"a rotation has two components, not {shape[2:]}")
        made = FORMULAS[formula.kind](shape, *(given[a] for a in formula.arguments))
        tensors[name] = _Table(made)
    for definition in equations.definitions:
        value = _value(definition.body, tensors, sizes)
        names = tuple(index.name for index in definition.indices)
        shape = tuple(sizes[index.sort] for index in definition.indices)
        tensors[definition.tensor] = np.broadcast_to(_aligned(value, names), shape)
    return {name: array for name, array in tensors.items() if not isinstance(array, _Table)}


def _value(
    expression: Expression, tensors: Mapping[str, np.ndarray | _Table], sizes: Sizes
) -> _Named:
    match expression:
        case Number(value):
            return _Named((), np.asarray(float(value)))
        case Size(sort, exponent):
            return _Named((), np.asarray(float(sizes[sort]) ** float(exponent)))
        case Read(tensor, (i, j)) if tensor == OFFSET:
            away = np.arange(sizes[j.sort]) - np.arange(sizes[i.sort])[:, None]
            return _read(away.astype(float), (i.name, j.name))
        case Read(tensor, indices):
            array = tensors[tensor]
            if isinstance(array, _Table):
                array = array.rows[: sizes[indices[0].sort]]
            return _read(array, tuple(index.name for index in indices))
        case Within(left, right, offset):
            if left == right:
                return _Named((), np.asarray(float(offset >= 0)))
            rows, columns = np.arange(sizes[left.sort]), np.arange(sizes[right.sort])
            inside = np.subtract.outer(rows, columns) <= offset
            return _Named((left.name, right.name), inside.astype(float))
        case Sum(indices, body):
            whole = _value(body, tensors, sizes)
            for index in indices:
                whole = _summed(whole, index.name, sizes[index.sort])
            return whole
        case Product(parts):
            return _combined(np.multiply, 1.0, [_value(p, tensors, sizes) for p in parts])
        case Add(parts):
            return _combined(np.add, 0.0, [_value(p, tensors, sizes) for p in parts])
        case Apply(function, argument):
            inner = _value(argument, tensors, sizes)
            return _Named(inner.names, _FUNCTIONS[function](inner.array))
    raise TypeError(f"no expression: {expression!r}")


def _read(array: np.ndarray, names: tuple[str, ...]) -> _Named:
    """A tensor at named indices; at the same index twice it is a diagonal."""
    kept = tuple(dict.fromkeys(names))
    letters = [kept.index(name) for name in names]
    return _Named(kept, np.einsum(array, letters, list(range(len(kept)))))


def _summed(value: _Named, name: str, size: int) -> _Named:
    if name not in value.names:
        return _Named(value.names, value.array * size)
    axis = value.names.index(name)
    return _Named(value.names[:axis] + value.names[axis + 1 :], value.array.sum(axis=axis))


def _combined(operation: np.ufunc, start: float, parts: Sequence[_Named]) -> _Named:
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    total: np.ndarray = np.asarray(start)
    for part in parts:
        total = operation(total, _aligned(part, names))
    return _Named(
        names, np.broadcast_to(total, np.broadcast_shapes(total.shape, (1,) * len(names)))
    )


def _aligned(value: _Named, names: tuple[str, ...]) -> np.ndarray:
    """The array with its axes in the order of `names`, of size one where it has none."""
    order = [value.names.index(name) for name in names if name in value.names]
    shape = [value.array.shape[value.names.index(n)] if n in value.names else 1 for n in names]
    return np.asarray(np.transpose(value.array, order).reshape(shape))


def _inverse(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(1.0, x, out=np.zeros(np.shape(x)), where=x != 0))


def _step(x: np.ndarray) -> np.ndarray:
    return (x > 0).astype(float)


_FUNCTIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    **{name: transfer.evaluate for name, transfer in TRANSFERS.items()},
    "inverse": _inverse,
    "step": _step,
}


def draw(equations: Sequence[Equations], sizes: Sizes, seed: int) -> Arrays:
    """Small random numbers for all given tensors of several systems, the same for each name."""
    rng = np.random.default_rng(seed)
    found: Arrays = {}
    for system in equations:
        for name, sides in system.given.items():
            if name not in found and name not in system.formulas:
                shape = tuple(sizes[sort] for sort in sides)
                is_mask = name in system.masks
                found[name] = _random_bits(rng, shape) if is_mask else _random(rng, shape)
    return found


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Halves between -2 and 2 without zero, so that a reader can follow the sums."""
    whole = rng.integers(1, 5, shape) * rng.choice([-1, 1], shape)
    return np.asarray(whole / 2.0)


def _random_bits(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros and ones; not all zero, and not all one where there are several."""
    bits = rng.integers(0, 2, math.prod(shape))
    bits[:1] = 1
    bits[1:2] = 0
    return np.asarray(rng.permutation(bits).reshape(shape), dtype=float)
