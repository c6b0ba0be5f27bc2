"""The emitted NumPy file: what it says, and what it does beyond the case table."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortico.backends import get_backend
from cortico.backends.numpy import compile_source, emit_source
from cortico.backends.reference import ReferenceBackend
from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Effect,
    Region,
    Role,
    SpecError,
    TensorRef,
    Weight,
)
from cortico.ir.analysis.inputs import bind_symbols
from cortico.lowering import lower
from cortico.pipeline import compile_attention
from cortico.spec import AttentionSpec, Kernel, Mask, PositionBias
from cortico.spec.weights import random_weights
from tests.cases import CASES
from tests.oracle import textbook_attention
from tests.strategies import circuits, real_numbers

CASE = {case.name: case for case in CASES}


@pytest.mark.parametrize("name", ["linear-mask_none", "bert", "everything"])
def test_golden_code(name, golden):
    case = CASE[name]
    golden(emit_source(lower(case.spec, case.weights)), f"{name}.py.txt")


@pytest.mark.slow
@settings(max_examples=40)
@given(circuit=circuits(), seed=st.integers(0, 9), tokens=st.integers(1, 4))
def test_any_circuit_runs_as_the_reference_says(circuit, seed, tokens):
    inputs, given, rates = real_numbers(circuit, seed, tokens)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = ReferenceBackend().run(circuit, inputs, given)["y"]
        found = get_backend("numpy").run(circuit, inputs, given)["y"]
    assert found.shape == expected.shape
    largest = max(float(np.abs(rate).max(initial=1.0)) for rate in rates.values())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13 * largest)


def scores_of_size(size, **options):
    """A one-head circuit whose scores are as large as `size`, and its inputs."""
    spec = AttentionSpec(model=4, heads=1, scale=1.0, **options)
    weights = random_weights(spec)
    weights["W_Q"] = weights["W_K"] = np.eye(4)[None] * np.sqrt(size)
    if spec.extra_source:
        weights["extra_K"] = weights["extra_K"] * np.sqrt(size)
    return spec, weights, np.random.default_rng(0).standard_normal((6, 4))


@pytest.mark.parametrize("size", [1e3, 1e5])
@pytest.mark.parametrize("more", [(), ("sink",), ("sink", "extra_source")])
def test_softmax_of_large_scores(size, more):
    spec, weights, x = scores_of_size(size, mask=Mask.CAUSAL, **dict.fromkeys(more, True))
    found = get_backend("numpy").run(lower(spec, weights), {"x": x})["y"]
    np.testing.assert_allclose(found, textbook_attention(spec, weights, x), rtol=1e-9, atol=1e-12)


def test_padded_tokens_with_large_scores_do_not_silence_the_others():
    spec, weights, x = scores_of_size(1.0, key_padding=True)
    x[3] *= 1e3
    keep = np.arange(6) != 3
    found = get_backend("numpy").run(lower(spec, weights), {"x": x, "keep": keep})["y"]
    expected = textbook_attention(spec, weights, x, keep=keep)
    np.testing.assert_allclose(found[keep], expected[keep], rtol=1e-9)


def test_a_query_without_a_live_token_gets_zeros():
    spec = AttentionSpec(model=4, heads=2, key_padding=True)
    inputs = {"x": np.ones((3, 4)), "keep": np.zeros(3, bool)}
    found = get_backend("numpy").run(lower(spec, random_weights(spec)), inputs)["y"]
    np.testing.assert_array_equal(found, 0.0)


def test_padding_may_be_left_out():
    case = CASE["bert"]
    circuit, x = lower(case.spec, case.weights), case.inputs["x"]
    for name in ("numpy", "reference"):
        found = get_backend(name).run(circuit, {"x": x})["y"]
        full = get_backend(name).run(circuit, {"x": x, "keep": np.ones(x.shape[1], bool)})["y"]
        np.testing.assert_array_equal(found, full)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_batch_axes(batch):
    spec = AttentionSpec(model=6, heads=2, kernel=Kernel.LINEAR, key_padding=True)
    circuit = lower(spec, random_weights(spec))
    rng = np.random.default_rng(0)
    inputs = {"x": rng.standard_normal((*batch, 4, 6)), "keep": rng.random((*batch, 4)) < 0.7}
    found = get_backend("numpy").run(circuit, inputs)["y"]
    np.testing.assert_allclose(found, ReferenceBackend().run(circuit, inputs)["y"], rtol=1e-12)


def hostile_circuit():
    """Names that mean something to Python, NumPy and the emitted file; axes of many letters."""
    b = CircuitBuilder('quotes "\'\n""" \\N{BULLET} and\r newlines\x00')
    t = b.axis("token", Role.COLUMN, "np")
    m = b.axis("tokens", Role.MODEL, 3)
    b.input("weights_", ("np", 3))
    b.parameter("sizes", (3,), np.arange(3.0))
    b.parameter("dtype", (3,), np.arange(3.0) + 1)
    drive = Weight(TensorRef("weights_", (t, m)))
    first = Compartment("driver", drive=(drive, Weight(TensorRef("sizes", (m,)))))
    b.population("lambda", (t, m), Region.CORE, CellClass.RELAY, [first], transfer="tanh")
    b.population("np", (t,), Region.L5, CellClass.PV, [Compartment("soma")], transfer="exp")
    b.project("for", "lambda", "np", "soma", Weight(TensorRef("dtype", (m,))))
    inhibited = [Compartment("x"), Compartment("shunt", Effect.DIVIDES)]
    b.population("attention", (t, m), Region.L5, CellClass.PT, inhibited)
    b.project("None", "lambda", "attention", "x")
    b.project("partial", "np", "attention", "shunt")
    b.output("return", "attention", (m, t))
    return b.build()


