"""Exact numbers for NumPy's object arrays: residues modulo primes that have exponentials, and rationals.

Residues come from a chain of primes p_0, p_1 = 2 p_0 + 1, p_2 = 2 p_1 + 1, … A number is known modulo
the product of all primes of the chain. The exponential takes one prime away:

    exp(a) = g ** a modulo p_{k+1}, where g has order p_k, so that a matters modulo p_k only

It is a homomorphism, exp(a + b) = exp(a) exp(b) and exp(0) = 1, and no other law of the exponential
holds. All primes of the chain are near 2^61 and are -1 modulo 8 and modulo 3, 5, 7, …, 31: so every
product of these has one square root that is itself a square, and √a √b = √(ab).

Where a law does not matter, a function is opaque: its value is a keyed hash of its argument.
"""

from __future__ import annotations

import hashlib
import math
import random
from abc import ABC, abstractmethod
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np

from cortico.ir import Gain, UnsupportedError

#: A chain p, 2p + 1, 4p + 3, … of primes; `tests/verify/test_exact.py` checks what is said above.
CHAIN = (
    2322808965763726439,
    4645617931527452879,
    9291235863054905759,
    18582471726109811519,
    37164943452219623039,
)

#: What an opaque function is at 0.
_AT_ZERO = {"cos": 1, "sin": 0, "tanh": 0, "sqrt": 0}

#: Largest relative distance of a number in code from the constant of the circuit that it rounds.
ROUNDING = 1e-15


class Least:
    """Minus infinity: less than every number, its exponential is 0. No other arithmetic."""

    def __sub__(self, other: object) -> Least:
        if isinstance(other, Least):
            raise ArithmeticError("-inf - -inf has no value")
        return self

    def __ge__(self, other: object) -> bool:
        return isinstance(other, Least)

    def __gt__(self, other: object) -> bool:
        return False

    def __le__(self, other: object) -> bool:
        return True

    def __lt__(self, other: object) -> bool:
        return not isinstance(other, Least)

    def __repr__(self) -> str:
        return "-inf"


LEAST = Least()


class Infinity:
    """Stands for `np.inf`, of which only the negative is a value here."""

    def __neg__(self) -> Least:
        return LEAST


class Number:
    """An element of a ring, with Python's operators. A float next to it is read by the ring."""

    __slots__ = ("payload", "ring")

    def __init__(self, ring: Ring, payload: Any) -> None:
        self.ring, self.payload = ring, payload

    def __add__(self, other: object) -> Number:
        ring = self.ring
        return Number(ring, ring.add(self.payload, ring.payload(other)))

    __radd__ = __add__

    def __mul__(self, other: object) -> Number:
        ring = self.ring
        return Number(ring, ring.multiply(self.payload, ring.payload(other)))

    __rmul__ = __mul__

    def __sub__(self, other: object) -> Number:
        ring = self.ring
        return Number(ring, ring.subtract(self.payload, ring.payload(other)))

    def __rsub__(self, other: object) -> Number:
        ring = self.ring
        return Number(ring, ring.subtract(ring.payload(other), self.payload))

    def __neg__(self) -> Number:
        return 0 - self

    def __truediv__(self, other: object) -> Number:
        ring = self.ring
        divisor = ring.payload(other)
        if ring.is_zero(divisor):
            raise ZeroDivisionError("division by zero")
        return Number(ring, ring.divide(self.payload, divisor))

    def __rtruediv__(self, other: object) -> Number:
        return self.ring.number(other) / self

    # The order is total and means nothing: it only makes `max` choose one of its arguments.
    def __ge__(self, other: object) -> bool:
        return other is LEAST or self._rank() >= self._rank(other)

    def __gt__(self, other: object) -> bool:
        return other is LEAST or self._rank() > self._rank(other)

    def __le__(self, other: object) -> bool:
        return not self > other

    def __lt__(self, other: object) -> bool:
        return not self >= other

    def __eq__(self, other: object) -> bool:
        if other is LEAST:
            return False
        return self.ring.is_zero((self - other).payload)

    __hash__ = None  # type: ignore[assignment]

    def _rank(self, *other: object) -> Any:
        ring = self.ring
        return ring.rank(ring.payload(other[0]) if other else self.payload)

    def __repr__(self) -> str:
        return str(self.payload)


