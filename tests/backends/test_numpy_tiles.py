"""Emitted NumPy in tiles: the same numbers, and no array of all pairs."""

import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortico.backends.reference import ReferenceBackend
from cortico.ir import CellClass, CircuitBuilder, Compartment, Region, Role, TensorRef, Weight
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel, Mask
from cortico.spec.weights import random_weights
from tests.backends.numpy_files import emitted, stored
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_case
from tests.strategies import circuits, real_numbers


def in_tiles(attention):
    return "in_tiles" in attention.__globals__


@pytest.mark.parametrize("case", every_case())
def test_tiles_of_any_height_on_any_number_of_threads(case):
    circuit, expected = lower(case.spec, case.weights), expected_output(case)
    for height, threads, together in ((1, 1, 1), (2, 2, 8), (3, 1, 10**6)):
        attention = emitted(circuit, TILE=(height, height), CHUNK=height, TOGETHER=together)
        found = attention(**case.inputs, weights=stored(circuit), threads=threads)
        assert relative_error(found, expected) <= 1e-12


@pytest.mark.slow
def test_softmax_and_windows_run_in_tiles():
    for case in CASES:
        tiled = in_tiles(emitted(lower(case.spec, case.weights)))
        if case.spec.kernel is Kernel.SOFTMAX and case.name != "numbered_tokens":
            assert tiled == (case.spec.tokens == "n"), case.name


@pytest.mark.slow
@given(
    circuit=circuits(),
    seed=st.integers(0, 9),
    tokens=st.integers(1, 4),
    height=st.integers(1, 3),
    together=st.integers(1, 20),
)
def test_any_circuit_in_tiles_runs_as_the_reference_says(circuit, seed, tokens, height, together):
    inputs, given, rates = real_numbers(circuit, seed, tokens)
    weights = {**stored(circuit), **given}
    attention = emitted(circuit, TILE=(height, height), CHUNK=height, TOGETHER=together)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = ReferenceBackend().run(circuit, inputs, given)["y"]
        found = attention(**inputs, weights=weights)
    largest = max(float(np.abs(rate).max(initial=1.0)) for rate in rates.values())
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13 * largest)


@pytest.mark.parametrize("batches", [((2,), ()), ((), (2,)), ((2, 1), (3,))], ids=str)
def test_inputs_with_batch_axes_of_their_own(batches):
    spec = AttentionSpec(model=4, heads=2, key_padding=True)
    circuit, rng = lower(spec, random_weights(spec)), np.random.default_rng(0)
    x = rng.standard_normal((*batches[0], 5, 4))
    keep = rng.random((*batches[1], 5)) < 0.7
    batch = np.broadcast_shapes(*batches)
    whole = {"x": np.broadcast_to(x, (*batch, 5, 4)), "keep": np.broadcast_to(keep, (*batch, 5))}
    attention = emitted(circuit, TILE=(2, 2))
    found = attention(x, keep=keep, weights=stored(circuit), threads=1)
    assert found.shape == (*batch, 5, 4)
    np.testing.assert_allclose(found, ReferenceBackend().run(circuit, whole)["y"], rtol=1e-12)


def test_three_axes_of_tokens_are_no_pair():
    b = CircuitBuilder("triples")
    axes = tuple(b.axis(name, Role.COLUMN, "n") for name in ("one", "two", "three"))
    b.input("x", ("n",))
    soma = Compartment("soma", drive=tuple(Weight(TensorRef("x", (axis,))) for axis in axes))
    b.population("triple", axes, Region.L5, CellClass.PT, [soma])
    b.output("y", "triple", axes)
    x = np.arange(3.0)
    found = emitted(b.build())(x)
    np.testing.assert_array_equal(found, x[:, None, None] + x[:, None] + x)


# ---- cost: counted, not timed ----------------------------------------------------------------------


def pairs_compared(tokens, **options):
    """Entries of all products that compare queries with keys."""
    spec = AttentionSpec(model=4, heads=2, **options)
    circuit = lower(spec, random_weights(spec))
    attention = emitted(circuit, TILE=(16, 16))
    there, entries = attention.__globals__, []
    product = there["product"]

    def counted(left, right, scratch, place):
        result = product(left, right, scratch, place)
        entries.append(result.size)
        return result

    there["product"] = counted
    attention(np.ones((tokens, 4)), weights=stored(circuit), threads=1)
    return sum(entries)


