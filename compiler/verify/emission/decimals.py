"""Numbers of forty digits that do not overflow: what softmax is where a float's exponential is infinite."""

from __future__ import annotations

import decimal
import math
import random
from fractions import Fraction
from typing import Any

import numpy as np

from cortico.ir import TRANSFERS, UnsupportedError
from cortico.verify.exact.ring import Number, Ring

_CONTEXT = decimal.Context(prec=40, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)


class Decimals(Ring):
    """Decimal numbers, rounded to forty digits; opaque functions but `sqrt` to those of a float."""

    name = "decimals of forty digits"

    def rational(self, value: Fraction) -> Any:
        return _CONTEXT.divide(decimal.Decimal(value.numerator), decimal.Decimal(value.denominator))

    def add(self, first: Any, second: Any) -> Any:
        return _CONTEXT.add(first, second)

    def subtract(self, first: Any, second: Any) -> Any:
        return _CONTEXT.subtract(first, second)

    def multiply(self, first: Any, second: Any) -> Any:
        return _CONTEXT.multiply(first, second)

    def divide(self, first: Any, second: Any) -> Any:
        return _CONTEXT.divide(first, second)

    def is_zero(self, payload: Any) -> bool:
        return bool(payload == 0)

    def rank(self, payload: Any) -> Any:
        return payload

    def root(self, size: int, exponent: Fraction) -> Any:
        return _CONTEXT.power(decimal.Decimal(size), self.rational(exponent))

    def exp(self, payload: Any) -> Any:
        try:
            return _CONTEXT.exp(payload)
        except decimal.Overflow:
            raise UnsupportedError("exponentials of exponentials, larger than any number") from None

    def opaque(self, function: str, payload: Any) -> Any:
        if function == "sqrt":
            return _CONTEXT.sqrt(payload)
        evaluate = (
            TRANSFERS[function].evaluate if function in TRANSFERS else getattr(math, function)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            found = float(evaluate(float(payload)))
        if not math.isfinite(found):
            raise UnsupportedError(f"{function}({float(payload)}), which is no number")
        return decimal.Decimal(found)

    def random(self, draw: random.Random) -> Number:
        return self.number(Fraction(draw.gauss(0.0, 1.0)))
