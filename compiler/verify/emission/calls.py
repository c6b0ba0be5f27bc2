"""Every way in which users call an emitted NumPy file, in floats, beside the reference interpreter.

What exact numbers cannot show is seen here: float32, threads, weights from the file and packed ones, memory
that is kept, sizes past every tile and chunk, exponents that overflow, one token at a time. The text that
runs is the emitted one with a mark in every branch, so that a branch that no call took is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from cortico.ir import Circuit, CorticoError, InputKind, Role, UnsupportedError
from cortico.ir.analysis.inputs import as_rates
from cortico.ir.circuit import resolve
from cortico.verify.emission.coverage import Branches
from cortico.verify.emission.decimals import Decimals
from cortico.verify.emission.file import Arrays, EmittedFile, fixed
from cortico.verify.exact.circuit import exact_outputs, operations
from cortico.verify.exact.numpy_code import on_ranks

#: Largest difference, relative to the largest number of an output.
TOLERANCE = {"float64": 1e-9, "float32": 5e-4}

#: Below, the reference divides numbers that have lost digits, or are 0; emitted code shifts exponents.
_LEAST_EXPONENTIAL = 1e-250

#: Examples of a call with several batch axes.
_BATCH = (2, 3)

#: Multiplications of decimals, in all, up to which exponents that overflow are tried.
_MOST_DECIMALS = 60_000

#: Numbers of an input from which on emitted code starts threads.
_THREADED = 2**18

#: Tiles, chunks and inputs so small that few tokens take several of them.
_SMALL_TILES = {"TILE": (2, 3), "TOGETHER": 5, "CHUNK": 2, "SMALL": 0}


@dataclass(frozen=True)
class CallsResult:
    """What all calls have shown."""

    difference: str | None
    calls: int
    error: float  #: largest of the float64 calls, relative
    tokens: int  #: the most in one call
    rates: float  #: the largest scale of inputs; from 40 on exponentials overflow
    unreached: tuple[int, ...] = ()  #: lines with branches that no call took


class _Found(NamedTuple):
    """What a call gave, and what it should have given."""

    what: str
    outputs: Arrays
    expected: Arrays
    dtype: str = "float64"


def check_calls(circuit: Circuit, text: str, seed: int = 0) -> CallsResult:
    """Call emitted `text`, which this process made of `circuit`, in every way that users do.

    UnsupportedError when there is nothing to compare with.
    """
    branches = Branches(text)
    with TemporaryDirectory() as folder, np.errstate(all="ignore"):
        calls = _Calls(circuit, branches, Path(folder), seed)
        return calls.result()


class _Calls(EmittedFile):
    rates = 8.0  #: the largest scale of inputs so far
    # ---- all calls ---------------------------------------------------------------------------------

    def result(self) -> CallsResult:
        """All calls up to the first that is wrong."""
        count, worst = 0, 0.0
        try:
            for found in self.all():
                count += 1
                error = _error(found)
                if not error <= TOLERANCE[found.dtype]:
                    return self._wrong(f"{found.what}, the code differs by {error:.1e}", count)
                worst = max(worst, error if found.dtype == "float64" else 0.0)
        except CorticoError:
            raise
        except Exception as error:
            return self._wrong(f"the code stops with {type(error).__name__}: {error}", count)
        unreached = tuple(self.branches.missing)
        return CallsResult(None, count, worst, self._most_tokens(), self.rates, unreached)

    def _wrong(self, difference: str, count: int) -> CallsResult:
        return CallsResult(difference, count, math.nan, self._most_tokens(), self.rates)

    def _most_tokens(self) -> int:
        """The largest extent along which tokens lie."""
        columns = [axis.extent for axis in self.circuit.axes if axis.role is Role.COLUMN]
        return max((resolve(extent, self.many) for extent in columns), default=1)

    def all(self) -> Iterator[_Found]:
        inputs = self.inputs(self.few, _BATCH)
        expected = self.expected(inputs)
        yield from self._batches(inputs, expected)
        yield from self._gates(inputs)
        yield from self._types(inputs, expected)
        yield from self._in_small_tiles(inputs, expected)
        yield from self._of_weights(inputs, expected)
        yield from self._ranks(inputs, expected)
        yield from self._one_token()
        yield from self._many_tokens()
        yield from self._many_examples()
        yield from self._large_rates()
        yield from self._steps()
        if self.stored:
            for kind in ("float16", "float32", "float64"):
                self.load(kind)
                stored = {p.name: p.values for p in self.kept.parameters if p.values is not None}
                wanted = self.expected(inputs, stored)
                found = self.call(inputs, weights=None)
                yield _Found(f"with {kind} weights on disk", found, wanted, self._with(kind))

    def _rates(self) -> list[str]:
        return [t.name for t in self.circuit.inputs if t.kind is InputKind.RATE]

    def _single(self, inputs: Arrays) -> Arrays:
        """The inputs with rates in float32."""
        rates = self._rates()
        return {name: a.astype("f4") if name in rates else a for name, a in inputs.items()}

    def _with(self, kind: str) -> str:
        """The precision of a call with float64 rates and weights of a kind: without rates, these decide."""
        return "float64" if self._rates() or kind == "float64" else "float32"

    def _single_weights(self) -> Arrays:
        """The weights of a call in float32."""
        if self._rates():
            return self.weights
        return {name: array.astype("f4") for name, array in self.weights.items()}

    def _call_single(self, inputs: Arrays, **options: Any) -> Arrays:
        """A call in float32."""
        return self.call(inputs, weights=self._single_weights(), **options)

    def _scaled(self, inputs: Arrays, scale: float) -> Arrays:
        """The inputs with larger rates."""
        rates = self._rates()
        return {name: scale * a if name in rates else a for name, a in inputs.items()}

    def _batches(self, inputs: Arrays, expected: Arrays) -> Iterator[_Found]:
        for place in ((), (0,), (1, 2), (slice(None), 1), (1, slice(1))):
            some = {name: array[place] for name, array in inputs.items()}
            wanted = {name: array[place] for name, array in expected.items()}
            shape = next(iter(some.values())).shape[: 2 - sum(isinstance(k, int) for k in place)]
            yield _Found(f"with batch {shape}", self.call(some), wanted)

    def _gates(self, inputs: Arrays) -> Iterator[_Found]:
        """0/1 inputs that are absent, of other types, or of another batch than the rates."""
        gates = [t.name for t in self.circuit.inputs if t.kind is InputKind.MASK]
        for name in gates:
            rest = {other: a for other, a in inputs.items() if other != name}
            yield _Found(f"without {name}", self.call(rest), self.expected(rest))
            numbers = {**inputs, name: inputs[name] * 1.0}
            yield _Found(f"with {name} of numbers", self.call(numbers), self.expected(inputs))
        for name in inputs if len(inputs) > 1 else ():
            one = {**inputs, name: inputs[name][1, 1]}
            full = {**inputs, name: np.broadcast_to(inputs[name][1, 1], inputs[name].shape)}
            yield _Found(f"with one {name} for all", self.call(one), self.expected(full))

    def _types(self, inputs: Arrays, expected: Arrays) -> Iterator[_Found]:
        single = {n: fixed(a) for n, a in self._single(inputs).items()}
        yield _Found("in float32", self._call_single(single), expected, "float32")
        one = {name: array[0, 1] for name, array in single.items()}
        wanted = {name: array[0, 1] for name, array in expected.items()}
        yield _Found("in float32 without batch", self._call_single(one), wanted, "float32")
        lists = {name: array.tolist() for name, array in inputs.items()}
        yield _Found("with lists", self.call(lists), expected)
        rates = self._rates()
        for name in rates if len(rates) > 1 else ():
            mixed = {**inputs, name: single[name]}
            yield _Found(f"with {name} in float32", self.call(mixed), self.expected(mixed))
        whole = {n: np.rint(2 * a).astype(int) if n in rates else a for n, a in inputs.items()}
        yield _Found("with whole numbers", self.call(whole), self.expected(whole))

    def _in_small_tiles(self, inputs: Arrays, expected: Arrays) -> Iterator[_Found]:
        """Several tiles of few tokens, on several threads, in memory that is kept."""
        before = dict(self.space)
        self.space.update({n: v for n, v in _SMALL_TILES.items() if n in before})
        work: dict[Any, Any] = {}
        fewer = {name: array[1, 1] for name, array in inputs.items()}
        wanted = {name: array[1, 1] for name, array in expected.items()}
        single = self._single(inputs)
        kept = self.call(fewer, threads=2, work=work)
        first = self.call(inputs, threads=2, work=work)
        for threads in (1, 2, 3, None):
            what = f"in small tiles on {threads or 'as many as there are'} threads"
            yield _Found(what, self.call(inputs, threads=threads, work=work), expected)
        yield _Found("in memory of a larger call", self.call(fewer, threads=1, work=work), wanted)
        found = self._call_single(single, threads=2, work=work)
        yield _Found("in memory of another type", found, expected, "float32")
        found = self.call(inputs, threads=1, work=work)
        yield _Found("in memory of another type", found, expected)
        yield _Found("of a result after later calls", kept, wanted)
        yield _Found("of a result after later calls", first, expected)
        if "blas" in before:
            self.space["blas"] = lambda: None
            for threads in (2, None):
                found = self.call(inputs, threads=threads)
                yield _Found("in small tiles without threadpoolctl", found, expected)
        self.space.update(before)

    def _of_weights(self, inputs: Arrays, expected: Arrays) -> Iterator[_Found]:
        if self.stored:
            yield _Found("with weights from the file", self.call(inputs, weights=None), expected)
            yield _Found("with them once more", self.call(inputs, weights=None), expected)
        if "pack" in self.space:
            packed = self.space["pack"](self.weights, np.float64)
            yield _Found("with packed weights", self.call(inputs, weights=packed), expected)
            single = self._single(inputs)
            packed = self.space["pack"](self.weights, np.float32)
            found = self.call(single, weights=packed)
            yield _Found("with packed weights in float32", found, expected, "float32")
        half = {name: array.astype("f2") for name, array in self.weights.items()}
        wanted = self.expected(inputs, {n: a.astype("f8") for n, a in half.items()})
        found = self.call(inputs, weights=half)
        yield _Found("with float16 weights", found, wanted, self._with("float16"))
        double = {name: 2 * array for name, array in self.weights.items()}
        found = self.call(inputs, weights=double)
        yield _Found("with other weights", found, self.expected(inputs, double))

    def _ranks(self, inputs: Arrays, expected: Arrays) -> Iterator[_Found]:
        if "comm" not in self.takes:
            return
        given = {self.names[name]: array for name, array in inputs.items()}
        for ranks in (1, 2, 3, 5):
            found = on_ranks(ranks, self.space["attention"], **given, weights=self.weights)
            yield _Found(f"on {ranks} ranks", self._named(found), expected)

    def _one_token(self) -> Iterator[_Found]:
        """The fewest tokens that there can be, and two."""
        for size in (1, 2) if self.few else ():
            inputs = self.inputs(dict.fromkeys(self.few, size), (2,))
            what = f"with {size} tokens"
            yield _Found(what, self.call(inputs, threads=2), self.expected(inputs))

    def _many_tokens(self) -> Iterator[_Found]:
        if not self.many:
            return
        inputs = self.inputs(self.many, (1,))
        expected = self.expected(inputs)
        at = ", ".join(f"{symbol} = {size}" for symbol, size in self.many.items())
        for options in ({}, {"threads": 2}):
            yield _Found(f"with {at}", self.call(inputs, **options), expected)
        one = {name: array[0] for name, array in inputs.items()}
        wanted = {name: array[0] for name, array in expected.items()}
        yield _Found(f"without batch, with {at}", self.call(one, threads=1), wanted)

    def _many_examples(self) -> Iterator[_Found]:
        """So many examples that the work is shared by threads."""
        inputs = self.inputs(self.times(6), (2,))
        expected = self.expected(inputs)
        largest = max((inputs[name].size for name in self._rates()), default=1)
        copies = -(-_THREADED // largest)

        def often(array: np.ndarray) -> np.ndarray:
            return np.concatenate([array] * copies)

        single = {n: often(a) for n, a in self._single(inputs).items()}
        wanted = {name: often(array) for name, array in expected.items()}
        yield _Found(f"with {2 * copies} examples", self._call_single(single), wanted, "float32")

    def _large_rates(self) -> Iterator[_Found]:
        """Rates whose exponentials no float holds, beside numbers that do not overflow."""
        inputs = self.inputs(self.few, _BATCH)
        for scale in (4.0, 6.0, 8.0):
            large = self._scaled(inputs, scale)
            expected = self.expected(large)
            finite = all(np.isfinite(array).all() for array in expected.values())
            if finite and self.least_exponential(large) > _LEAST_EXPONENTIAL:
                single = self._single(large)
                what = f"with rates of {scale:.0f}"
                yield _Found(what, self.call(large), expected)
                yield _Found(f"{what} in float32", self._call_single(single), expected, "float32")
        yield from self._overflowing(self.weights, "")
        if self.branches.missing:  # norms take the size of rates away, not that of their gains
            larger = {name: self.rates * array for name, array in self.weights.items()}
            yield from self._overflowing(larger, " and weights")

    def _overflowing(self, weights: Arrays, also: str) -> Iterator[_Found]:
        """Exponentials that overflow and that all vanish: of several tokens, and of one and of two."""
        for size in (1, 2, None):
            symbols = self.few if size is None else dict.fromkeys(self.few, size)
            count = _MOST_DECIMALS // operations(self.circuit, symbols)
            if not count or (size is not None and not self.few):
                continue
            self.rates = 40.0
            inputs = self.inputs(symbols, (min(count, 6),))
            large = self._scaled(inputs, self.rates)
            expected = self._decimal_outputs(large, weights, symbols)
            what = f"with rates{also} of {self.rates:.0f} and {symbols}"
            yield _Found(what, self.call(large, weights=weights), expected)

    def _decimal_outputs(
        self, inputs: Arrays, weights: Arrays, symbols: Mapping[str, int]
    ) -> Arrays:
        ring, results = Decimals(), []
        weights = {name: ring.array(array) for name, array in weights.items()}
        for example in range(len(next(iter(inputs.values())))):
            one = as_rates(self.circuit, {n: a[example] for n, a in inputs.items()})
            one = {n: ring.array(a.astype(float)) for n, a in one.items()}
            results.append(exact_outputs(self.circuit, {**weights, **one}, symbols, ring))
        return {name: np.stack([_floats(r[name]) for r in results]) for name in results[0]}

    def _steps(self) -> Iterator[_Found]:
        """One token at a time, where the file can."""
        if "step" not in self.space:
            return
        clock = next(a.extent for a in self.circuit.axes if a.role is Role.COLUMN)
        inputs = self.inputs(self.few, (2,))
        expected = self.expected(inputs)
        gates = {t.name for t in self.circuit.inputs if t.kind is InputKind.MASK}
        yield from self._stepwise("one token at a time", clock, inputs, expected)
        one = {name: array[0] for name, array in inputs.items()}
        wanted = {name: array[0] for name, array in expected.items()}
        yield from self._stepwise("one token at a time, without batch", clock, one, wanted)
        single = self._single(one)
        yield from self._stepwise("one float32 token at a time", clock, single, wanted, "float32")
        if gates:
            rest = {name: array for name, array in inputs.items() if name not in gates}
            yield from self._stepwise(
                "one token at a time, all live", clock, rest, self.expected(rest)
            )

    def _stepwise(
        self, what: str, clock: Any, inputs: Arrays, expected: Arrays, dtype: str = "float64"
    ) -> Iterator[_Found]:
        places = {
            t.name: t.given.index(clock) - len(t.given)
            for t in self.circuit.inputs
            if clock in t.given
        }
        state: Any = None
        weights: Any = self.weights if dtype == "float64" else self._single_weights()
        for token in range(resolve(clock, self.few)):
            some = {
                self.names[n]: np.take(a, token, places[n]) if n in places else a
                for n, a in inputs.items()
            }
            if token == 2:
                weights = self.space["pack"](self.weights, np.dtype(dtype).type)
            elif token == 3 and self.stored and (self._rates() or dtype == "float64"):
                weights = None
            state, result = self.space["step"](state, **some, weights=weights)
            wanted = {
                o.name: self._at_token(expected[o.name], o, token) for o in self.circuit.outputs
            }
            yield _Found(what, self._named(result), wanted, dtype)

    def _at_token(self, array: np.ndarray, output: Any, token: int) -> np.ndarray:
        axes = output.source.axes
        clocks = [k for k, a in enumerate(axes) if self.circuit.axis(a).role is Role.COLUMN]
        return np.asarray(np.take(array, token, clocks[0] - len(axes)))


_floats: Callable[[np.ndarray], np.ndarray] = np.vectorize(
    lambda number: float(number.payload), otypes=[float]
)


def _error(found: _Found) -> float:
    """The largest difference, relative to the largest number of its output.

    Infinite for other shapes, other types and numbers that are none.
    """
    worst = 0.0
    for name, wanted in found.expected.items():
        array = found.outputs[name]
        if not np.isfinite(wanted).all():
            raise UnsupportedError(f"output {name} is not finite on random numbers")
        if array.ndim < wanted.ndim:  # what depends on no input has no batch axes
            array = np.broadcast_to(array, wanted.shape)
        fits = array.shape == wanted.shape and array.dtype == found.dtype
        if not fits or not np.isfinite(array).all():
            return math.inf
        largest = float(np.abs(wanted).max()) or 1.0
        worst = max(worst, float(np.abs(array - wanted).max()) / largest)
    return worst
