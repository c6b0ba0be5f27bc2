"""Gains in exact arithmetic: what a coefficient stands for is the decimal that it prints as."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from cortico.ir import Gain

#: Largest numerator and denominator of an exponent whose power is asked for exactly.
_LARGEST_EXPONENT = 64


@dataclass(frozen=True)
class ExactGain:
    """`coefficient · Π size(axis) ** exponent`, the coefficient a rational number."""

    coefficient: Fraction = Fraction(1)
    sizes: tuple[tuple[str, Fraction], ...] = ()

    @classmethod
    def of(cls, gain: Gain) -> ExactGain:
        """A gain of a circuit: 0.1 is 1/10."""
        return cls(Fraction(repr(float(gain.coefficient))), gain.sizes)

    def __mul__(self, other: ExactGain) -> ExactGain:
        return ExactGain(self.coefficient * other.coefficient, self.sizes + other.sizes)

    def inverse(self) -> ExactGain:
        """One over the gain, which must not be zero."""
        powers = tuple((axis, -exponent) for axis, exponent in self.sizes)
        return ExactGain(1 / self.coefficient, powers)

    def value(self, sizes: Mapping[str, int]) -> float:
        """The gain at given sizes, in float64: off by less than `rounding`, relative; inf where too large."""
        try:
            return float(self.coefficient) * Gain(1.0, self.sizes).value(sizes)
        except OverflowError:
            return math.inf

    @property
    def rounding(self) -> float:
        """A bound on the relative error of `value`: each of its operations rounds once, a power twice."""
        return float(np.finfo(np.float64).eps) * (2 + 2 * len(self.sizes))

    @property
    def is_one(self) -> bool:
        return self.coefficient == 1 and not self.sizes

    def is_exactly_one(self, sizes: Mapping[str, int]) -> bool:
        """Whether the gain is 1 at given sizes, decided in integers; no for exponents too long to try."""
        whole = math.lcm(*(exponent.denominator for _, exponent in self.sizes))
        powers = [(sizes[axis], exponent * whole) for axis, exponent in self.sizes]
        if whole > _LARGEST_EXPONENT or any(abs(p) > _LARGEST_EXPONENT for _, p in powers):
            return False
        product = math.prod((Fraction(size) ** int(p) for size, p in powers), start=Fraction(1))
        return self.coefficient > 0 and self.coefficient**whole * product == 1

    def record(self) -> dict[str, Any]:
        """The gain as it stands in a certificate."""
        sizes = [[axis, str(power)] for axis, power in self.sizes]
        return {"coefficient": str(self.coefficient), "sizes": sizes}

    def __str__(self) -> str:
        whole = self.coefficient.denominator == 1
        number = str(self.coefficient) if whole else repr(float(self.coefficient))
        factors = [f"size({axis})^{exponent}" for axis, exponent in self.sizes]
        return " * ".join([number] * (self.coefficient != 1 or not factors) + factors)
