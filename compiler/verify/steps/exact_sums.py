"""Whether a sum of contractions of stored tensors is zero: in integers, for every size that is not a number.

Floats are dyadic rationals, so a sum of their products is a rational number, and it is zero or it is not.
Terms that hold different powers of sizes which are not numbers, such as n, are judged apart: then their sum
is zero for every n.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from cortico.verify.equations.language import Equations

#: Most products that are multiplied out; a sum of more is not decided.
_MOST_PRODUCTS = 4_000_000


class ExactTerm(NamedTuple):
    """`coefficient · Π size^power · Σ Π tensors`. Indices are numbers, those below `free` are not summed."""

    coefficient: Fraction
    sizes: tuple[tuple[str, Fraction], ...]
    reads: tuple[tuple[str, tuple[int, ...]], ...]
    free: int


def vanishes(
    terms: Iterable[ExactTerm], arrays: Mapping[str, np.ndarray], equations: Equations
) -> bool:
    """Whether the sum is zero at every index and for every size; no where it is too long to tell."""
    sums: dict[tuple[tuple[str, Fraction], ...], np.ndarray] = {}
    for term in terms:
        if _products(term, arrays) > _MOST_PRODUCTS:
            return False
        powers, number = _size_parts(term.sizes, equations)
        value = _contracted(term, arrays) * (term.coefficient * number)
        sums[powers] = sums.get(powers, 0) + value
    return not any(np.any(total != 0) for total in sums.values())


def _products(term: ExactTerm, arrays: Mapping[str, np.ndarray]) -> int:
    sides = {k: n for name, at in term.reads for k, n in zip(at, arrays[name].shape, strict=True)}
    return int(math.prod(sides.values())) * max(1, len(term.reads))


def _size_parts(
    sizes: tuple[tuple[str, Fraction], ...], equations: Equations
) -> tuple[tuple[tuple[str, Fraction], ...], Fraction]:
    """The powers of sizes that stay symbols, roots among them, and the product of the others."""
    kept, number = [], Fraction(1)
    for sort, power in sizes:
        extent = equations.extents.get(sort)
        if isinstance(extent, int) and power.denominator == 1:
            number *= Fraction(extent) ** int(power)
        else:
            kept.append((sort, power))
    return tuple(sorted(kept)), number


def _contracted(term: ExactTerm, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """The sum of products, an object array of Fractions over the free indices; of size one where they lack."""
    operands: list[Any] = []
    scale = Fraction(1)
    for name, at in term.reads:
        whole, unit = _integers(arrays[name])
        scale *= unit
        operands += [whole, list(at)]
    lacking = [k for k in range(term.free) if not any(k in at for _, at in term.reads)]
    operands += [np.ones([1] * len(lacking), dtype=object), lacking]
    summed = np.asarray(np.einsum(*operands, list(range(term.free))), dtype=object)
    return np.asarray(summed * scale, dtype=object)


def _integers(array: np.ndarray) -> tuple[np.ndarray, Fraction]:
    """An array of floats as integers times one power of two, exactly."""
    mantissas, exponents = np.frexp(array.astype(np.float64))
    least = int(exponents[array != 0].min(initial=0)) - 53
    entries = [
        int(m * 2.0**53) << (int(e) - 53 - least) if m else 0
        for m, e in zip(mantissas.ravel().tolist(), exponents.ravel().tolist(), strict=True)
    ]
    whole = np.empty(len(entries), dtype=object)
    whole[:] = entries
    return whole.reshape(array.shape), Fraction(2) ** least
