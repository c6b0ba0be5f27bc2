"""Circuits that are wrong, or right in other words, against the textbook's equations.

A random spec is lowered and changed; `compare(reference(spec), circuit_equations(circuit))` says
whether it still is attention, for every size. `tests.attack.textbook` and `tests.attack.oracle` know,
at the spec's sizes and at others.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random

import numpy as np

from cortico.ir import Circuit, TensorRef
from cortico.lowering import lower
from cortico.spec import AttentionSpec
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.normal.equivalence import compare
from tests.attack.differences import Apart, compared, drawn_inputs
from tests.attack.drawing import random_spec
from tests.attack.mutators import REWRITTEN, WRONG_OR_RIGHT, edited
from tests.attack.oracle import REAL, Run, Tracked, weights_of
from tests.attack.passes import WORDS, judged
from tests.attack.places import refs
from tests.attack.textbook import textbook
from tests.attack.trial import Trial

#: Trials that pytest makes, with a new seed each time.
IN_TESTS = 30


def trial(seed: int) -> Trial:
    """One circuit."""
    random = Random(seed)
    spec = random_spec(random)
    circuit, edits = changed(random, lower(spec))
    detail = f"{spec}; changed by: {edits}"
    try:
        (outcome,) = compare(reference(spec), circuit_equations(circuit))
    except Exception as error:  # whatever it is, a valid circuit must not end in it
        return Trial(f"crashed: {type(error).__name__}", True, f"{error!r} of {detail}")
    said = WORDS[outcome.verdict]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = from_textbook(random, spec, circuit, seed)
    return judged(said, truth, f"{outcome.reason}: {detail}")


def changed(random: Random, circuit: Circuit) -> tuple[Circuit, list[str]]:
    """The circuit after one or two edits, and their names."""
    pools = [WRONG_OR_RIGHT] if random.random() < 0.7 else [REWRITTEN]
    if random.random() < 0.4:
        pools.append(random.choice([WRONG_OR_RIGHT, REWRITTEN]))
    done = []
    for pool in pools:
        circuit, name = edited(random, circuit, pool)
        done.append(name)
    return circuit, done


# ---- what is true --------------------------------------------------------------------------------


def from_textbook(random: Random, spec: AttentionSpec, circuit: Circuit, seed: int) -> Apart:
    """How far a circuit is from attention, at sizes at which it can be run."""
    rng, found = np.random.default_rng(seed), Apart(np.nan, "")
    base = lower(spec)
    for sizes in sizes_of(random, base, circuit):
        given = arrays(base, sizes, rng)
        run = run_on(circuit, given)
        if run is None:
            continue
        expected = textbook(spec, given)
        one = run.output("y")
        if one.value.shape != expected.shape:
            if not set(one.axes) <= {a for r in read(circuit) if r.name in given for a in r.axes}:
                continue  # nothing says how large an axis is at which nothing is read
            return Apart(np.inf, f"y has shape {one.value.shape[1:]}, not {expected.shape[1:]}")
        book = Tracked(expected, np.zeros(expected.shape), one.axes)
        found = found.worse(compared("y", one, book, ~run.overflowed, found.unit, run.sizes))
        if found.differs:
            break
    return found


def sizes_of(random: Random, base: Circuit, changed: Circuit) -> Iterator[dict[str, int]]:
    """Sizes of the axes of a lowered circuit: its own, all different, small, a few of any.

    Different and small ones also as the changed circuit ties axes: it runs at no others.
    """
    for tokens in (3, 7):
        own = {a.name: a.extent if isinstance(a.extent, int) else tokens for a in base.axes}
        if base.axis("j").extent == "n_context":
            own["j"] += 1
        yield own
    by_base = _same_size(base, base)
    by_both = _same_size(base, base, changed)
    for same in (by_base,) if by_both == by_base else (by_base, by_both):
        yield from _drawn_sizes(random, same)


def _drawn_sizes(random: Random, same: Mapping[str, str]) -> Iterator[dict[str, int]]:
    classes = sorted(set(same.values()))

    def of_axes(draw: dict[str, int]) -> dict[str, int]:
        return {axis: 2 if axis in ("s", "t") else draw[c] for axis, c in same.items()}

    drawn = random.sample(range(2, 4 + len(classes)), len(classes))
    yield of_axes(dict(zip(classes, drawn, strict=True)))
    for least, most in ((1, 2), (2, 3), (1, 3), (1, 4), (1, 4), (1, 4), (2, 5)):
        yield of_axes({c: random.randint(least, most) for c in classes})
    for large in classes:  # past the constants that edits put into bounds
        yield of_axes({c: random.randint(6, 8) if c == large else 2 for c in classes})


def _same_size(base: Circuit, *circuits: Circuit) -> dict[str, str]:
    """Axis of a lowered circuit to one that stands for all of the same size, as tensors are read."""
    same = {axis.name: axis.name for axis in base.axes}
    first: dict[tuple[str, int], str] = {}
    for ref in (r for circuit in circuits for r in (*read(circuit), *sources(circuit))):
        for side, axis in enumerate(ref.axes):
            if axis in same:
                known = same[first.setdefault((ref.name, side), axis)]
                same = {a: known if c == same[axis] else c for a, c in same.items()}
    return same


def read(circuit: Circuit) -> list[TensorRef]:
    """Where inputs and plain parameters are read."""
    inputs = {t.name for t in circuit.inputs}
    found = [w.tensor for w in weights_of(circuit) if w.tensor and w.tensor.name in inputs]
    return [*found, *refs(circuit)]


def sources(circuit: Circuit) -> Iterator[TensorRef]:
    """A name for each source that is read at other axes, at its own and at these."""
    for p in circuit.projections:
        for axes in (circuit.population(p.pre).axes, p.at) if p.at else ():
            yield TensorRef(f"{id(circuit)} {p.pre}", axes)


def arrays(base: Circuit, sizes: Mapping[str, int], rng: np.random.Generator) -> dict:
    """Six examples of each input of a circuit, and numbers for its plain parameters."""
    shapes = {r.name: tuple(sizes[a] for a in r.axes) for r in read(base)}
    small = replace(base, inputs=tuple(replace(t, shape=shapes[t.name]) for t in base.inputs))
    drawn = {
        p.name: rng.standard_normal(shapes[p.name])
        for p in base.parameters
        if p.formula is None and p.name in shapes
    }
    given = {**drawn_inputs(small, {}, rng), **drawn}
    return {name: np.asarray(array, dtype=REAL) for name, array in given.items()}


def run_on(circuit: Circuit, given: Mapping[str, np.ndarray], kind: type = REAL) -> Run | None:
    """A circuit run on tensors by name, whatever extents it declares; None where their sizes clash."""
    inputs = {t.name for t in circuit.inputs}
    if not inputs <= given.keys():
        return None
    sizes: dict[str, int] = {}
    rotated = {"rotation": [], "distance": []}
    for ref in read(circuit):
        if ref.name not in given:
            if circuit.tensor(ref.name).formula is None:  # type: ignore[union-attr]
                return None
            if circuit.tensor(ref.name).formula.kind == "rotation":  # type: ignore[union-attr]
                rotated["rotation"] += ref.axes[2:]
            continue
        shape = given[ref.name].shape[given[ref.name].ndim - len(ref.axes) :]
        if len(shape) != len(ref.axes):
            return None
        for axis, size in zip(ref.axes, shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                return None
    if any(sizes.setdefault(axis, 2) != 2 for axis in rotated["rotation"]):
        return None
    symbols: dict[str, int] = {}
    for tensor in circuit.inputs:  # an axis at which nothing is read has the size of its symbol
        shape = given[tensor.name].shape[given[tensor.name].ndim - len(tensor.shape) :]
        symbols.update(
            (s, n) for s, n in zip(tensor.shape, shape, strict=True) if isinstance(s, str)
        )
    pairs = [pair for p in circuit.projections for pair in circuit.moved_axes(p)]
    for one, other in (*pairs, *pairs):
        for a, b in ((one, other), (other, one)):
            sizes.update({b: sizes[a]} if a in sizes and b not in sizes else {})
    for axis in circuit.axes:
        usual = symbols.get(axis.extent, 3) if isinstance(axis.extent, str) else axis.extent
        sizes.setdefault(axis.name, usual)
    if any(sizes[one] != sizes[other] for one, other in pairs):
        return None
    names = inputs | {p.name for p in circuit.parameters if p.formula is None and p.name in given}
    return Run(circuit, sizes, {name: given[name] for name in names}, kind)
