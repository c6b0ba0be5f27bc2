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
from cortico.verify.known import Known
from cortico.verify.steps.validation import prove_steps
from tests.cases import CASES
from tests.covering import covering, every_case
from tests.learning.numbers import target_of

CASE = {case.name: case for case in CASES}
EXACT = [kind for kind in PASSES if kind.exact]

#: What these do to attention alone, its gradients do not let them do: each parameter has one.
FINDS_NOTHING = {"restrict-domain", "move-value-bias", "prune-dead", "reassociate"}
#: It drops a bias of keys, where nothing is behind the bias that differs from token to token.
FINDS_FEW = {"drop-softmax-shift"}

#: A gradient circuit is large: every option of the table, and not every pair.
SOME = covering(number=1)


def some(*first, quick=("one_head", "matrix_values"), others=pytest.mark.slow):
    """Each of `SOME`, all but the quick ones marked; other arguments come `first`."""
    return [
        pytest.param(*first, case, id="-".join([*map(str, first), case.name]), marks=marks)
        for case in SOME
        for marks in [() if case.name in quick else others]
    ]


#: What the prover is asked about.
PROVED = (
    "linear-mask_none",
    "softmax-mask_none",
    pytest.param("narrow_output", marks=pytest.mark.full),
    pytest.param("rotary_linear_causal", marks=pytest.mark.full),
    pytest.param("cross_padded", marks=pytest.mark.full),
    pytest.param("linear-mask_causal-padded-grouped-biased", marks=pytest.mark.full),
    pytest.param("memory_causal_biased_padded", marks=pytest.mark.full),
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


@pytest.mark.parametrize("case", some())
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    ("concrete", "case"),
    [*some(True, others=pytest.mark.full), *some(False, others=pytest.mark.full)],
)
def test_pass_alone(kind, concrete, case):
    before = gradients(case, concrete)
    this = kind()
    after = this.run(before)
    check(after)
    assert this.cost(nominal(after)) <= this.cost(nominal(before))
    assert this.run(after) is after
    if after is not before:
        compare_meaning(before, after)


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXACT, ids=lambda kind: kind.name)
def test_it_does_something_on_some(kind):
    """Else the test above says nothing."""
    cases = [case for case in CASES if case.name == "bert"] if kind.name in FINDS_FEW else SOME
    circuits = [gradients(case) for case in cases]
    changed = sum(kind().run(circuit) is not circuit for circuit in circuits)
    if kind.name in FINDS_NOTHING:
        assert not changed
    else:
        assert changed >= (1 if kind.name in FINDS_FEW else 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("passes", "case"),
    [
        *some(
            "default",
            quick=("one_head", "matrix_values", "everything", "gpt2"),
            others=pytest.mark.full,
        ),
        *some("aggressive", others=pytest.mark.full),
        *some("default,serialize,split-sign", quick=(), others=pytest.mark.cross),
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


@pytest.mark.slow
@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
@pytest.mark.parametrize("name", PROVED)
def test_steps_are_proved(name, concrete):
    passes = parse_passes("default,serialize")
    _, steps = run_passes(gradients(CASE[name], concrete), passes)
    proofs = prove_steps(passes, steps, lambda stage: None)
    assert len(proofs) >= 2
    for proof in proofs:
        assert proof.verdict is Known.PROVED, (proof.name, proof.reason)