class Ring(ABC):
    """What numbers of one kind can do, on their payloads."""

    name: str

    def __init__(self) -> None:
        self._constants: list[tuple[Decimal, Any]] = []
        self._readings: dict[float, Any] = {}
        self.largest_rounding = 0.0  #: relative, of floats that were read as a known constant

    # ---- conversions ---------------------------------------------------------------------------

    def number(self, value: object) -> Number:
        """`value` as a number of this ring. TypeError for what is no number."""
        return Number(self, self.payload(value))

    def payload(self, value: object) -> Any:
        if type(value) is Number:
            return value.payload
        if isinstance(value, bool | np.bool_ | int | np.integer):
            return self.rational(Fraction(int(value)))
        if isinstance(value, Fraction):
            return self.rational(value)
        if isinstance(value, float | np.floating):
            return self._read(float(value))
        raise TypeError(f"{value!r} is not a number of {self.name}")

    def array(self, values: np.ndarray) -> np.ndarray:
        """An object array of exact numbers; floats are the dyadic rationals that they are."""
        result = np.empty(np.shape(values), object)
        for index, value in np.ndenumerate(values):
            known = Fraction(float(value)) if isinstance(value, float | np.floating) else value
            result[index] = self.number(known)
        return result

    def learn(self, gain: Gain, sizes: dict[str, int]) -> None:
        """From now on a float that is `gain` but for rounding is read as `gain`."""
        self._constants.append((_decimal(gain, sizes), self.gain(gain, sizes)))
        self._readings.clear()

    def gain(self, gain: Gain, sizes: dict[str, int]) -> Any:
        """The payload of a gain at given sizes; of its rounded value where the ring lacks a root."""
        result = self.rational(Fraction(gain.coefficient))
        for axis, exponent in gain.sizes:
            root = self.root(sizes[axis], exponent)
            if root is None:
                return self.rational(Fraction(gain.value(sizes)))
            result = self.multiply(result, root)
        return result

    def _read(self, value: float) -> Any:
        if value not in self._readings:
            self._readings[value] = self._reading(value)
        return self._readings[value]

    def _reading(self, value: float) -> Any:
        exact = Decimal(value)
        off = [
            (float(abs(exact / known - 1)), place)
            for place, (known, _) in enumerate(self._constants)
            if known
        ]
        distance, place = min(off, default=(math.inf, 0))
        if distance > ROUNDING:
            return self.rational(Fraction(value))
        self.largest_rounding = max(self.largest_rounding, distance)
        return self._constants[place][1]

    def apply(self, function: str, value: object) -> Number:
        """A transfer function, `cos` or `sin` of a number."""
        if value is LEAST:
            if function != "exp":
                raise ArithmeticError(f"{function}(-inf)")
            return self.number(0)
        payload = self.payload(value)
        if function == "identity":
            return Number(self, payload)
        if function == "relu":
            return max(Number(self, payload), self.number(0))
        if function == "exp":
            return Number(self, self.exp(payload))
        if self.is_zero(payload) and function in _AT_ZERO:
            return self.number(_AT_ZERO[function])
        return Number(self, self.opaque(function, payload))

    # ---- what a ring must have --------------------------------------------------------------------

    @abstractmethod
    def rational(self, value: Fraction) -> Any: ...

    @abstractmethod
    def add(self, first: Any, second: Any) -> Any: ...

    @abstractmethod
    def subtract(self, first: Any, second: Any) -> Any: ...

    @abstractmethod
    def multiply(self, first: Any, second: Any) -> Any: ...

    @abstractmethod
    def divide(self, first: Any, second: Any) -> Any:
        """`first / second`, which is not zero."""

    @abstractmethod
    def is_zero(self, payload: Any) -> bool: ...

    @abstractmethod
    def rank(self, payload: Any) -> Any:
        """A sort key."""

    @abstractmethod
    def root(self, size: int, exponent: Fraction) -> Any | None:
        """`size ** exponent`, or None where the ring does not have it."""

    @abstractmethod
    def exp(self, payload: Any) -> Any: ...

    @abstractmethod
    def opaque(self, function: str, payload: Any) -> Any: ...

    @abstractmethod
    def random(self, draw: random.Random) -> Number: ...


