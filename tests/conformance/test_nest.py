"""NEST networks on threads, on MPI ranks, and the transfer function that no rate neuron has."""

import dataclasses

import pytest

from cortico.backends import get_backend, get_runner
from cortico.backends.script_running import run_in_folder
from cortico.ir import UnsupportedError
from cortico.lowering import lower
from tests.backends.brian2.simulation import second_example
from tests.backends.simulators import MPI, NEST
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error

pytestmark = NEST.needs

CASE = {case.name: case for case in CASES}


@pytest.mark.full
def test_threads_give_what_one_gives():
    """A batch, as a user runs it; units spread over two threads."""
    case = CASE["gpt_oss"]
    circuit = lower(case.spec, case.weights)
    found = [
        get_runner("nest", threads=threads).run(circuit, case.inputs)["y"] for threads in (1, 2)
    ]
    assert relative_error(found[0], expected_output(case)) < 1e-9
    assert relative_error(found[1], found[0]) < 1e-9


def test_on_two_ranks_the_script_asks_for_threads(tmp_path, monkeypatch):
    """Where NEST was built with MPI: nothing is computed from the units of one rank alone."""
    import nest

    if not nest.build_info["have_mpi"]:
        pytest.skip("this NEST has no MPI, as the wheel on PyPI")
    for name, value in MPI.items():
        monkeypatch.setenv(name, value)
    case = CASE["one_head"]
    source = NEST.source(lower(case.spec))
    with pytest.raises(UnsupportedError, match="use threads, not MPI"):
        run_in_folder(
            source, second_example(case), case.weights, tmp_path, "NEST", ["mpiexec", "-n", "2"]
        )


def test_erf_is_refused():
    circuit = lower(CASE["one_head"].spec)
    population = dataclasses.replace(circuit.populations[-1], transfer="erf")
    circuit = dataclasses.replace(circuit, populations=(*circuit.populations[:-1], population))
    assert any("erf" in line for line in get_backend("nest").unsupported(circuit))
