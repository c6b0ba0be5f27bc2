"""Networks of simulators settle to the textbook: every case in space, other passes, any circuit."""

import dataclasses
import os
import warnings

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from cortico.backends import get_runner
from cortico.ir import Unfold
from cortico.lowering import lower
from cortico.pipeline import compile_attention
from tests.backends.brian2.simulation import second_example
from tests.backends.simulators import ANNARCHY, CELL_BY_CELL, IN_PROCESS, NENGO, NEST, NEURON, TOY
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_option, first
from tests.strategies import circuits, real_numbers

CASE = {case.name: case for case in CASES}

#: Random circuits take ANNarchy ten seconds each, so they are tried when this says how many.
COMPILED = int(os.environ.get("ANNARCHY_EXAMPLES", "0"))

#: Relative and absolute tolerance on random circuits, whose numbers span many orders of magnitude.
ON_ANY = {NEST: (1e-7, 1e-9)}

#: Those that refuse rates that are infinite.
FINITE = (NEURON, ANNARCHY, TOY)

#: Those to which tokens can be presented one after another.
IN_TIME = (NEURON, NEST)


def on(simulator, parameters):
    """Parameters of a test on a simulator."""
    for values in parameters:
        found = values if hasattr(values, "marks") else pytest.param(*np.atleast_1d(values))
        marks = [*found.marks, simulator.needs]
        name = found.id or "-".join(map(str, found.values))
        yield pytest.param(simulator, *found.values, marks=marks, id=f"{simulator.name}-{name}")


def error(simulator, circuit, example):
    found = simulator.settle(circuit, example)
    expected = get_runner("reference").run(circuit, example)
    assert found.keys() == expected.keys()
    return max(relative_error(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("simulator", "case"),
    [
        *on(NEST, every_option(long=True)),
        *on(NEURON, every_option()),
        *on(NENGO, every_option()),
    ],
)
def test_settles_to_the_textbook(simulator, case):
    """A tenth of them: all are measured in test_support.py."""
    circuit, example = lower(case.spec, case.weights), second_example(case)
    in_time = [] if simulator in IN_TIME else [axis for axis in circuit.axes if axis.in_time]
    lacks = [f"axis {axis.name!r} is in time" for axis in in_time]
    assert simulator.backend().unsupported(circuit) == lacks
    if not lacks:
        found = simulator.settle(circuit, example)["y"]
        assert relative_error(found, expected_output(case)[1]) < simulator.near


AFTER = [("gpt_oss", "default"), ("bert", "default"), ("one_feature", "default,split-sign")]


@pytest.mark.parametrize(
    ("simulator", "name", "passes"),
    [*on(NEST, first(1, AFTER)), *on(NEURON, AFTER), *on(NENGO, AFTER), *on(TOY, AFTER)],
)
def test_after_passes(simulator, name, passes):
    case = CASE[name]
    circuit = compile_attention(case.spec, case.weights, passes=passes).circuit
    assert error(simulator, circuit, second_example(case)) < 1e-9


@pytest.mark.parametrize("simulator", IN_PROCESS)
@pytest.mark.parametrize("name", ["softmax-mask_causal-padded", "linear-mask_causal-padded"])
def test_queries_without_a_source_token(simulator, name):
    """Zeros, and not what roundings give when they are divided by roundings."""
    case = CASE[name]
    example = {name: array[0] for name, array in case.inputs.items()}
    found = simulator.settle(lower(case.spec, case.weights), example)["y"]
    assert relative_error(found, expected_output(case)[0]) < min(1e-11, simulator.near)


@pytest.mark.parametrize("simulator", IN_PROCESS)
def test_bounds_on_synapses(simulator):
    """A causal memory stores j <= i, here between cells side by side."""
    case = CASE["memory_causal_biased_padded"]
    circuit = lower(case.spec, case.weights)
    axes = tuple(dataclasses.replace(axis, unfold=Unfold.SPACE) for axis in circuit.axes)
    circuit = dataclasses.replace(circuit, axes=axes)
    assert any(projection.domain for projection in circuit.projections)
    found = simulator.settle(circuit, second_example(case))["y"]
    assert relative_error(found, expected_output(case)[1]) < simulator.near


@settings(
    max_examples=25,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(circuit=circuits(time=False), seed=st.integers(0, 9), tokens=st.integers(1, 4))
@pytest.mark.parametrize("simulator", IN_PROCESS)
def test_any_circuit_in_space(simulator, circuit, seed, tokens):
    """Any compartments, transfer functions, domains, drives and orders of axes."""
    any_circuit(simulator, circuit, seed, tokens)


@settings(
    max_examples=10,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(circuit=circuits(), seed=st.integers(0, 9), tokens=st.integers(1, 4))
@pytest.mark.parametrize("simulator", [pytest.param(s, marks=s.needs, id=s.name) for s in IN_TIME])
def test_any_circuit_in_time(simulator, circuit, seed, tokens):
    """Drives, weights and cells that change with the token, memories of any axis, further passes."""
    assume(circuit.presents_tokens)
    any_circuit(simulator, circuit, seed, tokens)


@ANNARCHY.needs
@pytest.mark.skipif(COMPILED == 0, reason="ANNARCHY_EXAMPLES says how many circuits to compile")
@settings(
    max_examples=max(COMPILED, 1),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(circuit=circuits(time=False), seed=st.integers(0, 9), tokens=st.integers(1, 4))
def test_any_circuit_in_space_that_is_compiled(circuit, seed, tokens):
    any_circuit(ANNARCHY, circuit, seed, tokens)


def any_circuit(simulator, circuit, seed, tokens):
    inputs, weights, rates = real_numbers(circuit, seed, tokens)
    assume(simulator.backend().unsupported(circuit) == [])
    assume(simulator not in FINITE or all(np.isfinite(rate).all() for rate in rates.values()))
    assume(simulator is not NEST or all((np.abs(rate) < 1e30).all() for rate in rates.values()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = simulator.settle(circuit, inputs, weights)["y"]
    expected = get_runner("reference").run(circuit, inputs, weights)["y"]
    assert found.shape == expected.shape
    largest = max(float(np.abs(rate).max(initial=1.0)) for rate in rates.values())
    relative, absolute = ON_ANY.get(simulator, (1e-9, 1e-12))
    np.testing.assert_allclose(found, expected, rtol=relative, atol=absolute * largest)


# ---- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("simulator", (ANNARCHY, NENGO), ids=lambda s: s.name)
def test_axes_in_time_are_refused(simulator):
    refused = simulator.backend().unsupported(lower(CASE["memory"].spec))
    assert refused == ["axis 'i' is in time", "axis 'j' is in time"]


@pytest.mark.parametrize("simulator", CELL_BY_CELL, ids=lambda s: s.name)
def test_weights_that_are_no_numbers_are_refused(simulator):
    circuit = lower(CASE["one_head"].spec, CASE["one_head"].weights)
    first, *others = circuit.parameters
    first = dataclasses.replace(first, values=np.full_like(first.values, np.nan))
    broken = dataclasses.replace(circuit, parameters=(first, *others))
    (line,) = simulator.backend().unsupported(broken)
    assert line == f"parameter {first.name!r} has numbers that are NaN or infinite"
