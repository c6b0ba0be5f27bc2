"""Exact arithmetic modulo primes on whole arrays, fast enough for circuits of real size.

Residues are float64 arrays of integers between -p/2 and p/2 with p < 2**22: a product is below 2**42,
so that BLAS adds two thousand of them without rounding. Exponentials are exact homomorphisms:

    exp(a) = g^a mod p,   a mod q,   p = 2q + 1 and q prime,   g of order q

Sums modulo q become products modulo p. One prime more is needed for every exp that is stacked.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np

#: Primes are below this power of two.
BITS = 22


class Field:
    """The integers modulo `prime`. `generator` is a square other than 1: the base of `exp`."""

    def __init__(self, prime: int, generator: int = 4) -> None:
        self.prime = prime
        self.generator = generator

    def reduce(self, numbers: np.ndarray) -> np.ndarray:
        """Balanced residues of whole numbers below 2**53 in magnitude."""
        quotients = np.asarray(np.rint(numbers * (1.0 / self.prime)))
        quotients *= self.prime
        return np.subtract(numbers, quotients, out=quotients)

    def canonical(self, residues: np.ndarray) -> np.ndarray:
        """The residues as integers 0 … p-1 (int64)."""
        found = np.asarray(residues).astype(np.int64)
        return np.where(found < 0, found + self.prime, found)

    # ---- numbers ---------------------------------------------------------------------------------

    def number(self, value: Fraction | float) -> float:
        """The residue of a rational number; a float is the dyadic rational that it is."""
        exact = Fraction(value)
        inverse = pow(exact.denominator, -1, self.prime)
        return self._balanced(exact.numerator * inverse)

    def power_of(self, size: int, exponent: Fraction) -> float:
        """`size ** exponent`. Roots are the squares among the roots, so that √a √b = √(ab)."""
        whole, order = exponent.numerator, (self.prime - 1) // 2
        if exponent.denominator > 1:
            whole = whole * pow(exponent.denominator, -1, order) % order
        return self._balanced(pow(size, whole, self.prime))

    def floats(self, values: np.ndarray) -> np.ndarray:
        """Residues of finite floats, each the dyadic rational that it is."""
        mantissas, exponents = np.frexp(np.asarray(values, dtype=np.float64))
        whole = (np.ldexp(mantissas, 53).astype(np.int64) % self.prime).astype(np.float64)
        known, where = np.unique(exponents, return_inverse=True)
        scales = np.array([self._balanced(pow(2, int(e) - 53, self.prime)) for e in known])
        return self.reduce(self.reduce(whole) * scales[where].reshape(np.shape(values)))

    def random(self, rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        """Uniformly random residues."""
        half = self.prime // 2
        return rng.integers(-half, half + 1, shape).astype(np.float64)

    def _balanced(self, number: int) -> float:
        residue = number % self.prime
        return float(residue if residue <= self.prime // 2 else residue - self.prime)

    # ---- functions -------------------------------------------------------------------------------

    def inverse(self, residues: np.ndarray) -> np.ndarray:
        """`1 / x`, and 0 at 0."""
        result, square, exponent = np.ones_like(residues), residues, self.prime - 2
        while exponent:
            if exponent & 1:
                result = self.reduce(result * square)
            square, exponent = self.reduce(square * square), exponent >> 1
        return result

    def exp(self, exponents: np.ndarray) -> np.ndarray:
        """`generator ** a` for canonical residues `a` modulo (p-1)/2."""
        return np.asarray(self._powers[exponents])

    @cached_property
    def _powers(self) -> np.ndarray:
        powers, count = np.ones(1), (self.prime - 1) // 2
        while len(powers) < count:
            step = self._balanced(pow(self.generator, len(powers), self.prime))
            powers = np.concatenate([powers, self.reduce(powers * step)])
        return powers[:count]

    def relu(self, residues: np.ndarray) -> np.ndarray:
        """`x` for the lower half of the residues, else 0: relu(x) - relu(-x) = x holds."""
        return np.where(self.canonical(residues) <= self.prime // 2, residues, 0.0)

    def opaque(self, residues: np.ndarray, rng: np.random.Generator, odd: bool) -> np.ndarray:
        """A random function of the residues that is 0 at 0, the same for equal states of `rng`."""
        table = self.random(rng, (self.prime,))
        table[0] = 0.0
        if odd:
            table[-1 : self.prime // 2 : -1] = -table[1 : self.prime // 2 + 1]
        return np.asarray(table[self.canonical(residues)])


# ---- choosing primes -----------------------------------------------------------------------------


def chain_of_fields(
    length: int, rng: np.random.Generator, squares: Iterable[int] = (), roots: Iterable[int] = ()
) -> tuple[Field, ...] | None:
    """Fields of random primes `p, q, …` with p = 2q + 1 and so on, the largest first.

    All of `squares` have roots in each field, of the degrees `roots`. None when there is no chain.
    """
    is_prime = _sieve()
    inner = np.arange(2 ** (BITS - length) // 4 * 4 + 3, 2 ** (BITS - length + 1), 4)
    kept = np.ones(len(inner), dtype=bool)
    for step in range(length):
        kept &= is_prime[np.minimum((inner + 1) * 2**step - 1, 2**BITS - 1)]
    for found in rng.permutation(inner[kept]):
        primes = [int((found + 1) * 2**step - 1) for step in reversed(range(length))]
        if all(_has_roots(p, squares, roots) for p in primes):
            return tuple(Field(p, int(rng.integers(2, p - 1)) ** 2 % p) for p in primes)
    return None


def _has_roots(prime: int, squares: Iterable[int], roots: Iterable[int]) -> bool:
    order = (prime - 1) // 2
    return all(pow(n, order, prime) == 1 for n in squares) and all(
        math.gcd(degree, order) == 1 for degree in roots
    )


def prime_factors(number: int) -> set[int]:
    """The primes that divide a positive integer."""
    found, divisor = set(), 2
    while divisor * divisor <= number:
        if number % divisor:
            divisor += 1
        else:
            found.add(divisor)
            number //= divisor
    return found | ({number} if number > 1 else set())


@lru_cache(maxsize=1)
def _sieve() -> np.ndarray:
    is_prime = np.ones(2**BITS, dtype=bool)
    is_prime[:2] = False
    for divisor in range(2, 2 ** (BITS // 2)):
        if is_prime[divisor]:
            is_prime[divisor * divisor :: divisor] = False
    return is_prime


# ---- arrays with named axes ----------------------------------------------------------------------


class Factor(NamedTuple):
    """Residues over named axes."""

    array: np.ndarray
    axes: tuple[str, ...]


def contract(field: Field, factors: Sequence[Factor], onto: Sequence[str]) -> Factor:
    """The product of `factors`, summed over all axes but `onto`; over those of `onto` that occur.

    Two factors at a time, first those whose product is smallest beside them: nothing is ever spread
    over all axes.
    """
    todo = [*factors] or [Factor(np.ones(()), ())]
    sizes = {a: n for f in todo for a, n in zip(f.axes, f.array.shape, strict=True)}

    def kept(i: int, j: int) -> set[str]:
        rest = {a for k, f in enumerate(todo) if k not in (i, j) for a in f.axes}
        return {a for a in (*todo[i].axes, *todo[j].axes) if a in onto or a in rest}

    def growth(pair: tuple[int, int]) -> int:
        size = math.prod(sizes[a] for a in kept(*pair))
        return size - todo[pair[0]].array.size - todo[pair[1]].array.size

    while len(todo) > 1:
        i, j = min(combinations(range(len(todo)), 2), key=growth)
        product = _product(field, todo[i], todo[j], kept(i, j))
        todo = [f for k, f in enumerate(todo) if k not in (i, j)] + [product]
    return _summed(field, todo[0], tuple(a for a in onto if a in todo[0].axes))


def add(field: Field, terms: Sequence[Factor], order: Sequence[str]) -> Factor:
    """The sum of `terms`, each the same along the axes that it lacks; axes in `order`."""
    axes = tuple(a for a in order if any(a in term.axes for term in terms))
    total: np.ndarray = np.zeros(())
    for term in terms:
        total = total + spread(term, axes)
    return Factor(field.reduce(total), axes)


def _product(field: Field, one: Factor, two: Factor, kept: set[str]) -> Factor:
    """The product of two factors, summed over all axes but `kept`."""
    one = _summed(field, one, tuple(a for a in one.axes if a in kept or a in two.axes))
    two = _summed(field, two, tuple(a for a in two.axes if a in kept or a in one.axes))
    shared = [a for a in one.axes if a in two.axes]
    batch, gone = [a for a in shared if a in kept], [a for a in shared if a not in kept]
    rows = [a for a in one.axes if a not in shared]
    columns = [a for a in two.axes if a not in shared]
    axes = (*batch, *rows, *columns)
    if not gone:
        return Factor(field.reduce(spread(one, axes) * spread(two, axes)), axes)
    left, left_shape = _matrices(one, batch, rows, gone)
    right, right_shape = _matrices(two, batch, gone, columns)
    shape = (*left_shape[: len(batch) + len(rows)], *right_shape[len(batch) + len(gone) :])
    return Factor(_matmul(field, left, right).reshape(shape), axes)


def _matrices(
    factor: Factor, batch: list[str], rows: list[str], columns: list[str]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The array as a batch of matrices, and its shape before axes were joined."""
    array = np.transpose(factor.array, [factor.axes.index(a) for a in (*batch, *rows, *columns)])
    ends = (0, len(batch), len(batch) + len(rows), array.ndim)
    joined = [math.prod(array.shape[a:b]) for a, b in pairwise(ends)]
    return array.reshape(joined), array.shape


