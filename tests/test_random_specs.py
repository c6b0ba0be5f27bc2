"""Any valid spec, with any weights and inputs: every backend computes what the textbook says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortico.backends import get_backend
from cortico.ir.text import parse_circuit, print_circuit
from cortico.lowering import lower
from tests.oracle import textbook_attention
from tests.spec_strategies import inputs_of, planted_weights, small_specs


@pytest.mark.slow
@settings(max_examples=25)
@given(data=st.data(), spec=small_specs)
def test_any_spec_is_the_textbook(data, spec):
    weights, inputs = data.draw(planted_weights(spec)), data.draw(inputs_of(spec))
    circuit = lower(spec, weights)
    expected = textbook_attention(spec, weights, **inputs)
    largest = max(1.0, float(np.abs(expected).max()))
    for name in ("reference", "numpy"):
        found = get_backend(name).run(circuit, inputs)["y"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * largest)
    values = {p.name: p.values for p in circuit.parameters if p.values is not None}
    assert parse_circuit(print_circuit(circuit), values) == circuit