def test_hostile_names():
    x = np.random.default_rng(0).standard_normal((4, 3))
    rate = np.tanh(x + np.arange(3))
    expected = (rate / np.exp(rate @ np.arange(1.0, 4))[:, None]).T
    for name in ("numpy", "reference"):
        found = get_backend(name).run(hostile_circuit(), {"weights_": x})["return"]
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "input 'x' is missing"),
        ({"x": np.ones((5, 9))}, r"'x' has shape \(5, 9\), expected \(…, 5, 8\)"),
        ({"x": np.ones(8)}, r"'x' has shape \(8,\)"),
        ({"x": np.ones((0, 8))}, "none empty"),
        ({"x": np.ones((5, 8)), "kep": np.ones(5)}, "unknown input 'kep'.*did you mean 'keep'"),
        ({"x": np.ones((5, 8)), "keep": np.ones(4)}, r"'keep' has shape \(4,\), expected \(…, 5\)"),
    ],
)
@pytest.mark.parametrize("backend", ["numpy", "reference"])
def test_wrong_inputs(backend, inputs, message):
    case = CASE["bert"]
    with pytest.raises(SpecError, match=message):
        get_backend(backend).run(lower(case.spec, case.weights), inputs)


def test_the_emitted_file_checks_its_inputs_itself():
    case = CASE["bert"]
    attention = compile_source(emit_source(lower(case.spec, case.weights)))
    with pytest.raises(ValueError, match=r"x has shape \(5, 9\), expected \(..., n, 8\)"):
        attention(np.ones((5, 9)), weights=case.weights)


def test_symbols_are_bound_by_inputs_with_batch_axes():
    circuit = lower(CASE["bert"].spec)
    assert bind_symbols(circuit, {"x": np.ones((7, 5, 8))}) == {"n": 5}


def test_the_emitted_file_stands_alone(tmp_path):
    """Run by a Python that sees NumPy and the standard library only, from the folder it lies in."""
    case = CASE["everything"]
    compile_attention(case.spec, case.weights).write(tmp_path / "made")
    np.savez(tmp_path / "inputs.npz", **case.inputs)
    script = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("cortico", "torch", "scipy", "sympy", "safetensors"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, {str(tmp_path / "made")!r})
import numpy as np
from attention import attention
inputs = dict(np.load({str(tmp_path / "inputs.npz")!r}))
np.save({str(tmp_path / "y.npy")!r}, attention(inputs.pop("x"), **inputs))
"""
    subprocess.run([sys.executable, "-I", "-c", script], check=True)
    expected = get_backend("reference").run(lower(case.spec, case.weights), case.inputs)["y"]
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-12, atol=1e-12)


def test_a_formula_of_one_number():
    """One head has one slope: NumPy before 2.4 makes a scalar of an array of one number."""
    spec = AttentionSpec(model=4, heads=1, position_bias=PositionBias.ALIBI)
    weights, x = random_weights(spec, 0), np.random.default_rng(0).standard_normal((3, 4))
    found = get_backend("numpy").run(lower(spec, weights), {"x": x})["y"]
    assert np.allclose(found, textbook_attention(spec, weights, x), rtol=0, atol=1e-12)


def test_inputs_of_two_precisions_are_computed_in_the_higher():
    case = CASE["cross"]
    circuit = lower(case.spec, case.weights)
    x, context = case.inputs["x"].astype(np.float32), case.inputs["context"]
    weights = {p.name: p.values for p in circuit.parameters}
    attention = compile_source(emit_source(circuit))
    assert attention(x, context, weights=weights).dtype == np.float64
    assert attention(x, context.astype(np.float32), weights=weights).dtype == np.float32


def test_zero_and_one_of_any_type_say_what_exists():
    spec = AttentionSpec(model=4, heads=2, kernel=Kernel.LINEAR, key_padding=True)
    circuit, x = lower(spec), np.random.default_rng(0).standard_normal((3, 4))
    attention, weights = compile_source(emit_source(circuit)), random_weights(spec)
    numbers, flags = ([0, 1.0, 1], [False, True, True])
    found, expected = (attention(x, keep=keep, weights=weights) for keep in (numbers, flags))
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match=r"keep must hold 0 or 1, found 0\.3$"):
        attention(x, keep=[0, 0.3, 1], weights=weights)
