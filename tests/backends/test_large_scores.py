"""Scores of any size: what a backend gives is softmax of them, or one error says that it cannot compute it.

A float64 ends at e^709 and e^-745. In a circuit that is softmax nothing is that large: only what is between is.
"""

import warnings

import numpy as np
import pytest

from cortico import AttentionSpec, UnsupportedError, get_runner, lower, random_weights
from cortico.backends.reference import interpret
from cortico.backends.wide import WideInterpreter, exponential, summed, wide
from cortico.ir.analysis.inputs import given_inputs, parameter_values
from tests.backends.simulators import CELL_BY_CELL, NEURON, missing
from tests.cases import CASES
from tests.covering import every_option
from tests.oracle import textbook_attention

SPEC = AttentionSpec(4, 2, key_padding=True, bias=True)
WEIGHTS = random_weights(SPEC)
X = np.random.default_rng(0).standard_normal((5, 4))
KEEP = np.array([1, 1, 0, 1, 1])

EXAMPLES = {
    "a masked token alone": (np.array([1, 1, 1e4, 1, 1]), KEEP),
    "all tokens": (np.full(5, 1e3), KEEP),
    "all tokens, none masked": (np.full(5, 1e3), np.ones(5)),
    "nothing exists": (np.full(5, 1e3), np.zeros(5)),
}


