"""Rings of exact numbers: residues modulo primes, which have exponentials, and rationals.

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
from fractions import Fraction
from typing import Any

from cortico.ir import UnsupportedError
from cortico.verify.exact.ring import Number, Ring

#: A chain p, 2p + 1, 4p + 3, … of primes; `tests/verify/test_exact.py` checks what is said above.
CHAIN = (
    2322808965763726439,
    4645617931527452879,
    9291235863054905759,
    18582471726109811519,
    37164943452219623039,
)


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
