"""NEURON models in time, and on MPI ranks."""

import pytest

from cortico.backends import get_runner
from cortico.lowering import lower
from tests.backends.brian2.simulation import second_example
from tests.backends.simulators import MPI, NEURON, needs_mpi
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_option

pytestmark = NEURON.needs

CASE = {case.name: case for case in CASES}


@pytest.mark.parametrize("case", every_option(long=True))
def test_in_time(case):
    """Steps far shorter than the time constants, those of each class."""
    circuit, example = lower(case.spec, case.weights), second_example(case)
    found = NEURON.simulate(circuit, example)
    expected = get_runner("reference").run(circuit, example)
    assert found.keys() == expected.keys()
    assert max(relative_error(found[name], expected[name]) for name in expected) < 1e-9


@needs_mpi
def test_two_ranks_give_what_one_gives(monkeypatch):
    """A batch, as a user runs it; heads on both ranks."""
    for name, value in MPI.items():
        monkeypatch.setenv(name, value)
    case = CASE["gpt_oss"]
    circuit = lower(case.spec, case.weights)
    found = [
        get_runner("neuron", ranks=ranks, **NEURON.exactly).run(circuit, case.inputs)["y"]
        for ranks in (1, 2)
    ]
    assert relative_error(found[0], expected_output(case)) < 1e-12
    assert relative_error(found[1], found[0]) < 1e-14
