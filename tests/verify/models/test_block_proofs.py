"""The circuit of every block is the textbook's block for every size, and so are its gradients."""

from dataclasses import replace

import pytest

from cortico.ir import Gain, SpecError
from cortico.lowering import lower
from cortico.spec import Dense, FeedForward, Norm, Pooling, Residual
from cortico.verify.equations.closed_forms import closed_forms, trained
from cortico.verify.equations.gradients import gradients
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from tests.verify.models.block_specs import called, every_block, some_blocks


@pytest.mark.slow
def test_every_option_is_proved_for_all_sizes():
    for spec in every_block():
        (outcome,) = compare(reference(spec), circuit_equations(lower(spec)))
        assert outcome.verdict is Known.PROVED, (spec, outcome.reason)


@pytest.mark.parametrize("spec", some_blocks()[::7], ids=called)
def test_some_both_ways(spec):
    left, right = reference(spec), circuit_equations(lower(spec))
    for one, other in ((left, right), (right, left)):
        (outcome,) = compare(one, other)
        assert outcome.verdict is Known.PROVED, outcome.reason


def test_a_cap_is_the_transfer_function():
    with pytest.raises(SpecError, match=r"soft_cap = 3\.0 .* found relu"):
        Dense(4, 3, transfer="relu", soft_cap=3.0)


@pytest.mark.slow
def test_gradients_of_every_block_are_the_closed_forms():
    for spec in some_blocks():
        wanted = trained(spec)
        found = compare(closed_forms(spec), gradients(circuit_equations(lower(spec)), wanted))
        for outcome in found:
            assert outcome.verdict is Known.PROVED, (spec, outcome.output, outcome.reason)


def test_which_gradients_there_are():
    assert trained(Norm(4, shift=True)) == ("x", "gain", "shift")
    full = FeedForward(4, 3, transfer="tanh", gated=True, bias_in=True, bias_out=True)
    assert set(trained(full)) == {"x", "W_in", "b_in", "W_gate", "b_gate", "W_out", "b_out"}
    assert trained(Dense(4, 3, bias=True)) == ("x", "W", "b")
    assert trained(Residual(4, branches=2)) == ("x", "branch_0", "branch_1")
    assert trained(Pooling(4)) == ("x",)


WRONG = [
    (Norm(6), Norm(6, kind="rms")),
    (Norm(6), Norm(6, eps=1e-6)),
    (Norm(6, shift=True), Norm(6)),
    (Norm(6), Norm(6, gain=False)),
    (FeedForward(6, 4, "tanh"), FeedForward(6, 4, "relu")),
    (FeedForward(6, 4, "tanh", gated=True), FeedForward(6, 4, "tanh")),
    (FeedForward(6, 4, "tanh", bias_out=True), FeedForward(6, 4, "tanh")),
    (Dense(6, 3), Dense(6, 3, scale=2.0)),
    (Dense(6, 3, soft_cap=2.0), Dense(6, 3, soft_cap=3.0)),
    (Dense(6, 3, soft_cap=2.0), Dense(6, 3)),
    (Dense(6, 3, pooled=True), Dense(6, 3)),
    (Residual(6), Residual(6, scale=0.5)),
    (Residual(6, branches=2), Residual(6, branches=3)),
    (Pooling(6), Pooling(6, padded=False)),
    (Pooling(6), Pooling(6, unit=True)),
]


@pytest.mark.parametrize(("spec", "other"), WRONG, ids=called)
def test_the_circuit_of_another_block_is_not_proved(spec, other):
    (outcome,) = compare(reference(spec), circuit_equations(lower(other)))
    assert outcome.verdict in (Known.REFUTED, Known.UNDECIDED)
    same_tensors = reference(spec).given == reference(other).given
    if same_tensors:
        assert outcome.verdict is Known.REFUTED and " is " in outcome.reason


def scales_cancel(spec):
    """Whether what is doubled may be divided out again."""
    return getattr(spec, "unit", False) or getattr(spec, "eps", None) == 0.0


@pytest.mark.parametrize(
    "spec", [s for s in some_blocks()[::3] if not scales_cancel(s)], ids=called
)
def test_another_gain_of_any_projection_is_refuted(spec):
    circuit = lower(spec)
    for wrong in circuit.projections:
        gain = wrong.weight.gain * Gain(2.0)
        doubled = replace(wrong, weight=replace(wrong.weight, gain=gain))
        changed = replace(
            circuit, projections=tuple(doubled if p is wrong else p for p in circuit.projections)
        )
        (outcome,) = compare(reference(spec), circuit_equations(changed))
        assert outcome.verdict is Known.REFUTED, (wrong.name, outcome.reason)
