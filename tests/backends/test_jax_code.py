"""The emitted JAX function: what it says, and what it does beyond the case table."""

import math
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortico import UnsupportedError
from cortico.backends import get_backend
from cortico.backends.jax import compile_function, emit_function
from cortico.backends.reference import ReferenceBackend
from cortico.ir.text import parse_circuit, print_circuit
from cortico.learning import differentiate, gradient_circuit
from cortico.lowering import lower
from cortico.pipeline import compile_attention
from cortico.spec import AttentionSpec, Kernel, Mask
from cortico.spec.weights import random_weights
from tests.backends.test_numpy_code import hostile_circuit, scores_of_size
from tests.cases import CASES
from tests.oracle import textbook_attention
from tests.strategies import circuits, real_numbers

jax = pytest.importorskip("jax")
jnp = jax.numpy

CASE = {case.name: case for case in CASES}


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def function_of(circuit):
    return compile_function(emit_function(circuit))


def values_of(circuit):
    return {p.name: p.values for p in circuit.parameters if p.values is not None}


def tokens(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("name", ["linear-mask_causal", "bert"])
def test_golden_code(name, golden):
    case = CASE[name]
    golden(emit_function(lower(case.spec, case.weights)), f"{name}.jax.py.txt")


def test_a_window_that_no_column_is_in():
    """Of one token columns must be behind it and far ahead: there are none, however many tokens there are."""
    spec = AttentionSpec(8, 2, mask=Mask.CAUSAL)
    text = print_circuit(lower(spec)).replace("j - i <= 0", "i - j <= -300 and j - i <= 0")
    found = function_of(parse_circuit(text))(random_weights(spec, 0), tokens(3, 8))
    np.testing.assert_array_equal(found, np.zeros((3, 8)))


@pytest.mark.slow
@settings(max_examples=15)
@given(circuit=circuits(), seed=st.integers(0, 9), tokens=st.integers(1, 4))
def test_any_circuit_runs_as_the_reference_says(circuit, seed, tokens):
    inputs, given, rates = real_numbers(circuit, seed, tokens)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = ReferenceBackend().run(circuit, inputs, given)["y"]
        found = get_backend("jax").run(circuit, inputs, given)["y"]
    assert found.shape == expected.shape
    largest = max(float(np.abs(rate).max(initial=1.0)) for rate in rates.values())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13 * largest)


# ---- attention -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e3, 1e5])
@pytest.mark.parametrize("more", [(), ("sink",), ("sink", "extra_source")])
def test_softmax_of_large_scores(size, more):
    spec, weights, x = scores_of_size(size, mask=Mask.CAUSAL, **dict.fromkeys(more, True))
    found = get_backend("jax").run(lower(spec, weights), {"x": x})["y"]
    np.testing.assert_allclose(found, textbook_attention(spec, weights, x), rtol=1e-9, atol=1e-12)


def test_a_query_without_a_live_token_gets_zeros_and_no_nan():
    spec = AttentionSpec(model=4, heads=2, key_padding=True)
    weights, x = random_weights(spec), tokens(3, 4)
    attention = jax.jit(function_of(lower(spec, weights)))
    keep = np.zeros(3, bool)
    np.testing.assert_array_equal(attention(weights, x, keep=keep), 0.0)
    gradients = jax.jit(jax.grad(lambda w: attention(w, x, keep=keep).sum()))(weights)
    assert all(np.isfinite(array).all() for array in gradients.values())


LONG = [
    AttentionSpec(4, 2),
    AttentionSpec(4, 2, mask=Mask.CAUSAL, kv_heads=1, key_padding=True),
    AttentionSpec(4, 2, mask=Mask.WINDOW, window=5, key_padding=True),
    AttentionSpec(4, 2, kernel=Kernel.LINEAR, mask=Mask.CAUSAL),
]


@pytest.mark.slow
@pytest.mark.parametrize("spec", LONG, ids=lambda spec: f"{spec.kernel}-{spec.mask}")
def test_long_inputs_make_no_array_of_all_pairs(spec):
    weights, x = random_weights(spec), tokens(1001, 4)
    keep = {"keep": np.arange(1001) % 7 > 3} if spec.key_padding else {}
    circuit = lower(spec, weights)
    values = values_of(circuit)
    attention = jax.jit(function_of(circuit)).lower(values, x, **keep).compile()
    np.testing.assert_allclose(
        attention(values, x, **keep),
        textbook_attention(spec, weights, x, **keep),
        rtol=1e-9,
        atol=1e-12,
    )
    shapes = re.findall(r"\b(?:f64|pred|s64|s32)\[([\d,]+)\]", attention.as_text())
    assert shapes
    largest = max(shapes, key=lambda shape: math.prod(map(int, shape.split(","))))
    assert math.prod(map(int, largest.split(","))) < 1001 * 1001, largest


@pytest.mark.parametrize("length", [1, 64, 200])
def test_the_past_is_summed_in_chunks(length):
    spec = LONG[-1]
    weights, x = random_weights(spec), tokens(length, 4)
    found = jax.jit(function_of(lower(spec, weights)))(weights, x)
    np.testing.assert_allclose(found, textbook_attention(spec, weights, x), rtol=1e-9)


