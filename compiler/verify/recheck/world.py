"""Small sizes, primes p = 2q + 1, and random numbers for tensors; and sums of products."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from itertools import chain, count
from random import Random
from typing import Any

import numpy as np

from cortico.verify.recheck.text import require

#: Most entries of an array.
LARGEST = 10**6

Array = Any  #: an array of Python integers
Arrays = dict[str, Array]


#: Of q = -1 modulo this, 2, 3, … 31 are squares, and also modulo 2q + 1: small sizes have roots.
SQUARES = 8 * math.prod((3, 5, 7, 11, 13, 17, 19, 23, 29, 31))


@lru_cache(maxsize=8)
def primes(key: str) -> tuple[int, int, int]:
    """p and q with p = 2q + 1, and a base of order q modulo p."""
    rng = Random(f"{key} primes")
    while True:
        q = rng.randrange(2**22, 2**23) * SQUARES - 1
        p = 2 * q + 1
        small = any(q % n == 0 or p % n == 0 for n in range(37, 400, 2))
        if not small and all(pow(n, q - 1, q) == 1 == pow(n, p - 1, p) for n in (2, 3, 5, 7)):
            return p, q, rng.randrange(2, p - 1) ** 2 % p


class World:
    """Small sizes for circuits, and random numbers for their tensors, modulo p and modulo q.

    Sizes up to 4 stay, others become different small ones, others in every trial, and those `pinned` become what it says.
    """

    def __init__(self, key: str, trial: int, circuits: Any, pinned: Any, window: int = 0) -> None:
        self.key, self.near, last = f"{key} {trial}", dict[int, int](), 2
        terms = [term for c in circuits for term in c.terms]
        domains = [p[2] for c in circuits for p in c.populations.values()] + [t[2] for t in terms]
        for far in sorted({window, *(abs(bound[2]) for domain in domains for bound in domain)}):
            self.near[far] = far if far <= 3 else max(last, 3) + 1
            last = max(last, self.near[far])
        sides = {e for c in circuits for e in chain(c.axes.values(), *c.shapes.values())}
        fixed = {side: int(side) for side in sides if side in ("1", "2", "3", "4")} | pinned
        columns = [
            e for e in dict.fromkeys(e for c in circuits for e in c.columns) if e not in pinned
        ]
        free = (n for n in count(last + 2 + trial) if n not in fixed.values())
        self.sizes = {e: next(free) for e in columns}
        used = {*fixed.values(), *self.sizes.values()}
        fresh = (n for n in count(3 + trial) if n not in used)
        for side in sorted(sides - set(columns), key=lambda side: (len(side), side)):
            self.sizes[side] = fixed[side] if side in fixed else next(fresh)
        *self.primes, self.base = primes(key.split()[0])

    def power(self, factor: Fraction, powers: list[Any], level: int) -> int:
        """`factor · Π size^exponent`; a root is the square among the roots."""
        p, found = self.primes[level], factor.numerator
        for size, e in [*powers, (factor.denominator, Fraction(-1))]:
            root = 1 if e.denominator == 1 else pow(e.denominator, -1, p // 2)
            found = found * pow(size, e.numerator * root, p) % p
        return found

    def hashed(self, level: int, *key: object) -> int:
        """A random function of `key`."""
        return Random(f"{self.key} {level} {key}").randrange(self.primes[level])

    def draw(self, circuit: Any, name: str, level: int) -> Array:
        """Random numbers of the shape that a circuit declares; 0 and 1 for masks."""
        shape = [self.sizes[side] for side in circuit.shapes[name]]
        require(math.prod(shape) <= LARGEST, f"tensor {name} is too large")
        is_mask = name in circuit.masks
        rng = Random(f"{self.key} {name} {0 if is_mask else level}")
        below = 2 if is_mask else self.primes[level]
        numbers = [rng.randrange(below) for _ in range(math.prod(shape))]
        return np.array(numbers, dtype=object).reshape(shape)


def contract(operands: list[Any], onto: Any, sizes: Any = None) -> Array:
    """The product of (array, axes), summed over all axes but `onto`; alike along axes they lack."""
    ones = [(np.full(sizes[axis], 1, dtype=object), [axis]) for axis in onto] if sizes else []
    letters: dict[str, int] = {}
    parts: list[Any] = [np.array(1, dtype=object), []]
    for array, axes in operands + ones:
        parts += [array, [letters.setdefault(axis, len(letters)) for axis in axes]]
    return np.array(np.einsum(*parts, [letters[axis] for axis in onto]), dtype=object)
