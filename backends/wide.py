"""Circuits in numbers of any size: a float64 with an exponent of its own, for what the interpreter cannot hold.

Softmax is a quotient of exponentials that are too large for a float, or are multiplied with 0 where a token is
padding. Over the real numbers both are harmless. So are they here: a rate is mantissa · 2^exponent, sums
are taken at the largest exponent of their terms that are not 0, and 0 · x is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cortico.ir import Circuit, Effect, Population, Weight
from cortico.ir.domain import Domain, mask
from cortico.ir.transfer import TRANSFERS

#: ln 2 in two parts, the first of 32 bits: products of it with whole numbers below 2^21 are exact.
_LN2 = (6.93147180369123816490e-01, 1.90821492927058770002e-10)
_FAR = 2**40  #: an exponent below those of all numbers


@dataclass(frozen=True)
class Wide:
    """mantissa · 2^exponent, elementwise, with mantissas in [1/2, 1) or 0."""

    mantissa: np.ndarray  #: float64
    exponent: np.ndarray  #: int64

    def __mul__(self, other: Wide) -> Wide:
        return wide(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def __truediv__(self, other: Wide) -> Wide:
        """Where the divisor is 0, 0."""
        live = other.mantissa != 0
        ratio = np.divide(self.mantissa, other.mantissa, out=np.zeros(live.shape), where=live)
        return wide(ratio, self.exponent - other.exponent)

    def numbers(self) -> np.ndarray:
        """As float64: infinite, or 0, what that does not hold."""
        with np.errstate(over="ignore"):
            found: np.ndarray = np.ldexp(self.mantissa, np.clip(self.exponent, -5000, 5000))
        return found


def wide(mantissa: np.ndarray | float, exponent: np.ndarray | int = 0) -> Wide:
    """mantissa · 2^exponent, for any mantissas."""
    own, more = np.frexp(mantissa)
    return Wide(np.asarray(own), np.asarray(more + np.asarray(exponent, np.int64), np.int64))


def exponential(x: np.ndarray) -> Wide:
    """e^x."""
    powers = np.floor(x / np.log(2))
    return wide(np.exp((x - powers * _LN2[0]) - powers * _LN2[1]), powers.astype(np.int64))


def summed(terms: Wide, axes: tuple[int, ...]) -> Wide:
    """The sum along some axes."""
    exponents = np.where(terms.mantissa != 0, terms.exponent, -_FAR)
    peak = exponents.max(axis=axes, keepdims=True)
    scaled = np.ldexp(terms.mantissa, np.clip(exponents - peak, -5000, 0))
    return wide(scaled.sum(axis=axes), np.squeeze(peak, axes))


class WideInterpreter:
    """The rates of a circuit as `reference.py` says, in wide numbers; `tensors` are float64."""

    def __init__(
        self, circuit: Circuit, sizes: Mapping[str, int], tensors: Mapping[str, np.ndarray]
    ) -> None:
        self.circuit, self.sizes, self.tensors = circuit, sizes, tensors
        self.computed: dict[str, Wide] = {}

    def rates(self) -> dict[str, np.ndarray]:
        """As float64, over the axes of each population."""
        for population in self.circuit.order:
            self.computed[population.name] = self.rate(population)
        return {name: rate.numbers() for name, rate in self.computed.items()}

    def rate(self, population: Population) -> Wide:
        shape = [self.sizes[axis] for axis in population.axes]
        driven, divisor = wide(np.ones(shape)), wide(np.ones(shape))
        for compartment in population.compartments:
            terms = [self.term(population.axes, None, w, ()) for w in compartment.drive]
            for projection in self.circuit.projections_onto(population.name, compartment.name):
                heard = self.circuit.heard(projection)
                source = (self.computed[heard.name], heard.axes)
                terms.append(
                    self.term(population.axes, source, projection.weight, projection.domain)
                )
            together = Wide(
                np.stack([t.mantissa for t in terms]), np.stack([t.exponent for t in terms])
            )
            if compartment.effect is Effect.MULTIPLIES:
                driven = driven * summed(together, (0,))
            else:
                divisor = divisor * summed(together, (0,))
        inside = mask(population.domain, population.axes, self.sizes)
        found = self.transferred(population, driven / divisor, inside)
        return wide(np.where(inside, found.mantissa, 0.0), found.exponent)

    def transferred(self, population: Population, driven: Wide, inside: np.ndarray) -> Wide:
        if population.transfer == "identity":
            return driven
        numbers = np.where(inside, driven.numbers(), 1.0)  # all functions have a value there
        if population.transfer == "exp" and np.isfinite(numbers).all():
            return exponential(numbers)
        return wide(TRANSFERS[population.transfer].evaluate(numbers))

    def term(
        self,
        onto: Sequence[str],
        source: tuple[Wide, Sequence[str]] | None,
        weight: Weight,
        domain: Domain,
    ) -> Wide:
        """gain · Σ of rate · weight's tensor · domain, over the axes that are not in `onto`."""
        heard = [] if source is None else source[1]
        read = weight.tensor.axes if weight.tensor else ()
        axes = [*onto, *dict.fromkeys(a for a in (*heard, *read) if a not in onto)]
        factor = wide(np.full([self.sizes[a] for a in axes], weight.gain.value(self.sizes)))
        if source is not None:
            mantissa, exponent = (
                self.spread(part, heard, axes) for part in (source[0].mantissa, source[0].exponent)
            )
            factor = factor * Wide(mantissa, exponent)
        if weight.tensor:
            factor = factor * wide(self.spread(self.tensors[weight.tensor.name], read, axes))
        for bound in domain:
            pair = (bound.left, bound.right)
            inside = self.spread(mask((bound,), pair, self.sizes), pair, axes)
            factor = wide(np.where(inside, factor.mantissa, 0.0), factor.exponent)
        return summed(factor, tuple(range(len(onto), len(axes))))

    def spread(self, array: np.ndarray, own: Sequence[str], axes: Sequence[str]) -> np.ndarray:
        """An array over its own axes as one over others, of size 1 where it is the same along one."""
        order = sorted(range(len(own)), key=lambda k: axes.index(own[k]))
        shape = [self.sizes[axis] if axis in own else 1 for axis in axes]
        return np.transpose(array, order).reshape(shape)
