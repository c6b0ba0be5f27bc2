"""NEST networks settle to the reference interpreter: every case in space, other passes, threads."""

import dataclasses

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from cortico.backends import get_backend, get_runner
from cortico.backends.nest import Options, emit_script
from cortico.backends.script_running import run_in_folder
from cortico.ir import Unfold, UnsupportedError
from cortico.lowering import lower
from cortico.pipeline import compile_attention
from tests.backends.brian2.simulation import second_example
from tests.backends.nest.simulation import needs_nest, simulate
from tests.backends.neuron.simulation import MPI
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_option, first
from tests.strategies import circuits, real_numbers

pytestmark = needs_nest

CASE = {case.name: case for case in CASES}
NEST = get_backend("nest")


def error(circuit, example, **options):
    found = simulate(circuit, example, **options)
    expected = get_runner("reference").run(circuit, example)
    assert found.keys() == expected.keys()
    return max(relative_error(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("case", every_option(long=True))
def test_settles_to_the_reference(case):
    """A tenth of them: all are measured in test_support.py."""
    circuit = lower(case.spec, case.weights)
    in_time = [axis.name for axis in circuit.axes if axis.in_time]
    rooted = [p.name for p in circuit.populations if p.transfer == "sqrt"]
    assert len(rooted) == (2 if case.spec.qk_norm else 0)
    assert NEST.unsupported(circuit) == [f"axis {name!r} is in time" for name in in_time] + [
        f"population {name!r} has the transfer function sqrt, which no rate neuron of NEST has"
        for name in rooted
    ]
    if not in_time and not rooted:
        assert error(circuit, second_example(case)) < 1e-9


@pytest.mark.parametrize(
    ("name", "passes"),
    first(1, [("gpt_oss", "default"), ("bert", "default"), ("one_feature", "default,split-sign")]),
)
def test_after_passes(name, passes):
    case = CASE[name]
    circuit = compile_attention(case.spec, case.weights, passes=passes).circuit
    assert error(circuit, second_example(case)) < 1e-9


@pytest.mark.parametrize("name", ["softmax-mask_causal-padded", "linear-mask_causal-padded"])
def test_queries_without_a_source_token(name):
    """Zeros, and not what roundings give when they are divided by roundings."""
    case = CASE[name]
    first = {name: array[0] for name, array in case.inputs.items()}
    assert error(lower(case.spec, case.weights), first) < 1e-11


def test_bounds_on_synapses():
    """A causal memory stores j <= i, here between cells side by side."""
    case = CASE["memory_causal_biased_padded"]
    circuit = lower(case.spec, case.weights)
    axes = tuple(dataclasses.replace(axis, unfold=Unfold.SPACE) for axis in circuit.axes)
    circuit = dataclasses.replace(circuit, axes=axes)
    assert any(projection.domain for projection in circuit.projections)
    assert error(circuit, second_example(case)) < 1e-9


@settings(
    max_examples=25,
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
    weights, inputs = case.weights, second_example(case)
    source = emit_script(lower(case.spec), Options())
    with pytest.raises(UnsupportedError, match="use threads, not MPI"):
        run_in_folder(source, inputs, weights, tmp_path, "NEST", ["mpiexec", "-n", "2"])


@pytest.mark.parametrize("reason", ["in time", "sqrt"])
def test_what_is_refused(reason):
    circuit = lower(CASE["memory"].spec)
    if reason == "sqrt":
        population = dataclasses.replace(circuit.populations[-1], transfer="sqrt")
        circuit = dataclasses.replace(circuit, populations=(*circuit.populations[:-1], population))
    assert any(reason in line for line in NEST.unsupported(circuit))
