"""Feedback of its own: with the forward tensors in its place, the gradients are the same."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.ir import Parameter, SpecError
from cortico.learning import (
    Feedback,
    differentiate,
    draw_feedback,
    feedback_of,
    gradient_circuit,
    with_values,
)
from cortico.lowering import lower
from cortico.spec import AttentionSpec
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from tests.cases import CASES
from tests.covering import every_pair, first
from tests.learning.systems import meaning, same

OWN = (Feedback.RANDOM, Feedback.LEARNED)
SPEC = AttentionSpec(model=8, heads=2)


def with_own(case, feedback):
    return differentiate(lower(case.spec), feedback=feedback)


@pytest.mark.parametrize("feedback", first(1, OWN))
@pytest.mark.parametrize("case", every_pair())
def test_equal_tensors_give_the_transposed_gradients_for_every_size(case, feedback):
    transposed = meaning(gradient_circuit(differentiate(lower(case.spec))))
    learning = differentiate(lower(case.spec), feedback=feedback)
    equations = meaning(gradient_circuit(learning))
    for forward, own in feedback_of(learning).items():
        equations = same(equations, own, forward)
    outcomes = compare(transposed, equations)
    assert {o.verdict for o in outcomes} == {Known.PROVED}


@pytest.mark.parametrize("case", every_pair())
def test_only_tensors_differ(case):
    transposed = differentiate(lower(case.spec)).circuit
    own = differentiate(lower(case.spec), feedback="random").circuit
    assert own.populations == transposed.populations
    for mine, theirs in zip(own.projections, transposed.projections, strict=True):
        assert mine.weight.gain == theirs.weight.gain
        assert replace(mine, weight=theirs.weight) == theirs
        changed = mine.weight != theirs.weight
        if changed:
            assert mine.weight.tensor.name == f"{theirs.weight.tensor.name}_feedback"
            assert mine.weight.axes == theirs.weight.axes


def test_other_tensors_give_other_gradients():
    transposed = meaning(gradient_circuit(differentiate(lower(SPEC))))
    own = meaning(gradient_circuit(differentiate(lower(SPEC), feedback="random")))
    found = {o.output: o.verdict for o in compare(transposed, own)}
    assert found.pop("d_W_O") is Known.PROVED  # its rule needs no feedback
    assert found.pop("error") is Known.PROVED and found.pop("y") is Known.PROVED
    assert set(found.values()) == {Known.REFUTED}


def test_learned_feedback_learns_by_the_rule_of_its_tensor():
    learning = differentiate(lower(SPEC), feedback="learned", decay=0.25)
    forward, own = learning.rule("W_O"), learning.rule("W_O_feedback")
    assert forward.decay == own.decay == 0.25
    assert learning.rule("W_Q").decay == 0
    renamed = (replace(t, at=replace(t.at, name="W_O")) for t in own.terms)
    assert tuple(renamed) == forward.terms
    (random,) = {r.decay for r in differentiate(lower(SPEC), feedback="random").rules}
    assert random == 0
    with pytest.raises(KeyError):
        differentiate(lower(SPEC), feedback="random").rule("W_O_feedback")


@pytest.mark.slow
def test_learned_feedback_converges_to_its_tensor():
    case = next(case for case in CASES if case.name == "memory")
    learning = differentiate(lower(case.spec), feedback="learned", decay=0.5)
    circuit = gradient_circuit(learning)
    weights = {**case.weights, **draw_feedback(learning, 1, case.weights)}
    apart = weights["W_O"] - weights["W_O_feedback"]
    inputs = {**case.inputs, "target": np.zeros_like(case.inputs["x"])}
    rate, steps = 1e-5, 20
    for _ in range(steps):
        found = get_backend("numpy").run(circuit, inputs, weights)
        for rule in learning.rules:
            gradient = found[f"d_{rule.parameter}"].sum(0) + rule.decay * weights[rule.parameter]
            weights[rule.parameter] = weights[rule.parameter] - rate * gradient
    left = weights["W_O"] - weights["W_O_feedback"]
    np.testing.assert_allclose(left, (1 - rate * 0.5) ** steps * apart, rtol=1e-9, atol=1e-12)


def test_a_draw_has_shape_spread_and_seed():
    learning = differentiate(lower(SPEC, None), feedback="random")
    weights = {"W_O": np.random.default_rng(0).normal(0, 3, (2, 8, 4))}
    one, again = draw_feedback(learning, 1, weights), draw_feedback(learning, 1, weights)
    assert set(one) == {"W_O_feedback"} and one["W_O_feedback"].shape == (2, 8, 4)
    assert np.array_equal(one["W_O_feedback"], again["W_O_feedback"])
    assert not np.array_equal(
        one["W_O_feedback"], draw_feedback(learning, 2, weights)["W_O_feedback"]
    )
    assert 2 < one["W_O_feedback"].std() < 4
    stored = with_values(learning, one).circuit.tensor("W_O_feedback").values
    assert np.array_equal(stored, one["W_O_feedback"])


def test_what_cannot_be_drawn_or_stored():
    learning = differentiate(lower(SPEC), feedback="random")
    with pytest.raises(SpecError, match="W_O, which has no numbers"):
        draw_feedback(learning)
    with pytest.raises(SpecError, match="no parameter 'W_O' of shape"):
        with_values(learning, {"W_O": np.zeros(3)})
    assert draw_feedback(differentiate(lower(SPEC))) == {}


def test_a_taken_name():
    circuit = lower(SPEC)
    taken = Parameter("W_O_feedback", (2, 8, 4))
    with pytest.raises(SpecError, match="has a tensor 'W_O_feedback' already"):
        differentiate(replace(circuit, parameters=(*circuit.parameters, taken)), feedback="random")
