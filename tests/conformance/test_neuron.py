"""NEURON models settle to the reference interpreter: every case in space, other passes, MPI."""

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from cortico.backends import get_backend, get_runner
from cortico.ir import Unfold
from cortico.lowering import lower
from cortico.pipeline import compile_attention
from tests.backends.brian2.simulation import second_example
from tests.backends.neuron.simulation import MPI, SYNCHRONOUS, needs_mpi, needs_neuron, simulate
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_option
from tests.strategies import circuits, real_numbers

pytestmark = needs_neuron

CASE = {case.name: case for case in CASES}
NEURON = get_backend("neuron")


def error(circuit, example, **options):
    found = simulate(circuit, example, **options)
    expected = get_runner("reference").run(circuit, example)
    assert found.keys() == expected.keys()
    return max(relative_error(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("case", every_option())
def test_settles_to_the_reference(case):
    """A tenth of them: all are measured in test_support.py."""
    circuit = lower(case.spec, case.weights)
    in_time = [axis.name for axis in circuit.axes if axis.in_time]
    assert NEURON.unsupported(circuit) == [f"axis {name!r} is in time" for name in in_time]
    if not in_time:
        assert error(circuit, second_example(case), **SYNCHRONOUS) < 1e-12


@pytest.mark.parametrize("case", every_option(long=True))
def test_in_time(case):
    """Steps far shorter than the time constants, those of each class."""
    circuit, example = lower(case.spec, case.weights), second_example(case)
    assert error(circuit, example) < 1e-9


@pytest.mark.parametrize(
    ("name", "passes"),
    [("bert", "default"), ("gpt_oss", "default"), ("one_feature", "default,split-sign")],
)
def test_after_passes(name, passes):
    case = CASE[name]
    circuit = compile_attention(case.spec, case.weights, passes=passes).circuit
    assert error(circuit, second_example(case), **SYNCHRONOUS) < 1e-9


@pytest.mark.parametrize("name", ["softmax-mask_causal-padded", "linear-mask_causal-padded"])
def test_queries_without_a_source_token(name):
    """Zeros, and not what roundings give when they are divided by roundings."""
    case = CASE[name]
    first = {name: array[0] for name, array in case.inputs.items()}
    assert error(lower(case.spec, case.weights), first, **SYNCHRONOUS) < 1e-11


def test_bounds_on_synapses():
    """A causal memory stores j <= i, here between cells side by side."""
    case = CASE["memory_causal_biased_padded"]
    circuit = lower(case.spec, case.weights)
    axes = tuple(dataclasses.replace(axis, unfold=Unfold.SPACE) for axis in circuit.axes)
    circuit = dataclasses.replace(circuit, axes=axes)
    assert any(projection.domain for projection in circuit.projections)
    assert error(circuit, second_example(case), **SYNCHRONOUS) < 1e-9


@settings(
    max_examples=25,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(circuit=circuits(time=False), seed=st.integers(0, 9), tokens=st.integers(1, 4))
def test_any_circuit_in_space(circuit, seed, tokens):
    """Any compartments, transfer functions, domains, drives and orders of axes."""
    inputs, weights, rates = real_numbers(circuit, seed, tokens)
    assume(NEURON.unsupported(circuit) == [])
    assume(all(np.isfinite(rate).all() for rate in rates.values()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = simulate(circuit, inputs, weights, **SYNCHRONOUS)["y"]
    expected = get_runner("reference").run(circuit, inputs, weights)["y"]
    assert found.shape == expected.shape
    largest = max(float(np.abs(rate).max(initial=1.0)) for rate in rates.values())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * largest)


@needs_mpi
def test_two_ranks_give_what_one_gives(monkeypatch):
    """A batch, as a user runs it; heads on both ranks."""
    for name, value in MPI.items():
        monkeypatch.setenv(name, value)
    case = CASE["gpt_oss"]
    circuit = lower(case.spec, case.weights)
    found = [
        get_runner("neuron", ranks=ranks, **SYNCHRONOUS).run(circuit, case.inputs)["y"]
        for ranks in (1, 2)
    ]
    assert relative_error(found[0], expected_output(case)) < 1e-12
    assert relative_error(found[1], found[0]) < 1e-14
