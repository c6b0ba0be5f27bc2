"""Exact arithmetic modulo primes on whole arrays, fast enough for circuits of real size.

Residues are float64 arrays of integers between -p/2 and p/2 with p < 2**22: a product is below 2**42,
so that BLAS adds two thousand of them without rounding. Exponentials are exact homomorphisms:

    exp(a) = g^a mod p,   a mod q,   p = 2q + 1 and q prime,   g of order q

Sums modulo q become products modulo p. Every exp that is stacked needs one prime more.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, pairwise

import numpy as np

from cortico.ir import Bound, Circuit, Formula, InputKind, Parameter, Population, TensorRef
from cortico.ir.analysis.rest import at_rest
from cortico.ir.rewrite import longest_chain, weights_of
from cortico.ir.transfer import TRANSFERS, ExactRule, Parity
from cortico.verify.equations.arrays import Factor, spread

Sizes = Mapping[str, int]

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
        return np.asarray(np.subtract(numbers, quotients, out=quotients))

    def canonical(self, residues: np.ndarray) -> np.ndarray:
        """The residues as integers 0 … p-1 (int64)."""
        found = np.asarray(residues).astype(np.int64)
        return np.where(found < 0, found + self.prime, found)

    # ---- numbers ---------------------------------------------------------------------------------

    def number(self, value: Fraction | float) -> float:
        """The residue of a rational number; a float is the dyadic rational that it is."""
        exact = Fraction(value)
        return self._balanced(exact.numerator * pow(exact.denominator, -1, self.prime))

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
        least, most = int(exponents.min(initial=0)), int(exponents.max(initial=0))
        known = range(least, most + 1)
        scales = np.array([self._balanced(pow(2, e - 53, self.prime)) for e in known])
        return self.reduce(self.reduce(whole) * scales[exponents - least])

    def random(self, rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        """Uniformly random residues."""
        half = self.prime // 2
        return rng.integers(-half, half + 1, tuple(shape)).astype(np.float64)

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
        low, high = self._powers(1)[exponents % 2**11], self._powers(2**11)[exponents // 2**11]
        return self.reduce(low * high)

    def _powers(self, step: int) -> np.ndarray:
        powers = np.ones(1)
        while len(powers) < 2**11:
            factor = self._balanced(pow(self.generator, step * len(powers), self.prime))
            powers = np.concatenate([powers, self.reduce(powers * factor)])
        return powers

    def relu(self, residues: np.ndarray) -> np.ndarray:
        """`x` for the lower half of the residues, else 0: relu(x) - relu(-x) = x holds."""
        return np.where(self.canonical(residues) <= self.prime // 2, residues, 0.0)

    def opaque(
        self, residues: np.ndarray, rng: np.random.Generator, odd: bool, keeps_zero: bool = True
    ) -> np.ndarray:
        """A random function of the residues, the same for equal states of `rng`: a keyed hash of each."""
        whole = self.canonical(residues)
        back = odd & (whole > self.prime // 2)
        drawn = _hashed(np.where(back, self.prime - whole, whole), rng) % np.uint64(self.prime)
        found = self.reduce(drawn.astype(np.float64))
        found = np.where(back, -found, found)
        return np.where(whole == 0, 0.0, found) if keeps_zero else found


def _hashed(numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """64 random bits for each number, with keys that `rng` draws (Steele et al. 2014, SplitMix, 10.1145/2660193.2660195)."""
    keys = rng.integers(0, 2**64, 3, dtype=np.uint64)
    found = numbers.astype(np.uint64)
    with np.errstate(over="ignore"):
        for key, factor in zip(keys, _FACTORS, strict=True):
            found = (found ^ key) * np.uint64(factor)
            found = found ^ (found >> np.uint64(31))
    return found


#: Odd multipliers that spread bits.
_FACTORS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


# ---- choosing primes -----------------------------------------------------------------------------


def chain_of_fields(
    length: int, rng: np.random.Generator, squares: Iterable[int] = (), roots: Iterable[int] = ()
) -> tuple[Field, ...] | None:
    """Fields of random primes `p, q, …` with p = 2q + 1 and so on, the largest first.

    All of `squares` have roots in each field, of the degrees `roots`. None when there is no chain.
    """
    for found in rng.permutation(_smallest_of_chains(length)):
        primes = [int((found + 1) * 2**step - 1) for step in reversed(range(length))]
        orders = [(p - 1) // 2 for p in primes]
        coprime = all(math.gcd(root, order) == 1 for root in roots for order in orders)
        if coprime and all(pow(n, p // 2, p) == 1 for n in squares for p in primes):
            return tuple(Field(p, int(rng.integers(2, p - 1)) ** 2 % p) for p in primes)
    return None


def prime_factors(number: int) -> set[int]:
    """The primes that divide a positive integer below 2**22."""
    return {int(p) for p in np.flatnonzero(_sieve()[: number + 1]) if number % p == 0}


def is_power(population: Population) -> bool:
    """Whether the argument of the transfer function is at the next level."""
    return TRANSFERS[population.transfer].exact is ExactRule.POWER


def chain_for(
    circuits: Sequence[Circuit], symbols: Sizes, rng: np.random.Generator, rooted: int, depth: int
) -> tuple[Field, ...] | None:
    """A chain for all that circuits take roots of, and √rooted, and for `depth` exponentials or more."""
    gains = [(c.sizes(symbols), w.gain) for c in circuits for w in weights_of(c)]
    powers = [(sizes[a], e.denominator) for sizes, gain in gains for a, e in gain.sizes]
    sizes = {rooted, *(size for size, root in powers if root > 1)}
    squares = {prime for size in sizes for prime in prime_factors(size)}
    depth = max(depth, *(longest_chain(at_rest(c), is_power) for c in circuits))
    return chain_of_fields(1 + depth, rng, squares, {2, *(root for _, root in powers)})


@lru_cache
def _smallest_of_chains(length: int) -> np.ndarray:
    found = np.arange(2 ** (BITS - length) // 4 * 4 + 3, 2 ** (BITS - length + 1), 4)
    for step in range(length):
        found = found[_sieve()[(found + 1) * 2**step - 1]]
    return found


@lru_cache(maxsize=1)
def _sieve() -> np.ndarray:
    is_prime = np.ones(2**BITS, dtype=bool)
    is_prime[:2] = False
    for divisor in range(2, 2 ** (BITS // 2)):
        if is_prime[divisor]:
            is_prime[divisor * divisor :: divisor] = False
    return is_prime


# ---- arrays with named axes ----------------------------------------------------------------------


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
        gone = sum(int(todo[k].array.size) for k in pair)
        return int(math.prod(sizes[a] for a in kept(*pair))) - gone

    while len(todo) > 1:
        i, j = min(combinations(range(len(todo)), 2), key=growth)
        product = _product(field, todo[i], todo[j], kept(i, j))
        todo = [f for k, f in enumerate(todo) if k not in (i, j)] + [product]
    total = _summed(field, todo[0], tuple(a for a in onto if a in todo[0].axes))
    terms = math.prod(size for axis, size in sizes.items() if axis not in onto)
    above, below = sum(f.above for f in factors), sum(f.below for f in factors)
    return total._replace(above=above + (terms - 1) * below, below=terms * below)


def add(field: Field, terms: Sequence[Factor], order: Sequence[str]) -> Factor:
    """The sum of `terms`, each the same along the axes that it lacks; axes in `order`."""
    axes = tuple(a for a in order if any(a in term.axes for term in terms))
    total: np.ndarray = np.zeros(())
    for term in terms:
        total = total + spread(term, axes)
    below = sum(term.below for term in terms)
    above = max((term.above + below - term.below for term in terms), default=0)
    return Factor(field.reduce(total), axes, above, below)


def within(bound: Bound, sizes: Sizes) -> Factor:
    """1 where `left - right <= offset`, else 0."""
    left, right = np.arange(sizes[bound.left])[:, None], np.arange(sizes[bound.right])
    return Factor((left - right <= bound.offset) * 1.0, (bound.left, bound.right))


def _product(field: Field, one: Factor, two: Factor, kept: set[str]) -> Factor:
    """The product of two factors, summed over all axes but `kept`; degrees left out."""
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


# ---- random tensors ------------------------------------------------------------------------------

#: How a circuit has a tensor: the shape in which it is drawn or given, and what lays it out.
Layout = tuple[tuple[int, ...], Callable[[np.ndarray], np.ndarray]]


class Draw:
    """The residues of every tensor, by name: one draw gives all circuits the same tensors.

    `fields` is a chain. Level 0 is its first, largest field; the argument of an exp at level k is at
    level k + 1. With `tensors` (name to floats) parameters have these numbers, or the ones that a
    circuit stores; without, all parameters are random, whatever they store.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        seed: int | tuple[int, ...],
        tensors: Mapping[str, np.ndarray] | None = None,
        layouts: Mapping[str, Layout] | None = None,
    ) -> None:
        self.fields, self.seed, self.tensors = tuple(fields), seed, tensors
        self._layouts = layouts or {}
        self._frequencies: list[float] = []

    def read(self, circuit: Circuit, ref: TensorRef, sizes: Sizes, level: int) -> Factor:
        """A tensor of a circuit, its formula evaluated, at the axes where it is read."""
        tensor, shape = circuit.tensor(ref.name), tuple(sizes[axis] for axis in ref.axes)
        if not isinstance(tensor, Parameter):
            if tensor.kind is InputKind.MASK:
                return Factor(self.mask(ref.name, shape), ref.axes)
            return Factor(self.tensor(ref.name, shape, level), ref.axes, 1)
        if tensor.formula is None:
            return Factor(self._numbers(tensor, shape, level), ref.axes, 1)
        if tensor.formula.kind == "first":
            return Factor((np.arange(*shape) == 0) * 1.0, ref.axes)
        argument = circuit.tensor(tensor.formula.arguments[0])
        assert isinstance(argument, Parameter)
        if tensor.formula.kind == "distance":
            offsets = np.arange(shape[-1]) - np.arange(shape[-2])[:, None]
            slopes = self._numbers(argument, shape[:-2], level)[..., None, None]
            return Factor(self.fields[level].reduce(slopes * offsets), ref.axes, 1)
        if tensor.formula.kind == "rows":
            return Factor(self._rows(tensor.formula, argument, shape, level), ref.axes, 1)
        stored = argument.values
        frequencies = self._numbers(argument, shape[1:2], 0) if stored is None else stored
        cosine, sine = self.turns(frequencies, shape[0], level)
        rows = np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)
        return Factor(np.stack(rows, -2), ref.axes, 1)

    def _rows(
        self, formula: Formula, table: Parameter, shape: tuple[int, ...], level: int
    ) -> np.ndarray:
        """The first rows of a table. Where it has fewer no circuit runs: then they are any numbers."""
        rows = table.shape[0]
        if isinstance(rows, int) and rows >= shape[0]:
            return self._numbers(table, (rows, *shape[1:]), level)[: shape[0]]
        return self.tensor(str(formula), shape, level)

    def tensor(self, name: str, shape: tuple[int, ...], level: int) -> np.ndarray:
        """A tensor as it is drawn or given."""
        given = (self.tensors or {}).get(name)
        if given is not None:
            return self.fields[level].floats(given)
        return self.fields[level].random(self._rng("tensor", name, level), shape)

    def mask(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Random 0 and 1, at least one of each where there is room for both."""
        rng = self._rng("mask", name)
        live = (rng.random(shape) < 0.7).astype(np.float64)
        if live.size > 1 and live.min() == live.max():
            live.reshape(-1)[rng.integers(live.size)] = 1.0 - live.max()
        return live

    def turns(
        self, frequencies: np.ndarray, tokens: int, level: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Random numbers for cosine and sine of `token · frequency`, each (tokens, frequencies).

        They depend on the frequency, up to its rounding, and a plane of frequency zero stays.
        """
        pairs = [self._turn(float(frequency), tokens, level) for frequency in frequencies]
        both = np.reshape(pairs, (len(pairs), tokens, 2))
        return both[..., 0].T, both[..., 1].T

    def transferred(self, transfer: str, argument: np.ndarray, level: int) -> np.ndarray:
        """A transfer function. The argument of exp is at the next level, that of others at `level`."""
        field, known = self.fields[level], TRANSFERS[transfer]
        match known.exact:
            case ExactRule.POWER:
                return field.exp(self.fields[level + 1].canonical(argument))
            case ExactRule.HALF:
                return field.relu(argument)
        rng, is_odd = self._rng(transfer, level), known.parity is Parity.ODD
        return field.opaque(argument, rng, is_odd, known.keeps_zero)

    def _numbers(self, parameter: Parameter, shape: tuple[int, ...], level: int) -> np.ndarray:
        if parameter.values is not None and self.tensors is not None:
            return self.fields[level].floats(parameter.values)
        drawn, laid_out = self._layouts.get(parameter.name, (shape, np.asarray))
        return np.asarray(laid_out(self.tensor(parameter.name, drawn, level)))

    def _turn(self, frequency: float, tokens: int, level: int) -> np.ndarray:
        if frequency == 0.0:
            return np.tile([1.0, 0.0], (tokens, 1))
        known = [k for k, f in enumerate(self._frequencies) if math.isclose(f, frequency)]
        if not known:
            known = [len(self._frequencies)]
            self._frequencies.append(frequency)
        return self.fields[level].random(self._rng("turn", known[0], level), (tokens, 2))

    def _rng(self, *key: object) -> np.random.Generator:
        """A generator of its own for `key`."""
        digest = hashlib.sha256(repr((self.seed, *key)).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))
