"""What a circuit computes, in more digits than any backend has, and by how much rounding may move it.

An interpreter of its own, held against `cortico.backends.reference` by `test_attacks.py`. Every number
carries a scale: when each stored number and each operation is off by a relative ε, the number is off
by about ε times its scale. Scales are per entry, so that a huge number elsewhere hides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cortico.ir import Circuit, Effect, InputKind, Population, Projection, Weight

#: 64 bits of mantissa, and exponents up to 11,356 before the exponential overflows.
REAL = np.longdouble
_OWN = 2.0**-64
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
            yield Tracked(pre.value, pre.scale + np.abs(pre.value), pre.axes)

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


# ---- two circuits --------------------------------------------------------------------------------


class Apart(NamedTuple):
    """How many roundoffs two circuits are apart at most, and where. NaN: nothing could be compared."""

    roundoffs: float
    where: str
    unit: float = ROUNDOFF["float64"]  #: the relative roundoff
    covered: float = 1.0  #: the least part of the entries that could be compared at any sizes

    @property
    def differs(self) -> bool:
        return self.roundoffs > APART

    @property
    def agrees(self) -> bool:
        """Whether rounding stored numbers once or twice explains it, everywhere."""
        return self.roundoffs <= CLOSE and self.covered > 0.9

    @property
    def is_same(self) -> bool:
        """Whether it is the same but for the roundoff of float64, whatever the type of the numbers."""
        return self.agrees and self.roundoffs * self.unit <= CLOSE * ROUNDOFF["float64"]

    def worse(self, other: Apart) -> Apart:
        """The larger of two differences; of both, what was compared less."""
        found = self if np.isnan(other.roundoffs) or self.roundoffs >= other.roundoffs else other
        return found._replace(covered=min(self.covered, other.covered))


def apart(before: Circuit, after: Circuit, seed: int) -> Apart:
    """The largest difference of two circuits that should compute the same, on telling inputs."""
    rng, unit = np.random.default_rng(seed), roundoff(before, after)
    parameters = drawn_parameters(before, rng)
    found = Apart(np.nan, "", unit)
    for symbols in _token_counts(before, after, rng):
        inputs = drawn_inputs(before, symbols, rng)
        found = found.worse(_apart_at(before, after, symbols, inputs, parameters, unit))
        if found.differs:
            break
    return found


def roundoff(before: Circuit, after: Circuit) -> float:
    """The roundoff of the coarsest stored type if `after` has new numbers, else that of float64."""
    old = [p.values for p in before.parameters if p.values is not None]
    known = {(a.dtype.name, a.tobytes()) for a in old}
    arrays = [p.values for p in after.parameters if p.values is not None]
    if all((a.dtype.name, a.tobytes()) in known for a in arrays):
        return ROUNDOFF["float64"]
    return max((ROUNDOFF[a.dtype.name] for a in old), default=ROUNDOFF["float64"])


def _token_counts(
    before: Circuit, after: Circuit, rng: np.random.Generator
) -> Iterator[dict[str, int]]:
    """Sizes of symbols: small, coprime, and larger than any offset of a bound or size of an axis."""
    symbols = before.symbols
    if not symbols:
        yield {}
        return
    offsets = [
        abs(b.offset)
        for c in (before, after)
        for d in (*c.populations, *c.projections)
        for b in d.domain
    ]
    extents = [a.extent for a in before.axes if isinstance(a.extent, int)]
    large = max([2, *(o for o in offsets if o < 12), *extents]) + 2
    for first in (3, large, 1):
        yield {symbol: first + k for k, symbol in enumerate(symbols)}
        if first == large and len(symbols) > 1:
            yield {symbol: first - k for k, symbol in enumerate(symbols)}


def drawn_parameters(circuit: Circuit, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Numbers for parameters that have none. Symbolic sides get theirs when the sizes are known."""
    plain = [p for p in circuit.parameters if p.values is None and p.formula is None]
    return {
        p.name: rng.standard_normal([3 if isinstance(s, str) else s for s in p.shape])
        for p in plain
    }


