"""The prover never lies: random changes of circuits, judged by numbers that it has no part in.

`benchmarks/prover_soundness.py` runs the same on 10,000 of each.
"""

from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cortico.ir import InputKind
from cortico.ir.rewrite import weights_of
from cortico.lowering import lower
from cortico.passes import PASSES
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.equations.sorts import unified
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from tests.cases import CASES
from tests.covering import covering
from tests.strategies import circuits
from tests.verify.judge import equal_pair, gradient_pair, judge
from tests.verify.mutations import MUTATIONS, changed, mutated, random_spec
from tests.verify.numbers import circuit_at, circuit_numbers
from tests.verify.rewrites import REWRITES

seeds = st.integers(0, 2**32)


def any_spec(random):
    return random.choice(CASES).spec if random.random() < 0.4 else random_spec(random)


@given(seed=seeds)
def test_verdicts_on_changed_circuits_are_true(seed):
    """Proved: no numbers differ. Refuted: oracle and interpreter give the same two numbers."""
    random = Random(seed)
    spec = any_spec(random)
    found = judge(random, spec, mutated(random, lower(spec)))
    assert not found.is_lie, (spec, found.outcome.verdict, found.where)


@pytest.mark.slow
@given(seed=seeds)
def test_what_is_equal_is_proved(seed):
    """Commuted, distributed, renamed, inlined, split, relayed, twinned, passed."""
    random = Random(seed)
    spec = any_spec(random)
    for outcome in compare(*equal_pair(random, spec)):
        assert outcome.verdict is Known.PROVED, (spec, outcome.output, outcome.reason)


@pytest.mark.parametrize(
    "name", ["drop-softmax-shift", "reassociate", "share-relays", "merge-duplicates", "serialize"]
)
def test_exact_passes_on_symbolic_circuits_are_proved(name):
    """The passes that find something to do where no number is known."""
    (kind,) = (kind for kind in PASSES if kind.exact and kind.name == name)
    lowered = [(case, lower(case.spec)) for case in covering()]
    changed = [
        (case, after) for case, before in lowered if (after := kind().run(before)) is not before
    ]
    assert changed
    for case, after in changed:
        (outcome,) = compare(reference(case.spec), circuit_equations(after))
        assert outcome.verdict is Known.PROVED, (case.name, outcome.reason)
    for case, after in changed[:: max(1, len(changed) // 2)]:
        for outcome in compare(*gradient_pair(case.spec, after)):
            assert outcome.verdict is Known.PROVED, (case.name, outcome.output, outcome.reason)


@pytest.mark.slow
@given(circuit=circuits(), seed=seeds)
def test_verdicts_on_any_circuits_are_true(circuit, seed):
    """Circuits of any transfer functions and domains, changed or only said otherwise."""
    # to floats, as 1 / (1e-223 + 1 - 1) shows, small constants are none beside others
    assume(all(abs(w.gain.coefficient) > 1e-6 for w in weights_of(circuit) if w.gain.coefficient))
    random = Random(seed)
    edits = MUTATIONS if random.random() < 0.7 else REWRITES[:-3]
    other = changed(random, circuit, edits)
    (outcome,) = compare(circuit_equations(circuit), circuit_equations(other))
    apart = differences(random, circuit, other)
    if outcome.verdict is Known.PROVED:
        assert not any(apart), (circuit, other)
    if edits is not MUTATIONS and all_axes_are_read(circuit) and all_axes_are_read(other):
        assert not any(apart)
        assert outcome.verdict is not Known.REFUTED, (circuit, other, outcome.reason)


def differences(random, circuit, other):
    """Whether outputs differ, at sizes of matched sorts and at the circuits' own."""
    pair = [circuit_equations(c) for c in (circuit, other)]
    matched = unified(*pair)
    of_axes = [
        {v.name: w.sort for d, e in zip(old.definitions, new.definitions, strict=True) for v, w in zip(d.indices, e.indices, strict=True)}
        for old, new in zip(pair, matched, strict=True)
    ]  # fmt: skip
    sorts = sorted({sort for axes in of_axes for sort in axes.values()})
    rotated = {
        axis for each in matched for name, f in each.formulas.items() if f.kind == "rotation" for axis in each.given[name][2:]
    }  # fmt: skip
    found = []
    for _ in range(3):
        sizes = {sort: 2 if sort in rotated else random.randrange(1, 4) for sort in sorts}
        found.append(
            _apart(
                random,
                (circuit, other),
                [{a: sizes[s] for a, s in axes.items()} for axes in of_axes],
            )
        )
    extents = [
        {a.name: 3 if a.extent == "n" else a.extent for a in c.axes} for c in (circuit, other)
    ]
    found.append(_apart(random, (circuit, other), extents))
    return found


def _apart(random, pair, sizes):
    rng = np.random.default_rng(random.randrange(2**32))
    given = {}
    small = [circuit_at(c, s) for c, s in zip(pair, sizes, strict=True)]
    for circuit in small:
        for tensor in (*circuit.inputs, *circuit.parameters):
            array = rng.standard_normal(tensor.shape)
            is_mask = getattr(tensor, "kind", None) is InputKind.MASK
            given.setdefault(tensor.name, (array > 0).astype(float) if is_mask else array)
            if np.shape(given[tensor.name]) != tensor.shape:
                return False  # no common sizes
    with np.errstate(all="ignore"):
        one, other = (circuit_numbers(c, s, given) for c, s in zip(pair, sizes, strict=True))
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return False
    scale = max(1.0, np.abs(one).max(), np.abs(other).max())
    return bool(np.abs(one - other).max() > 1e-6 * scale)


def all_axes_are_read(circuit):
    """Whether each axis is a side of a tensor or of the output: else nothing says which set it is."""
    weights = [w for p in circuit.populations for c in p.compartments for w in c.drive]
    weights += [p.weight for p in circuit.projections]
    read = {axis for weight in weights for axis in weight.axes}
    read |= {axis for output in circuit.outputs for axis in output.source.axes}
    return {axis.name for axis in circuit.axes} <= read
