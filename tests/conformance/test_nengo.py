"""Spiking Nengo models err, less with more neurons, and say by how much."""

import numpy as np
import pytest

from cortico import AttentionSpec, random_weights
from cortico.backends import get_runner
from cortico.lowering import lower
from tests.backends.simulators import NENGO
from tests.conformance.test_backends import relative_error

pytestmark = NENGO.needs

SMALL, SMALLEST = AttentionSpec(model=2, heads=1), AttentionSpec(model=1, heads=1)


def small(spec=SMALL):
    """A small attention, here of two tokens and two features, as in `docs/nengo.md`; and its input."""
    circuit = lower(spec, random_weights(spec, 0))
    return circuit, np.random.default_rng(1).standard_normal((spec.model, spec.model))


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
    script = NENGO.load(circuit)
    few, many = ([error(script, x, circuit, n, seed) for seed in (0, 1)] for n in (20, 200))
    assert max(many) < min(few)
    assert np.mean(many) < 0.5 * np.mean(few)


def test_the_same_seed_gives_the_same_spikes():
    circuit, x = small(SMALLEST)
    script = NENGO.load(circuit)
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
