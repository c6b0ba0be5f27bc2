"""Softmax by feedback inhibition: it is softmax at rest, is never above 1 there, and comes to rest."""

from dataclasses import replace

import numpy as np
import pytest

from cortico import AttentionSpec, SpecError, lower
from cortico.backends.reference import interpret
from cortico.backends.trajectory import Ending, run_in_time
from cortico.spec import Kernel, Microcircuit
from cortico.spec.weights import random_weights
from cortico.verify.resting import fastest_pace
from tests.cases import CASES, LIVING, Case
from tests.covering import first
from tests.oracle import textbook_attention

FEEDBACK = [
    Case(case.name, replace(case.spec, normalisation="feedback"))
    for case in CASES
    if case.spec.kernel is Kernel.SOFTMAX and not case.spec.semi_saturation
] + [*LIVING]


def examples(case):
    """The inputs of each example, with what attention is by the textbook."""
    for place in range(2):
        inputs = {name: array[place] for name, array in case.inputs.items()}
        yield inputs, textbook_attention(case.spec, case.weights, **inputs)


@pytest.mark.parametrize("case", FEEDBACK, ids=lambda case: case.name)
def test_rest_is_softmax(case):
    circuit = lower(case.spec, case.weights)
    for inputs, expected in examples(case):
        rates = interpret(circuit, inputs)
        np.testing.assert_allclose(rates["relay"], expected, rtol=1e-12, atol=1e-12)
        normed = {"gated_mask" if "keep" in inputs else "mask", "sink", "extra_mask"}
        assert all(rates[name].max() <= 1 + 1e-12 for name in normed & rates.keys())


@pytest.mark.parametrize("case", first(4, FEEDBACK[:: len(FEEDBACK) // 5] + FEEDBACK))
def test_it_comes_to_rest(case):
    """Prospective cells, from far above all scores on: never above 1 on the way, and softmax to 1e-9.

    Where tokens may be missing that holds of cells behind the gate: what is gated away is in no sum.
    """
    circuit = lower(case.spec, case.weights)
    normed = {"gated_mask"} if case.spec.key_padding else {"mask"}
    normed |= {p.name for p in circuit.populations if p.name in ("sink", "extra_mask")}
    for inputs, expected in examples(case):
        run = run_in_time(circuit, inputs, duration=100.0, prospective=True)
        assert run.ending is Ending.SETTLED
        np.testing.assert_allclose(run.rates["relay"][-1], expected, rtol=1e-9, atol=1e-9)
        assert all(run.rates[name].max() <= 1 + 1e-9 for name in normed)


def by_hand(scores, m, rate, dt, steps):
    """Mask cells and their pool, a line each."""
    mask = np.zeros_like(scores)
    for _ in range(steps):
        mask, m = np.exp(scores - m), m + dt * rate * np.tanh(mask.sum() - 1)
    return mask


SMALL = AttentionSpec(model=4, tokens=4, normalisation="feedback")


def started(rate, start, **more):
    spec = replace(SMALL, feedback={"rate": rate, "start": start}, **more)
    return lower(spec, random_weights(spec, 3)), random_weights(spec, 3)


@pytest.mark.parametrize("start", first(3, [-50.0, 20.0, 50.0, 0.0]))
@pytest.mark.parametrize("part", first(2, [0.9, 0.05, 0.5]))
def test_step_sizes_and_far_starts(part, start):
    """A pool hears of its own rate two steps later, λ² - λ + rate dt = 0: it settles while rate · dt < 1."""
    circuit, weights = started(part / 0.5, start)
    x = np.random.default_rng(0).normal(size=(4, 4))
    falling = np.ceil(abs(start) / (part / 0.5))
    run = run_in_time(circuit, {"x": x}, duration=falling + 500, dt=0.5, prospective=True)
    expected = textbook_attention(SMALL, weights, x)
    assert run.ending is Ending.SETTLED
    np.testing.assert_allclose(run.rates["relay"][-1], expected, atol=1e-8)


def test_steps_that_are_too_long_do_not_settle():
    circuit, _ = started(1.1 / 0.5, 20.0)
    x = np.random.default_rng(0).normal(size=(4, 4))
    run = run_in_time(circuit, {"x": x}, duration=400.0, dt=0.5, prospective=True)
    assert run.ending is not Ending.SETTLED


def test_a_loop_is_as_written_by_hand():
    """Scores that hold from the start on: of a circuit without keys and queries."""
    from cortico.ir.text import parse_circuit

    text = """cortico circuit 1
name "loop"

axis j : column 5

input s (5)

population mask [j] cortex.L2/3 pyramidal_it exp
  basal multiplies s[j]
population pool [] cortex.L2/3 pv tanh integrates 0.7 per ms from 3.0
  soma multiplies -1.0

projection inhibition pool -> mask.basal weight -1.0
projection sum mask -> pool.soma weight 1.0

output y = mask[j]
"""
    scores = np.random.default_rng(2).normal(size=5) * 3
    for steps in (1, 7, 60, 900):
        run = run_in_time(
            parse_circuit(text), {"s": scores}, duration=steps * 0.1, prospective=True
        )
        expected = by_hand(scores, 3.0, 0.7, 0.1, steps)
        np.testing.assert_allclose(run.rates["mask"][-1], expected, rtol=1e-12)


def test_lagging_cells_settle_below_a_pace():
    """One lag never oscillates for good, two do from 1/τ + 1/τ on: mask cells, and cells that gate them."""
    assert fastest_pace([10.0]) == np.inf
    assert fastest_pace([10.0, 20.0]) == pytest.approx(0.15)
    assert fastest_pace([10.0, 10.0, 10.0]) is None
    limit = fastest_pace([12.0, 12.0])
    x = np.random.default_rng(0).normal(size=(4, 4))
    for part, settles in ((0.07, True), (2.0, False)):
        circuit, _ = started(part * limit, 3.0, key_padding=True)
        run = run_in_time(circuit, {"x": x}, duration=1200.0, dt=1.0, tau=12.0, tolerance=1e-4)
        assert (run.ending is Ending.SETTLED) == settles


def test_feedback_is_refused_where_it_makes_no_softmax():
    for wrong in (
        {"kernel": "linear"},
        {"semi_saturation": 0.5},
        {"kernel": "linear", "microcircuit": Microcircuit.MEMORY},
        {"normalisation": "division", "feedback": {"rate": 2.0}},
        {"feedback": {"rate": -1.0}},
        {"feedback": {"start": float("nan")}},
        {"feedback": {"pace": 1.0}},
        {"normalisation": "subtraction"},
    ):
        with pytest.raises(SpecError):
            replace(SMALL, **wrong)
