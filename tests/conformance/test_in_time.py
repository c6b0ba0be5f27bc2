"""Simulators run circuits in time: step by step as the reference does, and as loops written by hand."""

import numpy as np
import pytest

from cortico.backends import get_backend
from tests.conformance.in_time import DT, LIVING

#: Each simulator, its options, and how far it may be from the reference, of the largest rate.
NEAR = {"brian2": ({"dt": DT}, 1e-12)}


def parts_of(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("case", LIVING, ids=lambda case: case.name)
@pytest.mark.parametrize("prospective", [False, True])
def test_the_reference_does_what_loops_do(case, prospective):
    expected = case.expected(prospective=prospective)
    assert parts_of(case.reference(prospective=prospective), expected) < 1e-12


@pytest.mark.parametrize("name", NEAR)
@pytest.mark.parametrize("case", LIVING, ids=lambda case: case.name)
@pytest.mark.parametrize("prospective", [False, True])
def test_simulators_do_what_loops_do(name, case, prospective):
    options, near = NEAR[name]
    pytest.importorskip(name)
    backend = get_backend(name, **{**case.options, **options, "prospective": prospective})
    assert backend.unsupported(case.circuit) == []
    found = backend.run(case.circuit, case.inputs)["y"]
    assert found.shape == case.inputs["x"].shape
    assert parts_of(found, case.expected(prospective=prospective)) < near
    assert parts_of(found, case.reference(prospective=prospective)) < near
