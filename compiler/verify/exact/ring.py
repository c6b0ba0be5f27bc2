"""Exact numbers for NumPy's object arrays, and what a ring of them must be able to do.

A `Number` has Python's operators, so that NumPy's `einsum`, `@`, `sum` and `max` work on arrays of them.
A float that meets a number is the dyadic rational that it is, unless it is the rounded value of a
constant that the ring was told of: then it is read as that constant.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np

from cortico.ir import TRANSFERS, Gain
from cortico.ir.transfer import ExactRule

#: What an opaque function is at 0, where that is known.
_AT_ZERO = {"cos": 1, "sin": 0} | {name: 0 for name, t in TRANSFERS.items() if t.keeps_zero}

#: Largest relative distance of a number in code from the constant of the circuit that it rounds.
ROUNDING = Decimal("4e-15")


#: What emitted code asks of an array that may be without axes.
_OF_ARRAYS = ("shape", "ndim", "size", "sum", "max", "astype", "reshape", "swapaxes", "transpose")


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
        if isinstance(other, np.ndarray):
            return NotImplemented
        ring = self.ring
        return Number(ring, ring.add(self.payload, ring.payload(other)))

    __radd__ = __add__

    def __mul__(self, other: object) -> Number:
        if isinstance(other, np.ndarray):
            return NotImplemented
        ring = self.ring
        return Number(ring, ring.multiply(self.payload, ring.payload(other)))

    __rmul__ = __mul__

    def __sub__(self, other: object) -> Number:
        if isinstance(other, np.ndarray):
            return NotImplemented
        ring = self.ring
        return Number(ring, ring.subtract(self.payload, ring.payload(other)))

    def __rsub__(self, other: object) -> Number:
        if isinstance(other, np.ndarray):
            return NotImplemented
        ring = self.ring
        return Number(ring, ring.subtract(ring.payload(other), self.payload))

    def __neg__(self) -> Number:
        return 0 - self

    def __truediv__(self, other: object) -> Number:
        if isinstance(other, np.ndarray):
            return NotImplemented
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
        if isinstance(other, np.ndarray):
            return NotImplemented
        if other is LEAST:
            return False
        return self.ring.is_zero((self - other).payload)

    __hash__ = None  # type: ignore[assignment]

    def _rank(self, *other: object) -> Any:
        ring = self.ring
        return ring.rank(ring.payload(other[0]) if other else self.payload)

    # NumPy makes a bare object of an object array without axes, which code goes on to use as an array.
    def __getitem__(self, index: Any) -> Any:
        return _without_axes(self)[index]

    def __getattr__(self, name: str) -> Any:
        if name not in _OF_ARRAYS:
            raise AttributeError(f"a number has no {name}")
        return getattr(_without_axes(self), name)

    def __repr__(self) -> str:
        return str(self.payload)


def _without_axes(number: Number) -> np.ndarray:
    array = np.empty((), object)
    array[()] = number
    return array


class Ring(ABC):
    """What numbers of one kind can do, on their payloads."""

    name: str

    def __init__(self) -> None:
        self._constants: list[tuple[Decimal, int, Any]] = []  #: with how many gains they are of
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

    def learn(self, gains: Sequence[Gain], sizes: dict[str, int]) -> None:
        """From now on a float that is the product of `gains`, but for rounding, is read as that."""
        known, exact = Decimal(1), self.payload(1)
        with localcontext(prec=40):
            for gain in gains:
                known *= _decimal(gain, sizes)
                exact = self.multiply(exact, self.gain(gain, sizes))
        self._constants.append((known, len(gains), exact))
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
        off = ((abs(exact / known - 1), *rest) for known, *rest in self._constants if known)
        near = [each for each in off if each[0] <= ROUNDING]
        if not near:
            return self.rational(Fraction(value))
        # a gain and its powers may all round to this: it is the shortest product, and of those the nearest
        distance, _, constant = min(near, key=lambda each: (each[1], each[0]))
        self.largest_rounding = max(self.largest_rounding, float(distance))
        return constant

    def apply(self, function: str, value: object) -> Number:
        """A transfer function, `cos` or `sin` of a number."""
        if value is LEAST:
            if function != "exp":
                raise ArithmeticError(f"{function}(-inf)")
            return self.number(0)
        payload = self.payload(value)
        match TRANSFERS[function].exact if function in TRANSFERS else ExactRule.OPAQUE:
            case ExactRule.ITSELF:
                return Number(self, payload)
            case ExactRule.HALF:
                return max(Number(self, payload), self.number(0))
            case ExactRule.POWER:
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


def _decimal(gain: Gain, sizes: dict[str, int]) -> Decimal:
    """A gain to as many digits as the context has."""
    value = Decimal(gain.coefficient)
    for axis, exponent in gain.sizes:
        value *= Decimal(sizes[axis]) ** (Decimal(exponent.numerator) / exponent.denominator)
    return value
