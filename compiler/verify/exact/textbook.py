"""The textbook's equations entry by entry: over SymPy expressions, or any ring of exact numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

from cortico.ir import Gain
from cortico.spec.wiring import Block
from cortico.verify.equations.arrays import Factor, all_axes, spread
from cortico.verify.equations.evaluate import Evaluation, at_positions
from cortico.verify.equations.reference import Textbook, book
from cortico.verify.exact.ring import Number, Ring

Arrays = Mapping[str, np.ndarray]


def textbook(spec: Block, weights: Arrays, inputs: Arrays, ring: Ring) -> np.ndarray:
    """The output y, numbers of `ring`: of attention (tokens, output features).

    `weights` are the spec's, rotary frequencies among them where it has some, `inputs` its inputs: arrays
    of anything that the ring can read. All sizes are those of the arrays.
    """
    page = book(spec)
    given = {
        n: page.arranged(n, a) for n, a in (*weights.items(), *inputs.items()) if n in page.given()
    }
    if isinstance(page, Textbook) and page.spec.rotary:
        given["frequencies"] = page.frequencies(weights["rotary_frequencies"])
    sizes = {sort: extent for sort, extent in page.extents().items() if isinstance(extent, int)}
    for name, array in given.items():
        sizes.update(zip(page.given()[name], array.shape, strict=True))
    given |= at_positions(page.of_positions(), given, sizes.get("tokens", 0))
    entries = Entries({name: ring.array(array) for name, array in given.items()}, ring)
    return Evaluation(page.equations(), sizes).of("y", entries).array


class Entries:
    """Arithmetic on object arrays of a ring's numbers."""

    def __init__(self, given: Arrays, ring: Ring) -> None:
        self._given, self._ring = given, ring

    @property
    def exponents(self) -> Entries:
        return self

    def number(self, value: Fraction) -> Factor:
        """A decimal stands for the float that a circuit has as its gain."""
        return Factor(self._ring.array(np.array(float(value))), ())

    def power(self, size: int, exponent: Fraction) -> Factor:
        found = np.empty((), object)
        gain = self._ring.gain(Gain(sizes=(("size", exponent),)), {"size": size})
        found[()] = Number(self._ring, gain)
        return Factor(found, ())

    def whole(self, numbers: np.ndarray, axes: tuple[str, str]) -> Factor:
        return Factor(self._ring.array(numbers), axes)

    def given(self, tensor: str, axes: tuple[str, ...]) -> Factor:
        return Factor(self._given[tensor], axes)

    def turns(self, frequencies: str, tokens: int) -> tuple[np.ndarray, np.ndarray]:
        angles = np.multiply.outer(np.arange(tokens).astype(object), self._given[frequencies])
        return self._applied("cos", angles), self._applied("sin", angles)

    def contract(self, factors: Sequence[Factor], gone: Mapping[str, int]) -> Factor:
        left = tuple(axis for axis in all_axes(factors) if axis not in gone)
        product = self._ring.array(np.ones((1,) * len(left) + tuple(gone.values()), int))
        for factor in factors:
            product = product * spread(factor, (*left, *gone))
        last = tuple(range(len(left), product.ndim))
        return Factor(np.asarray(product.sum(axis=last), object), left)

    def add(self, terms: Sequence[Factor]) -> Factor:
        axes = all_axes(terms)
        total = self._ring.array(np.zeros(()))
        for term in terms:
            total = np.asarray(total + spread(term, axes), object)
        return Factor(total, axes)

    def apply(self, function: str, argument: Factor) -> Factor:
        return argument._replace(array=self._applied(function, argument.array))

    def _applied(self, function: str, array: np.ndarray) -> np.ndarray:
        ring = self._ring

        def apply(x: Number) -> Number:
            if function == "inverse":
                return ring.number(0) if x == 0 else 1 / x
            return ring.apply(function, x)

        return np.asarray(np.frompyfunc(apply, 1, 1)(array), object)
