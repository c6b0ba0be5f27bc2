import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cortico.backends import get_backend
from cortico.backends.reference import ReferenceBackend
from tests.strategies import circuits, real_numbers

@settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
@given(circuit=circuits(), seed=st.integers(0, 9), tokens=st.integers(1, 4))
def test_any_circuit_runs_as_the_reference_says(circuit, seed, tokens):
    inputs, given, rates = real_numbers(circuit, seed, tokens)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = ReferenceBackend().run(circuit, inputs, given)["y"]
        found = get_backend("torch").run(circuit, inputs, given)["y"]
    assert found.shape == expected.shape
    largest = max(float(np.abs(rate).max(initial=1.0)) for rate in rates.values())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13 * largest)
