"""Nengo models: exact in one step; spiking ones err, less with more neurons, and say by how much."""

import dataclasses

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from cortico import AttentionSpec, random_weights
from cortico.backends import get_backend, get_runner
from cortico.ir import Unfold
from cortico.lowering import lower
from tests.backends.brian2.simulation import second_example
from tests.backends.nengo.simulation import load, needs_nengo, simulate
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_option
from tests.strategies import circuits, real_numbers

pytestmark = needs_nengo

CASE = {case.name: case for case in CASES}
NENGO = get_backend("nengo")
SMALL, SMALLEST = AttentionSpec(model=2, heads=1), AttentionSpec(model=1, heads=1)


def small(spec=SMALL):
    """A small attention, here of two tokens and two features, as in `docs/nengo.md`; and its input."""
    circuit = lower(spec, random_weights(spec, 0))
    return circuit, np.random.default_rng(1).standard_normal((spec.model, spec.model))


@pytest.mark.parametrize("case", every_option())
def test_equals_textbook(case):
    """A tenth of them: all are measured in test_support.py."""
    circuit = lower(case.spec, case.weights)
    in_time = [axis.name for axis in circuit.axes if axis.in_time]
    assert NENGO.unsupported(circuit) == [f"axis {name!r} is in time" for name in in_time]
    if not in_time:
        found = simulate(circuit, second_example(case))["y"]
        assert relative_error(found, expected_output(case)[1]) < 1e-14


@pytest.mark.parametrize("name", ["softmax-mask_causal-padded", "linear-mask_causal-padded"])
def test_queries_without_a_source_token(name):
    case = CASE[name]
    first = {name: array[0] for name, array in case.inputs.items()}
    found = simulate(lower(case.spec, case.weights), first)["y"]
    assert relative_error(found, expected_output(case)[0]) < 1e-14


def test_bounds_on_synapses():
    """A causal memory stores j <= i, here between cells side by side."""
    case = CASE["memory_causal_biased_padded"]
    circuit = lower(case.spec, case.weights)
    axes = tuple(dataclasses.replace(axis, unfold=Unfold.SPACE) for axis in circuit.axes)
    circuit = dataclasses.replace(circuit, axes=axes)
    found = simulate(circuit, second_example(case))["y"]
    assert relative_error(found, expected_output(case)[1]) < 1e-14


@settings(
    max_examples=25,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(circuit=circuits(time=False), seed=st.integers(0, 9), tokens=st.integers(1, 4))
def test_any_circuit_in_space(circuit, seed, tokens):
    inputs, weights, rates = real_numbers(circuit, seed, tokens)
    assume(NENGO.unsupported(circuit) == [])
    found = simulate(circuit, inputs, weights)["y"]
    expected = get_runner("reference").run(circuit, inputs, weights)["y"]
    assert found.shape == expected.shape
    largest = max(float(np.abs(rate).max(initial=1.0)) for rate in rates.values())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * largest)


# ---- spiking ---------------------------------------------------------------------------------------


def error(script, x, circuit, number, seed):
    """The largest error of an output, which must be what the script says."""
    script["DIFFERENCES"].clear()
    weights = {p.name: p.values for p in circuit.parameters}
    options = {"neurons": "lif", "neurons_per_dimension": number, "seed": seed, "time": 0.4}
    found = script["simulate"](x, weights=weights, **options)["y"]
    expected = get_runner("reference").run(circuit, {"x": x})["y"]
    said = script["DIFFERENCES"]["relay"]
    np.testing.assert_allclose(said, [np.abs(found - expected).max(), np.abs(expected).max()])
    return np.abs(found - expected).max()


@pytest.mark.full
def test_more_neurons_err_less():
    """Twenty and two hundred a compartment, seeds fixed; the script tells its error as it is."""
    circuit, x = small()
    script = load(circuit)
    few, many = ([error(script, x, circuit, n, seed) for seed in (0, 1)] for n in (20, 200))
    assert max(many) < min(few)
    assert np.mean(many) < 0.5 * np.mean(few)


def test_the_same_seed_gives_the_same_spikes():
    circuit, x = small(SMALLEST)
    script = load(circuit)
    options = {"neurons": "lif", "neurons_per_dimension": 5, "time": 0.05}
    weights = {p.name: p.values for p in circuit.parameters}
    runs = [script["simulate"](x, weights=weights, seed=s, **options)["y"] for s in (3, 3, 4)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


def test_run_tells_the_error():
    """In a process of its own, a batch of two: the larger error of both."""
    circuit, x = small(SMALLEST)
    runner = get_runner("nengo", neurons="lif", neurons_per_dimension=5, time=0.05)
    batch = np.stack([x, 2 * x])
    found = runner.run(circuit, {"x": batch})["y"]
    expected = get_runner("reference").run(circuit, {"x": batch})["y"]
    assert found.shape == expected.shape
    line = runner.remarks[-1]
    difference, largest = np.abs(found - expected).max(), np.abs(expected).max()
    assert line == (
        f"relay: spiking rates differ by {difference:.3g} at most; largest rate {largest:.3g}"
    )
    exact = get_runner("nengo")
    assert relative_error(exact.run(circuit, {"x": batch})["y"], expected) < 1e-14
    assert exact.remarks == ()