class PrimeField(Ring):
    """Residues modulo primes near 2^61. A payload is (primes lost to exponentials, residue)."""

    def __init__(self, depth: int = 1, seed: int = 0) -> None:
        super().__init__()
        if depth >= len(CHAIN):
            raise UnsupportedError(f"exponentials nested {depth} deep, at most {len(CHAIN) - 1}")
        self.primes = CHAIN[: depth + 1]
        self.moduli = [math.prod(self.primes[k:]) for k in range(depth + 1)]
        self.name = "residues modulo primes near 2^61"
        self._seed = seed
        draw = random.Random(f"bases {seed}")
        self._bases = [draw.randrange(2, p - 1) ** 2 % p for p in self.primes[1:]]

    def rational(self, value: Fraction) -> tuple[int, int]:
        modulus = self.moduli[0]
        if value.denominator == 1:
            return 0, value.numerator % modulus
        return 0, value.numerator * pow(value.denominator, -1, modulus) % modulus

    def add(self, first: Any, second: Any) -> tuple[int, int]:
        level = max(first[0], second[0])
        return level, (first[1] + second[1]) % self.moduli[level]

    def subtract(self, first: Any, second: Any) -> tuple[int, int]:
        level = max(first[0], second[0])
        return level, (first[1] - second[1]) % self.moduli[level]

    def multiply(self, first: Any, second: Any) -> tuple[int, int]:
        level = max(first[0], second[0])
        return level, first[1] * second[1] % self.moduli[level]

    def divide(self, first: Any, second: Any) -> tuple[int, int]:
        level = max(first[0], second[0])
        modulus = self.moduli[level]
        return level, first[1] * pow(second[1], -1, modulus) % modulus

    def is_zero(self, payload: Any) -> bool:
        return bool(payload[1] % self.primes[-1] == 0)

    def rank(self, payload: Any) -> int:
        """The residue modulo the last prime, between -p/2 and p/2."""
        last = self.primes[-1]
        residue: int = payload[1] % last
        return residue if residue <= last // 2 else residue - last

    def root(self, size: int, exponent: Fraction) -> tuple[int, int] | None:
        """The power that is a square; for sizes whose prime factors are at most 31."""
        if exponent.denominator != 1 and not _is_smooth(size):
            return None
        # squares modulo p are a group of odd order (p - 1) / 2
        turns = [
            exponent.numerator * pow(exponent.denominator, -1, (p - 1) // 2) for p in self.primes
        ]
        return 0, self._combined([pow(size, t, p) for t, p in zip(turns, self.primes, strict=True)])

    def exp(self, payload: Any) -> tuple[int, int]:
        level, value = payload
        if level + 1 == len(self.primes):
            raise UnsupportedError("an exponential of an exponential, for which there is no prime")
        powers = [
            pow(self._bases[k], value % self.primes[k], self.primes[k + 1])
            for k in range(level, len(self.primes) - 1)
        ]
        return level + 1, self._combined(powers)

    def opaque(self, function: str, payload: Any) -> tuple[int, int]:
        text = f"{self._seed} {function} {payload[1] % self.primes[-1]}"
        digest = hashlib.blake2b(text.encode()).digest()
        return 0, int.from_bytes(digest, "big") % self.moduli[0]

    def random(self, draw: random.Random) -> Number:
        return Number(self, (0, draw.randrange(1, self.moduli[0])))

    def _combined(self, residues: list[int]) -> int:
        """The number with these residues modulo the last primes of the chain."""
        primes = self.primes[-len(residues) :]
        modulus = math.prod(primes)
        parts = [
            residue * (modulus // p) * pow(modulus // p, -1, p)
            for residue, p in zip(residues, primes, strict=True)
        ]
        return sum(parts) % modulus


class Rationals(Ring):
    """Fractions. There is no exponential, and no root but of perfect powers."""

    name = "rationals"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._seed = seed

    def rational(self, value: Fraction) -> Fraction:
        return value

    def add(self, first: Any, second: Any) -> Any:
        return first + second

    def subtract(self, first: Any, second: Any) -> Any:
        return first - second

    def multiply(self, first: Any, second: Any) -> Any:
        return first * second

    def divide(self, first: Any, second: Any) -> Any:
        return first / second

    def is_zero(self, payload: Any) -> bool:
        return bool(payload == 0)

    def rank(self, payload: Any) -> Any:
        return payload

    def root(self, size: int, exponent: Fraction) -> Fraction | None:
        near = round(size ** (1 / exponent.denominator))
        return Fraction(near) ** exponent.numerator if near**exponent.denominator == size else None

    def exp(self, payload: Any) -> Fraction:
        raise UnsupportedError("the exponential of a rational is none: use a prime field")

    def opaque(self, function: str, payload: Any) -> Fraction:
        text = f"{self._seed} {function} {payload}"
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return Fraction(int.from_bytes(digest, "big") - 2**63, 2**32)

    def random(self, draw: random.Random) -> Number:
        return Number(self, Fraction(draw.randrange(1, 2**32) * draw.choice((1, -1))))


def _is_smooth(size: int) -> bool:
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31):
        while size % prime == 0:
            size //= prime
    return size == 1


def _decimal(gain: Gain, sizes: dict[str, int]) -> Decimal:
    """A gain to forty digits."""
    with localcontext(prec=40):
        value = Decimal(gain.coefficient)
        for axis, exponent in gain.sizes:
            value *= Decimal(sizes[axis]) ** (Decimal(exponent.numerator) / exponent.denominator)
        return value
