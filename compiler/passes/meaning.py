"""Whether two circuits compute the same, compared on random inputs to a tolerance.

An output entry is judged beside the entries of its own feature, and by the rounding that it is seen to
suffer: a large number elsewhere excuses nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cortico.backends import get_runner
from cortico.backends.clock import fitting_step
from cortico.backends.trajectory import run_in_time
from cortico.ir import Circuit, Input, InputKind, PassError
from cortico.ir.analysis.inputs import within_tables
from cortico.ir.circuit import resolve
from cortico.ir.rewrite import domains_of
from cortico.ir.tensors import Shape

Arrays = dict[str, np.ndarray]

#: Neurons up to which a circuit is run at sizes larger than its largest constant.
_MOST_NEURONS = 1_000_000

#: Factors of random inputs: the first at which no output overflows is taken.
_SCALES = (1.0, 1e-2, 1e-4)

#: Ms of what circuits that live in time do, which is compared all along.
_DURATION = 50.0

#: Inputs are moved by this, relative, to see how much rounding an output suffers.
_NUDGE = 2.0**-40

#: An entry may move by so many times what a nudge as large as one rounding would move it.
_ROUNDINGS = 1000 * 2.0**-52 / _NUDGE

#: A change of an output entry by more than this, relative, is no rounding.
_DIFFERENT = 1e-6


def compare_meaning(
    before: Circuit,
    after: Circuit,
    tolerance: float = 1e-12,
    seed: int = 0,
    backend: str = "reference",
) -> None:
    """Raise PassError unless both give the same outputs on random input, entry by entry.

    Symbolic sizes are set to two numbers each that share no factor, larger than any constant of the
    circuit; parameters without values get random ones. `tolerance` is relative to the largest entry of
    the same feature, rounding that a nudge of the inputs shows comes on top. Circuits that live in time are compared
    on their whole way, in the reference interpreter.
    """
    changed = interface_change(before, after)
    if changed is not None:
        raise PassError(f"circuit {before.name!r} is used in another way: {changed}")
    for symbols in _sizes(before, after):
        error, _ = _Trial(before, after, symbols, seed, backend).differences()
        if error > tolerance:
            raise PassError(
                f"circuit {before.name!r} changed its output by {error:.2e} (relative), "
                f"more than {tolerance:.0e}{_at(symbols)}"
            )


class Change(NamedTuple):
    """What running two circuits has shown: in words that they differ, if they do, and by how much they moved.

    `moved` is the most of any output entry, beside the largest of its feature, rounding with it.
    """

    words: str | None
    moved: float = 0.0


def seen_change(before: Circuit, after: Circuit) -> Change:
    """How the outputs of two circuits differ on random inputs, as far as rounding does not explain it.

    Outputs of another shape differ; inputs of another kind are no proof, they may be used alike.
    """
    changed = interface_change(before, after)
    if _interface(before)[1] != _interface(after)[1]:
        return Change(changed)
    if changed is not None or _symbolic(after) - _symbolic(before):
        return Change(None)
    moved = 0.0
    for symbols in _sizes(before, after):
        error, apart = _Trial(before, after, symbols, 0, "reference").differences()
        moved = max(moved, apart)
        if error > _DIFFERENT:
            differ = f"on random inputs the outputs differ by {error:.2e} (relative)"
            return Change(f"{differ}{_at(symbols)}", moved)
    return Change(None, moved)


def relative_difference(
    before: Circuit, after: Circuit, seed: int = 0, backend: str = "reference"
) -> float:
    """The largest difference of any output on random inputs, relative to the largest of all outputs.

    For changes that are meant, such as those of approximate passes.
    """
    return _Trial(before, after, _sizes(before, after)[0], seed, backend).largest_difference()


def interface_change(before: Circuit, after: Circuit) -> str | None:
    """How inputs or outputs of `after` differ from those of `before`; None where they are the same."""
    for noun, mine, theirs in zip(
        ("input", "output"), _interface(before), _interface(after), strict=True
    ):
        for name in (*mine, *(other for other in theirs if other not in mine)):
            if mine.get(name) != theirs.get(name):
                was, now = (side.get(name, "missing") for side in (mine, theirs))
                return f"{noun} {name!r} is {was} before and {now} after"
    return None


def _interface(circuit: Circuit) -> tuple[dict[str, str], dict[str, str]]:
    """The kinds and shapes of inputs and of outputs by name, in words."""
    inputs = {t.name: f"{t.kind} {_shape(t.shape)}" for t in circuit.inputs}
    outputs = {
        o.name: _shape(tuple(circuit.axis(axis).extent for axis in o.source.axes))
        for o in circuit.outputs
    }
    return inputs, outputs


def _shape(sides: Shape) -> str:
    return f"({', '.join(map(str, sides))})"


def _symbolic(circuit: Circuit) -> set[tuple[str, Shape]]:
    """The parameters whose numbers are given at run time."""
    return {(p.name, p.shape) for p in circuit.parameters if p.values is None and p.formula is None}


# ---- sizes ---------------------------------------------------------------------------------------


def _symbols(circuit: Circuit) -> tuple[str, ...]:
    """The symbols of axes, and of sides of tensors that no axis has."""
    shapes = [*(t.shape for t in circuit.inputs), *(p.shape for p in circuit.parameters)]
    sides = itertools.chain.from_iterable(shapes)
    return tuple(dict.fromkeys((*circuit.symbols, *(s for s in sides if isinstance(s, str)))))


def _sizes(before: Circuit, after: Circuit) -> list[dict[str, int]]:
    """Numbers for the symbols, twice: all primes, larger than the constants of both circuits.

    Than the bounds alone where that makes too many neurons, and than nothing where that does.
    """
    symbols = _symbols(before)
    if not symbols:
        return [{}]
    from sympy import isprime  # here, so that passes stay quick to import

    bounds, extents = _constants(before, after)
    for least in (max(bounds | extents), max(bounds), 4):
        primes = (n for n in itertools.count(max(least, 4) + 1) if isprime(n) and n not in extents)
        found = [dict(zip(symbols, primes, strict=False)) for _ in range(2)]
        if max(_neurons(before, sizes) for sizes in found) <= _MOST_NEURONS:
            break
    return [within_tables(after, within_tables(before, sizes)) for sizes in found]


def _constants(*circuits: Circuit) -> tuple[set[int], set[int]]:
    """How far the bounds of circuits reach, and the sizes of axes that are numbers."""
    bounds, extents = {0}, {0}
    for circuit in circuits:
        bounds |= {abs(bound.offset) for domain in domains_of(circuit) for bound in domain}
        extents |= {axis.extent for axis in circuit.axes if isinstance(axis.extent, int)}
    return bounds, extents


def _neurons(circuit: Circuit, symbols: Mapping[str, int]) -> int:
    return int(circuit.bind(**{s: symbols[s] for s in circuit.symbols}).counts().neurons)


def _at(symbols: Mapping[str, int]) -> str:
    return "".join(f" at {symbol} = {size}" for symbol, size in symbols.items())


# ---- numbers -------------------------------------------------------------------------------------


class _Trial:
    """Two circuits run on random inputs, the first of `_SCALES` at which no output overflows.

    Entries that overflow in either are left out of all differences: no real number is known of them.
    """

    def __init__(
        self, before: Circuit, after: Circuit, symbols: Mapping[str, int], seed: int, backend: str
    ) -> None:
        self._before, self._backend = before, backend
        self._rng = rng = np.random.default_rng(seed)
        inputs = {tensor.name: _draw(tensor, symbols, rng) for tensor in before.inputs}
        self._given = {
            p.name: rng.standard_normal([resolve(side, symbols) for side in p.shape])
            for p in before.parameters
            if p.values is None and p.formula is None
        }
        for scale in _SCALES:
            self._inputs = {n: scale * a if a.dtype.kind == "f" else a for n, a in inputs.items()}
            self.first, self.second = (self._run(c, self._inputs) for c in (before, after))
            if all(np.isfinite(a).all() for a in (*self.first.values(), *self.second.values())):
                break

    def _run(self, circuit: Circuit, inputs: Arrays) -> Arrays:
        names = {p.name for p in circuit.parameters}
        mine = {name: array for name, array in self._given.items() if name in names}
        with np.errstate(all="ignore"):
            if circuit.lives_in_time:
                dt = fitting_step(circuit)
                return run_in_time(circuit, inputs, mine, duration=_DURATION, dt=dt).outputs
            return get_runner(self._backend).run(circuit, inputs, mine)

    def differences(self) -> tuple[float, float]:
        """The most that an entry differs beside the largest of its feature: beyond rounding, and in all."""
        entries, moved = self._entries(), self._nudged()
        usual = float(np.median(entries)) if entries.size else 0.0
        errors, moves = [0.0], [0.0]
        for name, array in self.first.items():
            with np.errstate(all="ignore"):
                apart, noise = np.abs(array - self.second[name]), np.abs(array - moved[name])
                # some outputs are nothing but rounding, such as the gradient of a key's bias under softmax
                scale = np.maximum(_of_feature(np.abs(array)), usual)
                scale = np.where(scale > 0, scale, 1.0)
                errors.append(_largest((apart - _ROUNDINGS * _of_feature(noise)) / scale))
                moves.append(_largest(apart / scale))
        return max(errors), max(moves)

    def largest_difference(self) -> float:
        """The most that an entry differs beside the largest of all."""
        with np.errstate(all="ignore"):
            apart = (_largest(np.abs(a - self.second[name])) for name, a in self.first.items())
            return max(apart, default=0.0) / float(self._entries().max(initial=0.0) or 1.0)

    def _nudged(self) -> Arrays:
        """What the first circuit gives on inputs that are moved a little."""
        nudges = {
            n: 1 + _NUDGE * self._rng.standard_normal(a.shape)
            for n, a in self._inputs.items()
            if a.dtype.kind == "f"
        }
        inputs = {n: a * nudges[n] if n in nudges else a for n, a in self._inputs.items()}
        return self._run(self._before, inputs)

    def _entries(self) -> np.ndarray:
        """The finite magnitudes of the first circuit's outputs that are not zero."""
        entries = np.concatenate([np.abs(array).ravel() for array in self.first.values()])
        return np.asarray(entries[np.isfinite(entries) & (entries > 0)])


def _largest(entries: np.ndarray) -> float:
    return float(np.max(entries, initial=0.0, where=np.isfinite(entries)))


def _of_feature(entries: np.ndarray) -> np.ndarray:
    """The largest of all entries that have the same last index."""
    others = tuple(range(max(entries.ndim - 1, 0)))
    return np.asarray(entries.max(axis=others, keepdims=True, initial=0.0))


def _draw(tensor: Input, symbols: Mapping[str, int], rng: np.random.Generator) -> np.ndarray:
    shape = [resolve(side, symbols) for side in tensor.given]
    if tensor.kind is InputKind.TOKEN:
        return rng.integers(0, resolve(tensor.shape[-1], symbols), shape)
    if tensor.kind is InputKind.MASK:
        # something exists and something does not: under a causal mask the first query sees nothing
        live = rng.random(shape) < 0.7
        live.reshape(-1)[:1], live.reshape(-1)[1:2] = False, True
        return live
    return rng.standard_normal(shape)
