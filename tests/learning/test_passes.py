"""Gradient circuits are circuits like any other: invariants, text, counts, passes, backends, proofs."""

import numpy as np
import pytest
import sympy

from cortico.backends import get_backend
from cortico.ir import check
from cortico.ir.text import parse_circuit
from cortico.learning import differentiate, gradient_circuit
from cortico.lowering import lower
from cortico.passes import PASSES, compare_meaning, parse_passes, run_passes
from cortico.passes.base import nominal
from cortico.verify.normal.equivalence import Verdict
from cortico.verify.steps.validation import prove_steps
from tests.cases import CASES
from tests.covering import every_case
from tests.learning.numbers import target_of

CASE = {case.name: case for case in CASES}
EXACT = [kind for kind in PASSES if kind.exact]

#: Some of the table: a gradient circuit is large, and each pass is compared on each of these.
NAMED = [case for case in CASES if "-mask_" not in case.name][::6]
CORE = [case for case in CASES if "-mask_" in case.name][::18]
SOME = (*CORE, *NAMED)


def every(step, *first):
    """Cases, all but every `step`th of them slow; other arguments come `first`."""
    return [
        pytest.param(*first, case, id="-".join([*map(str, first), case.name]), marks=marks)
        for k, case in enumerate(SOME)
        for marks in [() if k % step == step // 2 else pytest.mark.slow]
    ]


#: What the prover is asked about.
PROVED = (
    "linear-mask_none",
    "rotary_linear_causal",
    "softmax-mask_none",
    "cross_padded_residual",
    pytest.param("linear-mask_causal-padded-grouped-biased", marks=pytest.mark.slow),
    pytest.param("memory_causal_biased_padded", marks=pytest.mark.slow),
)


def gradients(case, concrete=True):
    return gradient_circuit(differentiate(lower(case.spec, case.weights if concrete else None)))


@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
@pytest.mark.parametrize("case", every_case())
def test_the_circuit_is_valid_and_prints(case, concrete):
    circuit = gradients(case, concrete)
    check(circuit)
    stored = {p.name: p.values for p in circuit.parameters if p.values is not None}
    assert parse_circuit(str(circuit), stored) == circuit


@pytest.mark.parametrize("case", SOME[::8], ids=lambda case: case.name)
def test_counts_are_formulas_of_the_number_of_tokens(case):
    circuit = gradients(case)
    counts, forward = circuit.counts(), lower(case.spec).counts()
    sizes = {symbol: 3 + k for k, symbol in enumerate(circuit.symbols)}
    small = circuit.bind(**sizes).counts()
    for word in ("neurons", "synapses"):
        assert at(getattr(counts, word), sizes) == getattr(small, word)
        assert getattr(small, word) > at(getattr(forward, word), sizes)


def at(count, sizes):
    formula = sympy.sympify(count)
    return formula.subs({symbol: sizes[symbol.name] for symbol in formula.free_symbols})


@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
@pytest.mark.parametrize(("concrete", "case"), [*every(5, True), *every(9, False)])
def test_pass_alone(kind, concrete, case):
    before = gradients(case, concrete)
    this = kind()
    after = this.run(before)
    if after is before:
        return
    check(after)
    compare_meaning(before, after)
    assert this.cost(nominal(after)) <= this.cost(nominal(before))
    assert this.run(after) is after


@pytest.mark.parametrize(
    ("passes", "case"),
    [
        *every(4, "default"),
        *every(8, "aggressive"),
        *every(len(SOME) + 1, "default,serialize,split-sign")[::3],
    ],
)
def test_pipelines_keep_every_gradient(case, passes):
    before = gradients(case)
    after, _ = run_passes(before, parse_passes(passes), compare_meaning)
    inputs = {**case.inputs, "target": target_of(case)}
    expected = get_backend("reference").run(before, inputs)
    largest = max(np.abs(array).max() for name, array in expected.items() if name.startswith("d_"))
    for backend in ("numpy", "reference"):
        found = get_backend(backend).run(after, inputs)
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-12 * largest)


@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
@pytest.mark.parametrize("name", PROVED)
def test_steps_are_proved(name, concrete):
    passes = parse_passes("default,serialize")
    _, steps = run_passes(gradients(CASE[name], concrete), passes)
    proofs = prove_steps(passes, steps, lambda stage: None)
    assert len(proofs) >= 2
    for proof in proofs:
        assert proof.verdict is Verdict.PROVED, (proof.name, proof.reason)