def _matmul(field: Field, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Matrix products in runs short enough that no sum exceeds 2**53."""
    most = 2**53 // (field.prime // 2 + 1) ** 2 - 1
    total = np.zeros((left.shape[0], left.shape[1], right.shape[2]))
    for start in range(0, left.shape[2], most):
        stop = start + most
        total = field.reduce(total + np.matmul(left[:, :, start:stop], right[:, start:stop]))
    return total


def _summed(field: Field, factor: Factor, onto: tuple[str, ...]) -> Factor:
    """The factor with axes `onto`, in this order, and all others summed."""
    if factor.axes == onto:
        return factor
    gone = tuple(k for k, a in enumerate(factor.axes) if a not in onto)
    left = [a for a in factor.axes if a in onto]
    array = field.reduce(factor.array.sum(axis=gone)) if gone else factor.array
    return Factor(np.transpose(array, [left.index(a) for a in onto]), onto)


def spread(factor: Factor, axes: Sequence[str]) -> np.ndarray:
    """The array with its axes in the order of `axes`, and sides of 1 for those it lacks."""
    order = [factor.axes.index(a) for a in axes if a in factor.axes]
    at = tuple(slice(None) if a in factor.axes else None for a in axes)
    return np.asarray(np.transpose(factor.array, order)[at])


# ---- random tensors ------------------------------------------------------------------------------

#: How a tensor of a circuit is laid out from one that was drawn: its shape, and the layout.
Layout = tuple[tuple[int, ...], Callable[[np.ndarray], np.ndarray]]


class Draw:
    """The residues of every tensor, by name: one draw gives all circuits the same tensors.

    `fields` is a chain; level 0 is its first, largest field, and the arguments of an exp at level k
    are at level k + 1. With `tensors` (name to floats) parameters have these numbers, or the ones
    that a circuit stores, exactly; without, all parameters are random whatever they store. `layouts`
    says which tensors are drawn, or given, in another layout.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        seed: int,
        tensors: Mapping[str, np.ndarray] | None = None,
        layouts: Mapping[str, Layout] | None = None,
    ) -> None:
        self.fields = tuple(fields)
        self.seed = seed
        self.tensors = tensors
        self._layouts = layouts or {}
        self._frequencies: list[float] = []

    def rng(self, *key: object) -> np.random.Generator:
        """A generator of its own for `key`."""
        digest = hashlib.sha256(repr((self.seed, *key)).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))

    def laid_out(self, name: str, shape: tuple[int, ...], level: int) -> np.ndarray:
        """The tensor as a circuit has it."""
        drawn, layout = self._layouts.get(name, (shape, np.asarray))
        return layout(self.tensor(name, drawn, level))

    def tensor(self, name: str, shape: tuple[int, ...], level: int) -> np.ndarray:
        """The tensor as it is drawn or given."""
        given = (self.tensors or {}).get(name)
        if given is not None:
            return self.fields[level].floats(given)
        return self.fields[level].random(self.rng("tensor", name, level), shape)

    def mask(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Random 0 and 1, at least one of each where there is room for both."""
        rng = self.rng("mask", name)
        live = (rng.random(shape) < 0.7).astype(np.float64)
        if live.size > 1 and live.min() == live.max():
            live.reshape(-1)[rng.integers(live.size)] = 1.0 - live.max()
        return live

    def turns(self, frequency: float, tokens: int, level: int) -> tuple[np.ndarray, np.ndarray]:
        """In place of the cosine and sine of `token · frequency`: two random arrays (tokens).

        A plane of frequency zero does not turn. Frequencies are equal up to their rounding.
        """
        if frequency == 0.0:
            return np.ones(tokens), np.zeros(tokens)
        known = [k for k, f in enumerate(self._frequencies) if math.isclose(f, frequency)]
        if not known:
            self._frequencies.append(frequency)
        number = known[0] if known else len(self._frequencies) - 1
        rng = self.rng("turns", number, level)
        both = self.fields[level].random(rng, (tokens, 2))
        return both[:, 0], both[:, 1]
