"""Random circuits on every backend that computes at once, beside the reference interpreter.

The interpreter is what a circuit means. A backend agrees to rounding, or refuses by name.
"""

from __future__ import annotations

import builtins
import keyword
import random
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from cortico.backends import get_backend, require_support
from cortico.backends.arrays import backend as arrays
from cortico.backends.numpy import NumpyBackend
from cortico.backends.reference import ReferenceBackend, interpret
from cortico.ir import Circuit, UnsupportedError
from tests.attack.trial import Trial
from tests.circuit_edits import edited
from tests.random_circuits import from_case, from_scratch, is_valid, numbers
from tests.renaming import renamed

Arrays = Mapping[str, np.ndarray]

#: Backends that are tried in every attempt.
QUICK = ("numpy", "torch")

#: Relative to the largest number of an output. What a change of all numbers by 1e-11 moves further than
#: this is not compared: beside a divisor near zero, rounding decides.
TOLERANCE = 1e-7

_LARGEST = 1e30


def trial(seed: int) -> Trial:
    """One circuit on the backends that are quick to start."""
    return attempt(seed, QUICK)


def attempt(seed: int, backends: tuple[str, ...]) -> Trial:
    """One circuit on some backends; `wrong` names the first that disagrees or stops."""
    rng = random.Random(seed)
    circuit, how = drawn(rng)
    tokens, batch = rng.choice((1, 2, 3, 4, 6)), rng.choice(((), (), (2,), (2, 1)))
    inputs, weights = numbers(seed, circuit, tokens, batch)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = meaning(circuit, inputs, weights)
        if isinstance(expected, str):
            return Trial(expected, wrong=False, detail=how)
        said = "agrees"
        for name in backends:
            try:
                require_support(get_backend(name), circuit)
                runs = results(name, circuit, inputs, weights, rng)
            except UnsupportedError as error:
                if name not in str(error):
                    return Trial("refused without a name", True, f"{name}: {how}: {error}")
                said = "refused"
                continue
            except Exception as error:
                return Trial("stops", True, f"{name}: {how}: {type(error).__name__}: {error}")
            for way, found in runs.items():
                worst = difference(found, expected)
                if worst > TOLERANCE:
                    return Trial("differs", True, f"{name} {way}: {how}: off by {worst:.1e}")
    return Trial(said, wrong=False, detail=how)


# ---- circuits ----------------------------------------------------------------------------------------


def drawn(rng: random.Random) -> tuple[Circuit, str]:
    """A valid circuit, and how it was made."""
    while True:
        source = rng.choice((from_case, from_case, from_scratch))
        start = source(rng)
        circuit, done = edited(rng, start, rng.choice((0, 1, 2, 3, 5, 8)))
        if rng.random() < 0.4:
            circuit = renamed(rng, circuit, words(circuit), rng.choice((0.1, 0.3, 1.0)))
            done.append("renamed")
        if is_valid(circuit):
            return circuit, f"{start.name or source.__name__}: {', '.join(done) or 'as it is'}"


def words(circuit: Circuit) -> list[str]:
    """Names that trouble emitted code: its own words, Python's, and plain ones."""
    text = "\n".join(get_backend(name).emit(circuit).popitem()[1] for name in EMITTERS)
    own = set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", text))
    return sorted(own | set(dir(builtins)) | set(keyword.kwlist) | set(keyword.softkwlist))


EMITTERS = ("numpy", "torch", "jax")


# ---- numbers -----------------------------------------------------------------------------------------


def meaning(circuit: Circuit, inputs: Arrays, weights: Arrays) -> dict[str, np.ndarray] | str:
    """What the interpreter gives; or why that is nothing to compare with."""
    reference = ReferenceBackend()
    expected = reference.run(circuit, inputs, weights)
    if not all(np.isfinite(a).all() and (np.abs(a) < _LARGEST).all() for a in expected.values()):
        return "no numbers"
    if not _tame(circuit, inputs, weights):
        return "rates no float holds well"
    rng = np.random.default_rng(0)

    def nearby(array: np.ndarray) -> np.ndarray:
        moves = array.dtype.kind == "f"  # not what exists, and not which token it is
        return array * (1 + 1e-11 * rng.normal(size=array.shape)) if moves else array

    stored = {p.name: p.values for p in circuit.parameters if p.values is not None}
    moved = reference.run(
        circuit,
        {n: nearby(a) for n, a in inputs.items()},
        {n: nearby(a) for n, a in {**stored, **weights}.items()},
    )
    return "rounding decides" if difference(moved, expected) > TOLERANCE else expected


def _tame(circuit: Circuit, inputs: Arrays, weights: Arrays) -> bool:
    """Whether no rate overflows, or all but vanishes: the order of products would decide."""
    one = {
        t.name: inputs[t.name][(0,) * (inputs[t.name].ndim - len(t.given))] for t in circuit.inputs
    }
    sizes = [np.abs(rate[rate != 0]) for rate in interpret(circuit, one, weights).values()]
    return all(np.isfinite(s).all() and (s < _LARGEST).all() for s in sizes) and all(
        (s > 1 / _LARGEST).all() for s in sizes
    )


def difference(found: Arrays, expected: Arrays) -> float:
    """The largest distance of two results, relative to the largest number; infinite where one is none."""
    worst = 0.0
    if found.keys() != expected.keys():
        return np.inf
    for name, wanted in expected.items():
        if np.shape(found[name]) != wanted.shape:
            return np.inf
        off = np.abs(found[name] - wanted).max() / max(np.abs(wanted).max(), 1e-12)
        worst = max(worst, float(off) if np.isfinite(off) else np.inf)
    return worst


# ---- runs --------------------------------------------------------------------------------------------


def results(
    name: str, circuit: Circuit, inputs: Arrays, weights: Arrays, rng: random.Random
) -> dict[str, Arrays]:
    """What a backend gives, in each of the ways that its code can go."""
    found = {"": get_backend(name).run(circuit, inputs, weights)}
    if name == "numpy":
        found["in tiles"] = in_tiles(circuit, inputs, weights, rng.choice((1, 2)))
    return found


def in_tiles(circuit: Circuit, inputs: Arrays, weights: Arrays, rows: int) -> Arrays:
    """What emitted NumPy gives when everything is cut into the smallest parts, on two threads."""
    backend = get_backend("numpy")
    assert isinstance(backend, NumpyBackend)
    with _smallest(rows):
        return backend.run(circuit, inputs, weights)


@contextmanager
def _smallest(rows: int) -> Iterator[None]:
    """Emitted NumPy with tiles, chunks and parts as small as they can be."""
    usual = arrays.compiled

    def small(source: str, filename: str, entry: str) -> Any:
        function = usual(source, filename, entry)
        function.__globals__.update(TILE=(rows, rows), TOGETHER=1, SMALL=0, CHUNK=rows)
        return function

    arrays.compiled = small
    try:
        yield
    finally:
        arrays.compiled = usual
