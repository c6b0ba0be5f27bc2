"""What a circuit computes, in more digits than any backend has, and by how much rounding may move it.

An interpreter of its own, held against `cortico.backends.reference` by `test_attacks.py`. Every number
carries a scale: when each stored number and each operation is off by a relative ε, the number is off
by about ε times its scale. Scales are per entry, so that a huge number elsewhere hides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cortico.ir import Circuit, Effect, Population, Projection, Weight

#: 64 bits of mantissa, and exponents up to 11,356 before the exponential overflows.
REAL = np.longdouble
_LARGEST_EXPONENT = 11_000.0

#: The unit roundoff of the types that stored numbers may have.
ROUNDOFF = {"float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}

#: Differences of more than so many roundoffs are none of rounding; of fewer than `CLOSE` are.
APART, CLOSE = 64.0, 4.0

Arrays = Mapping[str, np.ndarray]


class Tracked(NamedTuple):
    """Numbers over a batch and named axes, and their scales."""

    value: np.ndarray
    scale: np.ndarray
    axes: tuple[str, ...]


class Run:
    """The rates of a circuit on a batch of inputs at given sizes of its axes."""

    def __init__(
        self,
        circuit: Circuit,
        sizes: Mapping[str, int],
        given: Arrays,
        kind: type = REAL,
        unit: float = ROUNDOFF["float64"],
    ) -> None:
        self.circuit, self.sizes, self.kind, self.unit = circuit, sizes, kind, unit
        self.letter = {axis: k + 1 for k, axis in enumerate(sizes)}
        self.inputs = {t.name for t in circuit.inputs}
        self.tensors = {name: np.asarray(array, dtype=kind) for name, array in given.items()}
        self.examples = max((len(self.tensors[n]) for n in self.inputs), default=1)
        self.overflowed = np.zeros(self.examples, dtype=bool)
        self._add_formulas()
        self.rates: dict[str, Tracked] = {}
        with np.errstate(all="ignore"):
            for population in circuit.order:
                self.rates[population.name] = self._rate(population)

    def output(self, name: str) -> Tracked:
        """An output with its axes in order."""
        (source,) = (o.source for o in self.circuit.outputs if o.name == name)
        found = self.rates[source.name]
        order = [0, *(1 + found.axes.index(axis) for axis in source.axes)]
        return Tracked(found.value.transpose(order), found.scale.transpose(order), source.axes)

    def _add_formulas(self) -> None:
        side = self._sides()
        for p in self.circuit.parameters:
            if p.formula is None or p.name not in side:
                continue
            argument, shape = self.tensors[p.formula.arguments[0]], side[p.name]
            if p.formula.kind == "rotation":
                angle = np.arange(shape[0])[:, None] * argument
                rows = [np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)]
                self.tensors[p.name] = np.stack(rows, -1).reshape(*angle.shape, 2, 2)
            else:
                away = np.arange(shape[-1]) - np.arange(shape[-2])[:, None]
                self.tensors[p.name] = argument[..., None, None] * away

    def _sides(self) -> dict[str, tuple[int, ...]]:
        """The shape at which each tensor is read."""
        refs = [w.tensor for w in weights_of(self.circuit) if w.tensor]
        return {ref.name: tuple(self.sizes[axis] for axis in ref.axes) for ref in refs}

    def _rate(self, population: Population) -> Tracked:
        shape = (self.examples, *(self.sizes[axis] for axis in population.axes))
        above, below = self._one(shape), self._one(shape)
        for compartment in population.compartments:
            value, scale = self._current(population, compartment.name, shape)
            if compartment.effect is Effect.MULTIPLIES:
                above = _times(above, (value, scale))
            else:
                below = _times(below, (value, scale))
        inside = _inside(population.domain, population.axes, self.sizes)
        value, scale = _quotient(above, below, APART * self.unit)
        # outside its domain a cell does not exist: what would overflow there says nothing
        value, scale = (np.where(inside, part, 0) for part in (value, scale))
        value, scale = self._transferred(population.transfer, value, scale)
        return Tracked(np.where(inside, value, 0), np.where(inside, scale, 0), population.axes)

    def _one(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        return np.ones(shape, dtype=self.kind), np.zeros(shape, dtype=REAL)

    def _current(
        self, population: Population, compartment: str, shape: tuple[int, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        value, scale = np.zeros(shape, dtype=self.kind), np.zeros(shape, dtype=REAL)
        terms = [(None, weight, ()) for weight in population.compartment(compartment).drive]
        terms += [
            (p, p.weight, p.domain)
            for p in self.circuit.projections_onto(population.name, compartment)
        ]
        for projection, weight, domain in terms:
            v, s = self._term(population.axes, projection, weight, domain)
            value, scale = value + v, scale + s
        return value, scale

    def _term(
        self, onto: Sequence[str], projection: Projection | None, weight: Weight, domain: tuple
    ) -> tuple[np.ndarray, np.ndarray]:
        values: list = [np.ones(()), []]
        for bound in domain:
            pair = (bound.left, bound.right)
            values += [_inside((bound,), pair, self.sizes), [self.letter[a] for a in pair]]
        scales = list(values)
        for tracked in self._factors(projection, weight):
            at = [self.letter[a] for a in tracked.axes]
            at = [0, *at] if tracked.value.ndim > len(at) else at
            values += [tracked.value, at]
            scales += [tracked.scale, at]
        missing = [a for a in onto if self.letter[a] not in {k for at in values[1::2] for k in at}]
        for operands in (values, scales):
            for axis in missing:
                operands += [np.ones(self.sizes[axis]), [self.letter[axis]]]
            if not any(0 in at for at in operands[1::2]):
                operands += [np.ones(self.examples), [0]]
        result = [0, *(self.letter[axis] for axis in onto)]
        gain = gain_value(weight, self.sizes)
        return gain * np.einsum(*values, result), abs(gain) * np.einsum(*scales, result)

    def _factors(self, projection: Projection | None, weight: Weight) -> Iterator[Tracked]:
        """The rate and the tensor of a term, with scales whose product is that of the product."""
        if weight.tensor:
            array = self.tensors[weight.tensor.name]
            yield Tracked(array, np.abs(array), weight.tensor.axes)
        if projection:
            pre = self.rates[projection.pre]
            yield Tracked(pre.value, pre.scale + np.abs(pre.value), projection.at or pre.axes)

    def _transferred(
        self, transfer: str, value: np.ndarray, scale: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if transfer == "identity":
            return value, scale
        if transfer == "exp":
            wild = ~(np.abs(value) <= _LARGEST_EXPONENT)
            self.overflowed |= wild.reshape(self.examples, -1).any(axis=1)
            found = np.exp(value)
            known = APART * self.unit * scale < 0.1  # else rounding may do anything
            return found, np.where(known, np.abs(found) * (scale + 1), np.inf)
        if transfer == "relu":
            return np.where(value.real > 0, value, 0), scale
        if transfer == "tanh":
            found = np.tanh(value)
            return found, np.abs(1 - found**2) * scale + np.abs(found)
        found = np.where(value.real < 0, np.nan, np.sqrt(value))
        slope = np.where(found != 0, 0.5 / np.where(found != 0, np.abs(found), 1), np.inf)
        return found, np.where(scale > 0, slope * scale, 0) + np.abs(found)


def _times(one: tuple, other: tuple) -> tuple[np.ndarray, np.ndarray]:
    return one[0] * other[0], np.abs(one[0]) * other[1] + one[1] * np.abs(other[0])


def _quotient(above: tuple, below: tuple, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """`above / below` with x/0 = 0. A divisor that rounding could make zero leaves nothing known."""
    top, bottom = above[0], below[0]
    some = bottom.real != 0  # a complex number is a real one with a step
    safe = np.where(some, bottom, 1)
    value = np.where(some, top / safe, 0)
    scale = above[1] / np.abs(safe) + np.abs(top) * below[1] / np.abs(safe) ** 2
    shaky = np.abs(bottom) <= unit * below[1]
    return value, np.where(shaky & (below[1] > 0), np.inf, np.where(some, scale, 0))


def _inside(domain: tuple, axes: Sequence[str], sizes: Mapping[str, int]) -> np.ndarray:
    """1 where the bounds hold, over `axes`."""
    inside = np.ones([sizes[a] for a in axes])
    at = dict(zip(axes, np.indices(inside.shape), strict=True))
    for bound in domain:
        inside = inside * (at[bound.left] - at[bound.right] <= bound.offset)
    return inside


def gain_value(weight: Weight, sizes: Mapping[str, int]) -> np.longdouble:
    value = REAL(weight.gain.coefficient)
    for axis, power in weight.gain.sizes:
        exponent = REAL(power.numerator) / REAL(power.denominator)
        value = value * REAL(sizes[axis]) ** exponent
    return value


def weights_of(circuit: Circuit) -> list[Weight]:
    """All weights of a circuit, of drives and of synapses."""
    driven = [w for p in circuit.populations for c in p.compartments for w in c.drive]
    return driven + [p.weight for p in circuit.projections]