# ---- transformations ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "sink_causal_padded", "memory_llama"])
def test_gradients_are_those_of_the_gradient_circuit(name):
    case = CASE[name]
    circuit = lower(case.spec, case.weights)
    one = {k: a[0] for k, a in case.inputs.items()}
    target = np.random.default_rng(1).standard_normal((len(one["x"]), 8))
    expected = ReferenceBackend().run(
        gradient_circuit(differentiate(circuit)), {**one, "target": target}
    )
    attention, values = function_of(circuit), values_of(circuit)
    found = jax.jit(jax.grad(lambda w: ((attention(w, **one) - target) ** 2).sum() / 2))(values)
    for n, gradient in found.items():
        if n != "frequencies":  # fixed
            np.testing.assert_allclose(gradient, expected[f"d_{n}"], rtol=1e-8, atol=1e-11)


@pytest.mark.slow
def test_gradients_of_long_inputs():
    """By blocks, against the same circuit computed whole."""
    spec = LONG[2]
    weights, x = random_weights(spec), tokens(700, 4)
    attention = function_of(lower(spec, weights))
    whole = function_of(lower(spec, weights))
    whole.__globals__["BLOCK"] = 10_000
    found, expected = (
        jax.jit(jax.grad(lambda w, f=f: (f(w, x) ** 2).sum()))(weights) for f in (attention, whole)
    )
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-9, atol=1e-10)


@pytest.mark.slow
def test_jit_vmap_batches_and_lengths():
    case = CASE["everything"]
    circuit = lower(case.spec, case.weights)
    attention, (x, keep) = jax.jit(function_of(circuit)), case.inputs.values()
    values = values_of(circuit)
    expected = ReferenceBackend().run(circuit, case.inputs)["y"]
    np.testing.assert_allclose(attention(values, x, keep=keep), expected, rtol=1e-12)
    one_by_one = jax.vmap(lambda x, keep: attention(values, x, keep=keep))(x, keep)
    np.testing.assert_allclose(one_by_one, expected, rtol=1e-12)
    shorter = ReferenceBackend().run(circuit, {"x": x[:, :3]})["y"]
    np.testing.assert_allclose(attention(values, x[:, :3]), shorter, rtol=1e-12)


@pytest.mark.slow
def test_half_precision():
    case = CASE["llama"]
    circuit, x = lower(case.spec, case.weights), case.inputs["x"]
    values = values_of(circuit)
    attention = jax.jit(function_of(circuit))
    expected, found = attention(values, x), attention(values, jnp.asarray(x, jnp.bfloat16))
    assert found.dtype == jnp.bfloat16
    assert np.abs(found.astype(float) - expected).max() < 0.1 * np.abs(expected).max()


def test_hostile_names():
    x = np.random.default_rng(0).standard_normal((4, 3))
    rate = np.tanh(x + np.arange(3))
    expected = (rate / np.exp(rate @ np.arange(1.0, 4))[:, None]).T
    found = get_backend("jax").run(hostile_circuit(), {"weights_": x})["return"]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# ---- many devices ------------------------------------------------------------------------------------

SHARDED = """
import jax, numpy as np, sys
sys.path.insert(0, "made")
import attention_jax as made
jax.config.update("jax_enable_x64", True)
assert jax.device_count() == 4
mesh = jax.make_mesh((2, 2), ("areas", "queries"))
inputs = dict(np.load("inputs.npz"))
weights = made.load_weights()
expected = made.attention(weights, **inputs)
placed = made.shard(mesh, weights)
assert {shard.data.shape for shard in placed["W_V"].addressable_shards} == {(2, 2, 8)}
run = jax.jit(made.attention, static_argnames="mesh")
found = run(placed, **inputs, mesh=mesh)
np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
assert found.sharding.spec == jax.sharding.PartitionSpec(None, "queries"), found.sharding
assert {shard.data.shape for shard in found.addressable_shards} == {(2, tokens // 2, 8)}
uneven = {name: array[:, :-1] for name, array in inputs.items()}
np.testing.assert_allclose(run(placed, **uneven, mesh=mesh), made.attention(weights, **uneven), rtol=1e-11, atol=1e-13)
text = run.lower(placed, **inputs, mesh=mesh).compile().as_text()
assert f"f64[2,2,{tokens // 2},{tokens}]" in text  # scores of one device: half the heads, half the queries
assert f"f64[2,4,{tokens},{tokens}]" not in text
"""


@pytest.mark.full
@pytest.mark.parametrize("kernel", Kernel)
def test_areas_and_queries_are_split_over_devices(kernel, tmp_path):
    spec = AttentionSpec(8, 4, kernel=kernel, mask=Mask.CAUSAL, key_padding=True)
    compile_attention(spec, random_weights(spec), backend="jax").write(tmp_path / "made")
    keep = np.arange(12) % 5 > 0
    np.savez(tmp_path / "inputs.npz", x=tokens(2, 12, 8), keep=np.stack([keep, ~keep]))
    script = SHARDED.replace("mesh = ", "tokens = 12\nmesh = ", 1)
    if kernel is Kernel.LINEAR:
        script = script[: script.index("text = ")]
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", script],
        cwd=tmp_path,
        env=flags,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# ---- errors ------------------------------------------------------------------------------------------


def test_the_emitted_file_checks_what_it_gets():
    case = CASE["bert"]
    attention = function_of(lower(case.spec, case.weights))
    with pytest.raises(ValueError, match=r"x has shape \(5, 9\), expected \(..., n, 8\)"):
        attention(case.weights, np.ones((5, 9)))


def test_without_jax(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    case = CASE["bert"]
    with pytest.raises(UnsupportedError, match=r"needs JAX: pip install 'cortico\[jax\]'$"):
        get_backend("jax").run(lower(case.spec, case.weights), case.inputs)
