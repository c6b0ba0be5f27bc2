"""Brian2 networks settle to the reference interpreter: every case, other passes, all targets."""

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cortico.backends import get_backend
from cortico.backends.transfers import unspelled
from cortico.ir import Unfold
from cortico.lowering import lower
from cortico.pipeline import compile_attention
from tests.backends.brian2.simulation import IN_TIME, SYNCHRONOUS, second_example, simulate
from tests.cases import CASES
from tests.conformance.test_backends import relative_error
from tests.covering import covering, every_option, first
from tests.strategies import circuits, real_numbers

CASE = {case.name: case for case in CASES}


def error(circuit, example, **options):
    outputs, _ = simulate(circuit, example, **options)
    expected = get_backend("reference").run(circuit, example)
    assert outputs.keys() == expected.keys()
    return max(relative_error(outputs[name], expected[name]) for name in expected)


@pytest.mark.slow
@pytest.mark.parametrize("case", every_option(long=True))
def test_settles_to_the_reference(case):
    """In time. Steps as long as tau, which settle exactly, are measured for all in test_support.py."""
    circuit, example = lower(case.spec, case.weights), second_example(case)
    assert get_backend("brian2").unsupported(circuit) == []
    assert error(circuit, example, **IN_TIME) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", first(1, ["gpt2", "llama", "memory_llama", "cross_padded"]))
def test_with_the_time_constants_of_each_class(name):
    case = CASE[name]
    assert error(lower(case.spec, case.weights), second_example(case)) < 1e-6


def after(passes, *quick):
    """Every option after the passes; what they do is tested elsewhere, so few cases are enough at first."""
    return [
        pytest.param(passes, case, id=f"{passes}-{case.name}", marks=marks)
        for case in covering(number=1)
        for marks in [pytest.mark.slow if not quick or case.name in quick else pytest.mark.cross]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("passes", "case"),
    [
        *after("default", "everything"),
        *after("default,serialize", "one_head"),
        *after("default,split-sign", "qwen2"),
    ],
)
def test_after_passes(case, passes):
    """Pruned, with queries in time, with non-negative rates."""
    circuit = compile_attention(case.spec, case.weights, passes=passes).circuit
    assert get_backend("brian2").unsupported(circuit) == []
    assert error(circuit, second_example(case), **SYNCHRONOUS) < 1e-8


@pytest.mark.full
@pytest.mark.parametrize("case", [c for c in CASES if c.spec.qk_norm], ids=lambda case: case.name)
def test_norms_of_split_signs(case):
    """The pool of squares of both halves of a cell: every case with a norm."""
    circuit = compile_attention(case.spec, case.weights, passes="default,split-sign").circuit
    assert error(circuit, second_example(case), **SYNCHRONOUS) < 1e-8


@pytest.mark.parametrize("name", ["qwen2", "everything", "softmax-mask_causal"])
def test_masked_pairs_of_tokens_that_are_all_in_time_are_refused(name):
    """Two axes in time meet in one population."""
    case = CASE[name]
    passes = "default,serialize(axis=tokens)"
    circuit = compile_attention(case.spec, case.weights, passes=passes).circuit
    refused = get_backend("brian2").unsupported(circuit)
    assert any("two axes in time" in reason for reason in refused)


@pytest.mark.slow
@pytest.mark.parametrize("case", every_option(long=True))
def test_fast_form(case):
    """Products of arrays in place of synapses: the same trajectories."""
    passes = "default" if case.seed % 2 else "none"
    circuit = compile_attention(case.spec, case.weights, passes=passes).circuit
    fast = get_backend("brian2", form="fast")
    if circuit.presents_tokens:
        assert "axes in time, which form=fast has not" in fast.unsupported(circuit)
        return
    courses = [
        simulate(
            circuit,
            second_example(case),
            backend_options={"form": form},
            duration=10.0,
            monitor=[p.name for p in circuit.populations],
        )[1]
        for form in ("synapses", "fast")
    ]
    for name, course in courses[0].items():
        assert np.allclose(courses[1][name], course, rtol=1e-9, atol=1e-12), name


@pytest.mark.full
@pytest.mark.parametrize(
    "target", ["cython", pytest.param("cpp_standalone", marks=pytest.mark.full)]
)
def test_compiled_targets(target):
    """Both axes in time and a memory: everything that the targets treat differently."""
    case = CASE["memory_rotary"]
    spec = dataclasses.replace(case.spec, model=4)
    circuit = lower(spec, random(spec))
    example = {"x": np.random.default_rng(0).standard_normal((3, 4))}
    assert error(circuit, example, target=target, **SYNCHRONOUS) < 1e-9


def random(spec):
    from cortico.spec.weights import random_weights

    return random_weights(spec, 0)


@pytest.mark.parametrize("form", ["synapses", "fast"])
@pytest.mark.parametrize("in_time", first(1, ["ij", "", "i", "j"]))
def test_bounds_on_synapses(form, in_time):
    """A causal memory stores j <= i: between cells side by side, or as queries or tokens pass."""
    case = CASE["memory_causal_biased_padded"]
    circuit = lower(case.spec, case.weights)
    axes = [
        dataclasses.replace(axis, unfold=Unfold.TIME if axis.name in in_time else Unfold.SPACE)
        for axis in circuit.axes
    ]
    circuit = dataclasses.replace(circuit, axes=tuple(axes))
    backend = get_backend("brian2", form=form)
    if form == "fast" and in_time:
        assert backend.unsupported(circuit) != []
        return
    assert backend.unsupported(circuit) == []
    options = {"backend_options": {"form": form}, **SYNCHRONOUS}
    assert error(circuit, second_example(case), **options) < 1e-9


@pytest.mark.full
@settings(max_examples=12)
@given(
    circuit=circuits(time=False),
    seed=st.integers(0, 9),
    tokens=st.integers(1, 4),
    form=st.sampled_from(["synapses", "fast"]),
)
def test_any_circuit_in_space(circuit, seed, tokens, form):
    """Any compartments, transfer functions, domains, drives and orders of axes."""
    inputs, weights, rates = real_numbers(circuit, seed, tokens)
    lost = [
        p.name
        for p in circuit.parameters
        if p.values is not None and not np.isfinite(p.values).all()
    ]
    assume(not lost and not [*unspelled(circuit, "brian2", "")])
    options = {"backend_options": {"form": form}, **SYNCHRONOUS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = simulate(circuit, inputs, weights, duration=10.0 * (len(rates) + 1), **options)[0][
            "y"
        ]
    expected = get_backend("reference").run(circuit, inputs, weights)["y"]
    assert found.shape == expected.shape
    largest = max(float(np.abs(rate).max(initial=1.0)) for rate in rates.values())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12 * largest)
