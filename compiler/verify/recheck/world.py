"""Small sizes, primes p = 2q + 1, and random numbers for tensors; and sums of products."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from fractions import Fraction
from itertools import chain
from random import Random
from typing import Any

import numpy as np

from cortico.verify.recheck.text import UnableError, require

#: Most entries of an array, most products of a sum, and most of all of them in one re-check. An exponential
#: or a quotient counts as many as `POWER` products, and a sum as `START` more.
LARGEST, MOST, ALL = 10**6, 3 * 10**6, 10**8
POWER, START = 200, 3000

#: Sizes that stay as they are.
SMALL = ("1", "2", "3", "4")

Array = Any  #: an array of Python integers
Arrays = dict[str, Array]


#: Of q = -1 modulo this, 2, 3, … 31 are squares, and also modulo 2q + 1: small sizes have roots.
SQUARES = 8 * math.prod((3, 5, 7, 11, 13, 17, 19, 23, 29, 31))


class Chance:
    """Where random numbers come from: p and q with p = 2q + 1, and a base of order q modulo p.

    Drawn anew for every re-check: a certificate cannot be made to fit numbers that are not there yet.
    """

    def __init__(self, most: int = ALL) -> None:
        self.key, self.left = secrets.token_hex(16), most
        rng = Random(f"{self.key} primes")
        while True:
            q = rng.randrange(2**22, 2**23) * SQUARES - 1
            p = 2 * q + 1
            small = any(q % n == 0 or p % n == 0 for n in range(37, 400, 2))
            if not small and all(pow(n, q - 1, q) == 1 == pow(n, p - 1, p) for n in (2, 3, 5, 7)):
                break
        self.primes, self.base = (p, q), rng.randrange(2, p - 1) ** 2 % p

    def spend(self, what: str, count: int, most: int) -> None:
        """UnableError when an array or a sum is too large, or when all together are."""
        self.left -= min(count, most) + START
        if count > most or self.left < 0:
            raise UnableError(f"{what} is too large to be re-checked")


class World:
    """Small sizes for circuits, and random numbers for their tensors, modulo p and modulo q.

    Sizes up to 4 stay, and those `pinned` become what it says; others become different small ones,
    others in every trial. `products` are sizes that are the product of two. Distances of more than 3
    tokens also become other ones. In the second trial half of all numbers are zero; of circuits with populations that
    integrate all masks are, too: these must have a rest where no token is there.

    Each index of a size that was made small counts with a random weight in every sum, and the size is
    the sum of these weights: any number modulo p. What holds of sums over indices and of sizes for every
    size also holds of these, and an equation between sizes that holds at some sizes only does not.
    """

    def __init__(
        self,
        chance: Chance,
        trial: int,
        circuits: Any,
        pinned: Mapping[str, int] = {},
        products: Mapping[str, Any] = {},
        window: int = 0,
    ) -> None:
        self.chance, self.trial, self.key = chance, trial, f"{chance.key} {trial}"
        self.near, self.primes, self.base = dict[int, int](), chance.primes, chance.base
        self.integrates = any(c.integrating for c in circuits)
        rng, last = Random(f"{self.key} sizes"), 2
        domains = [p[2] for c in circuits for p in c.populations.values()]
        domains += [t[2] for c in circuits for t in c.terms]
        for far in sorted({window, *(abs(bound[2]) for domain in domains for bound in domain)}):
            self.near[far] = far if far <= 3 else max(last, 3) + rng.randrange(1, 8)
            last = max(last, self.near[far])
        sides = {e for c in circuits for e in chain(c.axes.values(), *c.shapes.values())}
        tokens = {e for c in circuits for e in c.columns}
        for _ in range(100):
            self.sizes = {s: int(s) for s in sides if s in SMALL} | dict(pinned)
            for side in sorted(sides - set(self.sizes) - set(products), key=lambda s: (len(s), s)):
                least = last + 2 if side in tokens else 3
                taken = set(self.sizes.values())
                free = [n for n in range(least, least + len(sides) + 4) if n not in taken]
                self.sizes[side] = rng.choice(free)
            for side, halves in products.items():
                self.sizes[side] = math.prod(self.sizes[half] for half in halves)
            if len(set(self.sizes.values())) == len(self.sizes):
                break
        else:
            raise UnableError("its sizes cannot be told apart when they are small")
        self.counts = [self._counts(level, pinned, products) for level in (0, 1)]

    def _counts(self, level: int, pinned: Any, products: Any) -> Arrays:
        """With which weight each index of a size counts; their sum has a root."""
        p, rng, found = self.primes[level], Random(f"{self.key} {level} counts"), dict[str, Array]()
        for side, size in self.sizes.items():
            weights = [1] * size
            if side not in {*pinned, *products, *SMALL}:
                weights = [rng.randrange(p) for _ in weights]
                weights[-1] = (rng.randrange(1, p) ** 2 - sum(weights[:-1])) % p
            found[side] = np.array(weights, dtype=object)
        for side, halves in products.items():
            found[side] = np.multiply.outer(*(found[half] for half in halves)).ravel() % p
        return found

    def total(self, extent: str, level: int) -> int:
        """What a size counts for."""
        return int(self.counts[level][extent].sum() % self.primes[level])

    def power(self, factor: Fraction, powers: list[Any], level: int) -> int:
        """`factor · Π size^exponent`; a root is the square among the roots."""
        p, found = self.primes[level], factor.numerator
        for size, e in [*powers, (factor.denominator, Fraction(-1))]:
            root = 1 if e.denominator == 1 else pow(e.denominator, -1, p // 2)
            if root != 1 and pow(size, p // 2, p) != 1:
                raise UnableError(f"the size {size} has no root here")
            found = found * pow(size, e.numerator * root, p) % p
        return found

    def gain(self, factor: Fraction, powers: list[Any], level: int) -> int:
        """`factor · Π size^exponent`, for sizes as they are declared."""
        return self.power(factor, [(self.total(side, level), e) for side, e in powers], level)

    def reciprocal(self, x: Array, level: int) -> Array:
        """`1 / x`, and 0 for 0, as circuits divide."""
        p = self.primes[level]
        return np.frompyfunc(lambda a: pow(a, -1, p) if a % p else 0, 1, 1)(x)

    def hashed(self, level: int, *key: object) -> int:
        """A random function of `key`."""
        return Random(f"{self.key} {level} {key}").randrange(self.primes[level])

    def shape(self, circuit: Any, name: str) -> tuple[int, ...]:
        """The sizes of a tensor that a circuit declares."""
        require(name in circuit.shapes, f"there is no tensor {name}")
        return tuple(self.sizes[side] for side in circuit.shapes[name])

    def draw(self, circuit: Any, name: str, level: int, salt: str = "") -> Array:
        """Random numbers of the shape that a circuit declares; 0 and 1 for masks."""
        shape = self.shape(circuit, name)
        count = math.prod(shape)
        self.chance.spend(f"tensor {name}", 10 * count, 10 * LARGEST)
        is_mask = circuit.inputs.get(name, False)
        rng = Random(f"{self.key} {salt}{name} {0 if is_mask else level}")
        zeros = Random(f"{self.key} {salt}{name} zeros")
        silent = is_mask and self.trial == 1 and self.integrates
        below = (1 if silent else 2) if is_mask else self.primes[level]
        numbers = [rng.randrange(below) for _ in range(count)]
        if self.trial == 1 and not is_mask:
            numbers = [zeros.randrange(2) * n for n in numbers]
        return np.array(numbers, dtype=object).reshape(shape)

    def contract(self, operands: list[Any], onto: Any, extents: Any, level: int) -> Array:
        """The product of (array, axes), summed over all axes but `onto`; alike along axes they lack.

        `extents` are the sizes of axes as they are declared.
        """
        letters: dict[str, int] = {}
        parts: list[Any] = [np.array(1, dtype=object), []]
        for array, axes in operands:
            parts += [array, [letters.setdefault(axis, len(letters)) for axis in axes]]
        for axis in letters.keys() - set(onto):
            parts += [self.counts[level][extents[axis]], [letters[axis]]]
        full = tuple(self.sizes[extents[axis]] for axis in onto)
        self.chance.spend("a population", math.prod(full), LARGEST)
        self.chance.spend("a sum", math.prod(self.sizes[extents[axis]] for axis in letters), MOST)
        own = [axis for axis in onto if axis in letters]
        found = np.array(np.einsum(*parts, [letters[axis] for axis in own]), dtype=object)
        missing = [k for k, axis in enumerate(onto) if axis not in letters]
        return np.broadcast_to(np.expand_dims(found, missing), full)