def run(backend, spec, weights, **inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return get_runner(backend).run(lower(spec, weights), inputs)["y"]


@pytest.mark.parametrize("backend", ["reference", "numpy", "torch", "jax"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_large_scores(backend, name):
    sizes, keep = EXAMPLES[name]
    x = X * sizes[:, None]
    y = textbook_attention(SPEC, WEIGHTS, x, keep=keep)
    found = run(backend, SPEC, WEIGHTS, x=x, keep=keep)
    assert np.abs(found - y).max() < 1e-9 * np.abs(y).max()


@pytest.mark.parametrize("score", [-1e5, -2000.0, -900.0, -740.0, 690.0, 800.0, 1e5])
@pytest.mark.parametrize("mask", ["none", "causal"])
def test_scores_that_a_float_cannot_exponentiate(score, mask):
    """Where all scores are, so that no exponential is a float, or too small a one to have all digits."""
    spec, weights, x = far(score, mask)
    y = textbook_attention(spec, weights, x)
    for backend in ("reference", "numpy"):
        np.testing.assert_allclose(run(backend, spec, weights, x=x), y, rtol=1e-9, atol=0)


@pytest.mark.parametrize("sigma", [1e-30, 0.5, 1e30])
@pytest.mark.parametrize("score", [-1e5, -900.0, -80.0, 0.0, 68.0, 110.0, 690.0, 800.0, 1e5])
def test_a_constant_divides_beside_exponentials_of_any_size(score, sigma):
    """exp(s_j) / (sigma + Σ exp(s)): the constant goes with the shift, and is not lost before it should be."""
    spec, weights, x = far(score, "causal", semi_saturation=sigma)
    y = textbook_attention(spec, weights, x)
    for backend in ("reference", "numpy", "torch", "jax"):
        np.testing.assert_allclose(run(backend, spec, weights, x=x), y, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("sigma", [1e-30, 0.5, 1e30])
@pytest.mark.parametrize("score", [-1000.0, -100.0, -80.0, 0.0, 68.0, 110.0, 1000.0])
def test_a_constant_divides_in_single_precision(score, sigma):
    spec, weights, x = far(score, semi_saturation=sigma)
    small = {name: array.astype(np.float32) for name, array in weights.items()}
    y = textbook_attention(spec, small, x.astype(np.float32))
    for backend in ("numpy", "torch", "jax"):
        found = run(backend, spec, small, x=x.astype(np.float32))
        assert found.dtype == np.float32
        least = 1e-13 if backend != "jax" else 1e-8  # XLA has no subnormal numbers: 1e-38 / sigma
        np.testing.assert_allclose(found, y, rtol=2e-4, atol=least)


def far(score, mask="none", **options):
    """Two tokens of one head: scores are `score`, and up to a tenth less."""
    spec = AttentionSpec(2, 1, scale=1.0, mask=mask, **options)
    weights = {name: np.eye(2)[None] for name in ("W_Q", "W_V", "W_O")}
    x = np.array([[1, 0.5], [0.95 if abs(score) < 1e3 else 1 - 5 / abs(score), 0.2]])
    return spec, {**weights, "W_K": np.diag([score, 0.0])[None]}, x


@pytest.mark.parametrize("case", every_option(CASES))
def test_wide_numbers_are_those_of_the_interpreter(case):
    """Every rate of circuits of which floats hold all."""
    circuit = lower(case.spec, case.weights)
    own = {tensor.name: len(tensor.shape) for tensor in circuit.inputs}
    inputs = {n: a.reshape(-1, *a.shape[-own[n] :])[0] for n, a in case.inputs.items()}
    arrays, symbols = given_inputs(circuit, inputs)
    tensors = {**parameter_values(circuit, symbols), **arrays}
    for tensor in (t for t in circuit.inputs if t.name not in arrays):
        tensors[tensor.name] = np.ones([symbols.get(side, side) for side in tensor.shape])
    floats = {name: np.asarray(array, np.float64) for name, array in tensors.items()}
    found = WideInterpreter(circuit, circuit.sizes(symbols), floats).rates()
    for name, rates in interpret(circuit, inputs).items():
        np.testing.assert_allclose(found[name], rates, rtol=0, atol=1e-12 * np.abs(rates).max())


def test_wide_numbers():
    large, small = exponential(np.array([5000.0, -5000.0])), wide(np.array([0.0, 3.0]), 9000)
    assert (large * exponential(np.array([-4999.0, 5001.0]))).numbers() == pytest.approx(
        [np.e, np.e], rel=1e-12
    )
    assert (small / small).numbers().tolist() == [0.0, 1.0]
    assert (large * small).numbers()[0] == 0.0
    assert summed(small, (0,)).exponent == 9002
    assert large.numbers().tolist() == [np.inf, 0.0]


def test_numbers_that_are_none_stay_so():
    x = X.copy()
    x[0, 0] = np.nan
    assert np.isnan(get_runner("reference").run(lower(SPEC, WEIGHTS), {"x": x})["y"]).any()


# ---- simulators --------------------------------------------------------------------------------------

#: Scores that each computes, and scores that it does not.
RANGES = {
    "nest": ((-60.0, 72.25, 86.0), (-150.0, -400.0, 100.0, 800.0)),
    "neuron": ((-600.0, 690.0), (-900.0, 705.0, 750.0)),
    "annarchy": ((-60.0, 690.0), (-600.0, -900.0, 750.0)),
    "nengo": ((-600.0, 690.0), (-900.0, 750.0)),
    "brian2": ((-600.0, 690.0), (-900.0, 750.0)),
}
NEEDS = {s.name: s.needs for s in CELL_BY_CELL}
NEEDS["brian2"] = pytest.mark.skipif(bool(missing(["brian2"])), reason="brian2 not installed")


#: The others take long.
QUICK = (("nest", 72.25), ("nest", 100.0), ("nest", -400.0))


def simulations(place):
    """Simulators, and scores that they compute (0), or that they do not (1)."""
    for name, scores in RANGES.items():
        for score in scores[place]:
            when = pytest.mark.slow if (name, score) in QUICK else pytest.mark.full
            yield pytest.param(name, score, marks=[NEEDS[name], when], id=f"{name} {score}")


@pytest.mark.parametrize(("simulator", "score"), [*simulations(0)])
def test_what_a_simulator_computes(simulator, score):
    spec, weights, x = far(score)
    y = textbook_attention(spec, weights, x)
    assert np.abs(run(simulator, spec, weights, x=x) - y).max() < 1e-8


@pytest.mark.parametrize(("simulator", "score"), [*simulations(1)])
def test_what_a_simulator_does_not_compute(simulator, score):
    """It says so in one line, and gives no number."""
    spec, weights, x = far(score)
    with pytest.raises(UnsupportedError, match=r"exponential|NaN or infinite|non-finite") as caught:
        run(simulator, spec, weights, x=x)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@pytest.mark.full
@NEURON.needs
def test_masked_scores_do_not_matter_to_simulators():
    """A padded token of which the score is large: its cells fire, and are silenced."""
    _, weights, x = far(60.0)
    padded = AttentionSpec(2, 1, scale=1.0, key_padding=True)
    x = np.vstack([x, [[1.3, 0]]])
    y = textbook_attention(padded, weights, x, keep=[1, 1, 0])
    assert np.abs(run("neuron", padded, weights, x=x, keep=[1, 1, 0]) - y).max() < 1e-8