def drawn_inputs(
    circuit: Circuit, symbols: Mapping[str, int], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """A batch of six telling examples for each input, exact in float64."""
    inputs = {}
    for tensor in circuit.inputs:
        shape = [symbols[s] if isinstance(s, str) else s for s in tensor.shape]
        draw = _masks if tensor.kind is InputKind.MASK else _rates
        inputs[tensor.name] = draw(rng, shape)
    return inputs


def _rates(rng: np.random.Generator, shape: list[int]) -> np.ndarray:
    """Normal, small, large, sparse, one feature only, one token only."""
    batch = rng.standard_normal((6, *shape))
    batch[1] *= 2.0 ** -rng.choice([3, 10, 50])
    batch[2] *= 4.0
    batch[3] *= rng.random(shape) < 0.4
    if shape:
        batch[4] *= np.arange(shape[-1]) == rng.integers(shape[-1])
        here = np.arange(shape[0]) == rng.integers(shape[0])
        batch[5] *= here.reshape(-1, *[1] * (len(shape) - 1))
    return batch


def _masks(rng: np.random.Generator, shape: list[int]) -> np.ndarray:
    """All, random, random, none, the first only, all but the last."""
    batch = (rng.random((6, *shape)) < 0.6).astype(float)
    batch[0], batch[3], batch[4], batch[5] = 1, 0, 0, 1
    batch[4].reshape(-1)[:1] = 1
    batch[5].reshape(-1)[-1:] = 0
    return batch


def _apart_at(
    before: Circuit,
    after: Circuit,
    symbols: Mapping[str, int],
    inputs: Arrays,
    parameters: Arrays,
    unit: float,
) -> Apart:
    given = _given(before, inputs, parameters, symbols)
    old = Run(before, before.sizes(symbols), given, unit=unit)
    try:
        bound = accepted(after, inputs)
        new = Run(after, after.sizes(bound), _given(after, inputs, parameters, bound))
        pairs = {o.name: (old.output(o.name), new.output(o.name)) for o in before.outputs}
    except (ValueError, KeyError) as error:
        return Apart(np.inf, f"not even the same inputs and outputs: {error} at {dict(symbols)}")
    fine = ~(old.overflowed | new.overflowed)
    found = Apart(np.nan, "", unit)
    for name, (one, other) in pairs.items():
        if one.value.shape != other.value.shape:
            sides = f"{one.value.shape[1:]} and {other.value.shape[1:]}"
            return Apart(np.inf, f"{name} has shapes {sides} at {dict(symbols)}", unit)
        found = found.worse(compared(name, one, other, fine, unit, dict(symbols)))
    return found


def compared(
    name: str,
    one: Tracked,
    other: Tracked,
    fine: np.ndarray,
    unit: float,
    sizes: Mapping[str, int],
) -> Apart:
    """The largest difference of comparable entries of two outputs, in roundoffs of the first."""
    shape = (-1, *[1] * (one.value.ndim - 1))
    usable = fine.reshape(shape) & np.isfinite(one.value) & np.isfinite(other.value)
    usable = usable & np.isfinite(one.scale)
    covered = float(usable.mean())
    if not usable.any():
        return Apart(np.nan, "", unit, covered)
    difference = np.where(usable, np.abs(one.value - other.value), 0)
    # what computing the others here loses is no difference
    tolerance = np.where(usable, unit * one.scale + _OWN * other.scale, 1)
    inf = np.where(difference > 0, np.inf, 0).astype(REAL)
    ratio = np.divide(difference, tolerance, out=inf, where=tolerance > 0)
    at = tuple(int(k) for k in np.unravel_index(int(ratio.argmax()), ratio.shape))
    numbers = f"{one.value[at]:.9g} and {other.value[at]:.9g}"
    where = f"{name}{list(at[1:])} is {numbers}, {ratio[at]:.3g} roundoffs apart, at {dict(sizes)}"
    return Apart(float(ratio[at]), where, unit, covered)


def _given(
    circuit: Circuit, inputs: Arrays, parameters: Arrays, symbols: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """Inputs, and numbers of all plain parameters; any numbers for those that only a pass knows of."""
    rng = np.random.default_rng(0)
    given = {t.name: inputs[t.name] for t in circuit.inputs}
    for p in circuit.parameters:
        if p.formula is None:
            shape = [symbols[s] if isinstance(s, str) else s for s in p.shape]
            known = parameters.get(p.name, p.values) if p.values is None else p.values
            given[p.name] = rng.standard_normal(shape) if known is None else known
    return given


def accepted(circuit: Circuit, inputs: Arrays) -> dict[str, int]:
    """The sizes of the symbols of a circuit that is given these inputs. ValueError if it refuses."""
    names = {t.name for t in circuit.inputs}
    if names != set(inputs):
        raise ValueError(f"inputs {sorted(names)}, not {sorted(inputs)}")
    symbols: dict[str, int] = {}
    for tensor in circuit.inputs:
        shape = inputs[tensor.name].shape[1:]
        if len(shape) != len(tensor.shape):
            raise ValueError(f"{tensor.name} has {len(tensor.shape)} sides, not {len(shape)}")
        for side, size in zip(tensor.shape, shape, strict=True):
            if (symbols.setdefault(side, size) if isinstance(side, str) else side) != size:
                raise ValueError(f"{tensor.name} has shape {tensor.shape}, not {shape}")
    return symbols
