"""Simulators run circuits in time: step by step as loops written by hand do, and as the reference does."""

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.backends.ending import Ending
from cortico.backends.trajectory import run_in_time
from cortico.lowering import lower
from tests.backends.brian2.simulation import second_example
from tests.cases import LIVING as FEEDBACK
from tests.conformance.in_time import DT, LIVING, excitation_and_inhibition
from tests.conformance.test_backends import expected_output, relative_error

#: Each simulator, its options, and how far it may be from the loop, of the largest rate.
NEAR = {
    "brian2": ({"dt": DT}, 1e-11),
    "nengo": ({"dt": DT / 1e3}, 1e-11),
    "nest": ({"dt": DT}, 1e-11),
    "annarchy": ({"dt": DT}, 1e-11),
}

#: What simulators do not have.
REFUSED = {
    ("nest", "gain control"): [
        "products and quotients, where a rate neuron of NEST that runs in time sums: of out"
    ]
}

#: The circuits as they are meant, and each with the other kind of cells.
CASES = [
    pytest.param(
        case,
        case.options.get("prospective", False) != other,
        id=f"{case.name}{', other cells' * other}",
        marks=[pytest.mark.full] * other,
    )
    for other in (False, True)
    for case in LIVING
]


def parts_of(found, expected):
    """The largest difference, of the largest rate."""
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize(("case", "prospective"), CASES)
def test_the_reference_does_what_loops_do(case, prospective):
    expected = case.course(prospective=prospective)
    assert parts_of(case.reference(prospective=prospective), expected) < 1e-11


def test_the_pair_oscillates():
    """Or it would show little: an error of one step in a delay moves all that comes later."""
    pair = excitation_and_inhibition()
    assert run_in_time(pair.circuit, pair.inputs, duration=400.0).ending is Ending.OSCILLATES


@pytest.mark.parametrize(
    "name",
    [
        "brian2",
        "nengo",
        "nest",
        pytest.param("annarchy", marks=pytest.mark.full),
    ],  # which is compiled
)
@pytest.mark.parametrize(("case", "prospective"), CASES)
def test_simulators_do_what_loops_do(name, case, prospective):
    options, near = NEAR[name]
    pytest.importorskip(name.replace("annarchy", "ANNarchy"))
    streams = "token_ms" in case.options
    recorded = {} if streams else {"monitor": "out"}
    told = {**case.options, **options, **recorded, "prospective": prospective}
    backend = get_backend(name, **told)
    refused = REFUSED.get((name, case.name), [])
    assert backend.unsupported(case.circuit) == refused
    if refused:
        return
    found = backend.run(case.circuit, case.inputs)["y"]
    assert parts_of(found, case.expected(prospective=prospective)) < near
    if not streams:
        course = case.course(prospective=prospective)[:-1]
        rates = backend.recording.rates_of("out")[: len(course)]
        assert parts_of(rates, course) < near


@pytest.mark.full
@pytest.mark.parametrize("case", FEEDBACK)
def test_softmax_by_feedback_comes_to_rest(case):
    """Each simulator settles to softmax within what it states, on cells that are prospective."""
    circuit, example = lower(case.spec, case.weights), second_example(case)
    for name in (name for name in NEAR if name != "nest"):  # which refuses products
        pytest.importorskip(name.replace("annarchy", "ANNarchy"))
        found = get_backend(name, prospective=True, **NEAR[name][0]).run(circuit, example)["y"]
        assert relative_error(found, expected_output(case)[1]) < 1e-9
