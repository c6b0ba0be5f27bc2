"""NEST networks on threads, on MPI ranks, and the transfer function that no rate neuron has."""

import dataclasses

import numpy as np
import pytest

from cortico.backends import get_backend, get_runner
from cortico.backends.script_running import run_in_folder
from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Region,
    Role,
    TensorRef,
    UnsupportedError,
    Weight,
)
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


def powers(most):
    """A chain of products: cell x[k] fires x to the power k + 1."""
    b = CircuitBuilder("powers")
    b.axis("i", Role.FEATURE, "n")
    b.input("x", ("n",))
    cell, x = (("i",), Region.L5, CellClass.PT), (Weight(TensorRef("x", ("i",))),)
    b.population("x0", *cell, [Compartment("c", drive=x)])
    for k in range(1, most):
        b.population(f"x{k}", *cell, [Compartment("c"), Compartment("x", drive=x)])
        b.project(f"on{k}", f"x{k - 1}", f"x{k}", "c")
    b.output("y", f"x{most - 1}", ("i",))
    return b.build()


def test_a_long_chain_of_products_keeps_its_digits():
    """A product makes several jitters of one: units that were not held were 2e-6 apart."""
    x = np.random.default_rng(0).uniform(0.8, 1.2, 12)
    found = NEST.settle(powers(16), {"x": x})["y"]
    assert relative_error(found, x**16) < 1e-13