def test_causal_attention_compares_half_of_the_pairs():
    everything = pairs_compared(256)
    assert everything == 2 * 256 * 256
    assert pairs_compared(256, mask=Mask.CAUSAL) < 0.55 * everything


def test_a_sliding_window_costs_the_same_for_each_token():
    window = {"mask": Mask.WINDOW, "window": 8}
    assert pairs_compared(512, **window) < 2.1 * pairs_compared(256, **window)
    assert pairs_compared(512, **window) <= 2 * 512 * (8 + 16)


def peak_memory(attention, x, weights, **options):
    """Bytes at the peak of a run, beyond what was there before."""
    tracemalloc.start()
    attention(x, weights=weights, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize(
    "options",
    [{}, {"mask": Mask.CAUSAL}, {"kernel": Kernel.LINEAR, "mask": Mask.CAUSAL}],
    ids=["softmax", "causal", "linear causal"],
)
def test_memory_grows_with_tokens_not_with_pairs(options):
    spec = AttentionSpec(model=32, heads=8, **options)
    circuit = lower(spec, random_weights(spec))
    attention = emitted(circuit, TILE=(16, 16))
    packed = attention.__globals__["pack"](stored(circuit), np.float64)
    few, many = (peak_memory(attention, np.ones((tokens, 32)), packed) for tokens in (256, 1024))
    assert many < 6 * few  # pairs would take sixteen times as much
    assert many < 8 * 1024 * 1024 * 8 / 4  # one array of pairs for all heads has 8 bytes an entry


def test_tiles_fill_four_megabytes_within_limits():
    case = next(case for case in CASES if case.name == "bert")
    rows = emitted(lower(case.spec, case.weights)).__globals__["tile_rows"]
    heights = [rows(width, np.float64, bounded=False) for width in (1, 4096, 10**6)]
    assert heights == [256, 128, 128]
    assert rows(8192, np.float32, bounded=False) == 128
    heights = [rows(width, np.float64, bounded=True) for width in (1, 256, 400, 4096)]
    assert heights == [64, 128, 200, 128]


# ---- softmax without a shift -----------------------------------------------------------------------


@pytest.mark.parametrize("level", [-2000.0, -60.0, 0.0, 60.0, 2000.0])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_scores_of_any_level(level, kind):
    """Shifted or not: scores all far below or above zero have the softmax of their differences."""
    spec = AttentionSpec(model=2, heads=1, scale=1.0)
    weights = random_weights(spec)
    weights["W_Q"], weights["W_K"] = np.eye(2)[None], np.eye(2)[None]
    rng = np.random.default_rng(0)
    # the second feature of keys and queries adds the same number to every score
    x = np.stack([rng.standard_normal(5), np.full(5, np.sqrt(abs(level)))], -1)
    weights["W_Q"] = weights["W_Q"] * [[1.0], [np.sign(level)]]
    circuit = lower(spec, weights)
    scores = np.outer(x[:, 0], x[:, 0])
    shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    expected = shares @ x @ weights["W_V"][0].T @ weights["W_O"][0].T
    found = emitted(circuit)(x.astype(kind), weights=stored(circuit))
    assert found.dtype == kind
    np.testing.assert_allclose(found, expected, rtol=1e-9 if kind is np.float64 else 2e-3)


def test_the_shift_is_left_out_while_sums_are_in_range(monkeypatch):
    case = next(case for case in CASES if case.name == "softmax-mask_none")
    circuit = lower(case.spec, case.weights)
    attention = emitted(circuit)
    answers = []
    in_range = attention.__globals__["in_range"]
    attention.__globals__["in_range"] = lambda rates: answers.append(in_range(rates)) or answers[-1]
    attention(case.inputs["x"], weights=stored(circuit), threads=1)
    assert all(answers)
    attention(1e3 * case.inputs["x"], weights=stored(circuit), threads=1)
    assert not all(answers)
