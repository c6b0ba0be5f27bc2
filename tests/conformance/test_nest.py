"""NEST networks settle to the reference interpreter: every case in space, other passes, threads."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from cortico.backends import get_backend, get_runner
from cortico.lowering import lower
from cortico.pipeline import compile_attention
from tests.backends.brian2.simulation import second_example
from tests.backends.nest.simulation import needs_nest, simulate
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.strategies import circuits, real_numbers

pytestmark = needs_nest

CASE = {case.name: case for case in CASES}
NEST = get_backend("nest")


def error(circuit, example, **options):
    found = simulate(circuit, example, **options)
    expected = get_runner("reference").run(circuit, example)
    assert found.keys() == expected.keys()
    return max(relative_error(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_settles_to_the_reference(case):
    circuit = lower(case.spec, case.weights)
    in_time = [axis.name for axis in circuit.axes if axis.in_time]
    assert NEST.unsupported(circuit) == [f"axis {name!r} is in time" for name in in_time]
    if not in_time:
        assert error(circuit, second_example(case)) < 1e-9


@pytest.mark.parametrize("passes", ["default", "aggressive", "default,split-sign"])
@pytest.mark.parametrize("case", CASES[:80:16], ids=lambda case: case.name)
def test_after_passes(case, passes):
    circuit = compile_attention(case.spec, case.weights, passes=passes).circuit
    if NEST.unsupported(circuit) == []:
        assert error(circuit, second_example(case)) < 1e-9


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(circuit=circuits(time=False), seed=st.integers(0, 9), tokens=st.integers(1, 4))
def test_any_circuit_in_space(circuit, seed, tokens):
    """Any compartments, domains, drives and orders of axes."""
    inputs, weights, rates = real_numbers(circuit, seed, tokens)
    assume(NEST.unsupported(circuit) == [])
    found = simulate(circuit, inputs, weights)["y"]
    expected = get_runner("reference").run(circuit, inputs, weights)["y"]
    assert found.shape == expected.shape
    largest = max(float(np.abs(rate).max(initial=1.0)) for rate in rates.values())
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * largest)
