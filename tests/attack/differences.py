"""How far apart the outputs of two circuits are, in units of what rounding explains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from cortico.ir import Circuit, InputKind
from tests.attack.oracle import APART, CLOSE, REAL, ROUNDOFF, Arrays, Run, Tracked

#: Roundoff of the interpreter itself.
_OWN = 2.0**-64


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
    usable = usable & np.isfinite(one.scale) & np.isfinite(other.scale)
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
