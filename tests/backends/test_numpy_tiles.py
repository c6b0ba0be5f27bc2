"""Emitted NumPy in tiles, on threads, with packed weights: the same numbers, and no array of all pairs."""

import os
import signal
import sys
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl
from hypothesis import given
from hypothesis import strategies as st

from cortico.backends.numpy import compile_source, emit_source
from cortico.backends.reference import ReferenceBackend
from cortico.ir import CellClass, CircuitBuilder, Compartment, Region, Role, TensorRef, Weight
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel, Mask
from cortico.spec.weights import random_weights
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_case
from tests.strategies import circuits, real_numbers


def emitted(circuit, **replaced):
    """The emitted function, names of its file replaced.

    Small inputs are treated like large ones: threads share the work, and a tile is of one area.
    """
    attention = compile_source(emit_source(circuit))
    there = attention.__globals__
    replaced = {"SMALL": 0, "TOGETHER": 1, **replaced}
    there.update({name: value for name, value in replaced.items() if name in there})
    return attention


def stored(circuit):
    return {p.name: p.values for p in circuit.parameters if p.formula is None}


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


# ---- packing and threads ---------------------------------------------------------------------------


def test_packed_weights_are_used_as_they_are():
    case = next(case for case in CASES if case.name == "bert")
    circuit = lower(case.spec, case.weights)
    attention = emitted(circuit)
    packed = attention.__globals__["pack"](stored(circuit), np.float64)
    attention.__globals__["pack"] = None  # not called again
    found = attention(**case.inputs, weights=packed)
    assert relative_error(found, expected_output(case)) <= 1e-12


def test_memory_kept_for_the_next_call():
    """Calls of several sizes, precisions and layers in turn, all in the same memory."""
    work = {}
    for name in ("bert", "gpt2", "sink_window_grouped", "bert", "memory_causal"):
        case = next(case for case in CASES if case.name == name)
        circuit, expected = lower(case.spec, case.weights), expected_output(case)
        attention = emitted(circuit, TILE=(2, 2))
        inputs = {**case.inputs, "weights": stored(circuit), "threads": 2, "work": work}
        first = attention(**inputs)
        again = attention(**{**inputs, "x": 2 * case.inputs["x"]})
        single = attention(**{**inputs, "x": case.inputs["x"].astype(np.float32)})
        assert relative_error(first, expected) <= 1e-12  # not overwritten
        assert relative_error(single, expected) <= 1e-5
        assert relative_error(again, expected) > 1e-3


def test_what_is_returned_is_not_in_memory_that_is_used_again():
    """An output that is a part of a fused product, and nothing more."""
    b = CircuitBuilder("projections")
    t, h, a, m = (
        b.axis("t", Role.COLUMN, "n"),
        b.axis("h", Role.AREA, 2),
        b.axis("a", Role.FEATURE, 3),
        b.axis("m", Role.MODEL, 4),
    )
    b.input("x", ("n", 4))
    drive = Compartment("driver", drive=(Weight(TensorRef("x", (t, m))),))
    b.population("source", (t, m), Region.CORE, CellClass.RELAY, [drive])
    rng = np.random.default_rng(0)
    for name in ("first", "second"):
        b.parameter(f"W_{name}", (2, 3, 4), rng.standard_normal((2, 3, 4)))
        b.population(name, (h, t, a), Region.L4, CellClass.STELLATE, [Compartment("basal")])
        b.project(f"to_{name}", "source", name, "basal", Weight(TensorRef(f"W_{name}", (h, a, m))))
        b.output(name, name, (h, t, a))
    circuit = b.build()
    attention, work = emitted(circuit), {}
    x = rng.standard_normal((5, 4))
    results = attention(x, weights=stored(circuit), threads=2, work=work)
    before = [result.copy() for result in results]
    attention(-x, weights=stored(circuit), threads=2, work=work)
    for result, copy in zip(results, before, strict=True):
        np.testing.assert_array_equal(result, copy)


def test_threads():
    case = next(case for case in CASES if case.name == "bert")
    circuit = lower(case.spec, case.weights)
    attention = emitted(circuit, TILE=(1, 1))
    one, four = (
        attention(**case.inputs, weights=stored(circuit), threads=threads) for threads in (1, 4)
    )
    np.testing.assert_allclose(one, four, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="threads must be at least 1, found 0"):
        attention(**case.inputs, weights=stored(circuit), threads=0)


def test_a_small_input_is_left_to_the_threads_of_blas():
    case = next(case for case in CASES if case.name == "bert")
    circuit = lower(case.spec, case.weights)
    x = case.inputs["x"]
    attention = emitted(circuit, SMALL=x.size + 1, one_thread_of_blas=lambda: 1 / 0)
    found = attention(**case.inputs, weights=stored(circuit), threads=2)
    assert relative_error(found, expected_output(case)) <= 1e-12
    for threads, smaller in ((1, 0), (2, 1)):  # one thread is one thread; a large input is shared
        attention.__globals__["SMALL"] = x.size + 1 - smaller
        with pytest.raises(ZeroDivisionError):
            attention(**case.inputs, weights=stored(circuit), threads=threads)


def test_areas_of_a_tile():
    case = next(case for case in CASES if case.name == "bert")
    slices = emitted(lower(case.spec, case.weights)).__globals__["slices"]
    assert slices((), 3) == [()]
    assert slices((2,), 0) == [(slice(0, 1),), (slice(1, 2),)]
    assert slices((12,), 8) == [(slice(0, 6),), (slice(6, 12),)]
    for count, parts in ((1, 6), (2, 4), (3, 2), (5, 2), (6, 1), (100, 1)):
        found = slices((2, 3), count)
        assert len(found) == parts
        cells = [(a, b) for one, two in found for a in range(2)[one] for b in range(3)[two]]
        assert sorted(cells) == [(a, b) for a in range(2) for b in range(3)]


def test_one_thread_where_blas_cannot_be_held(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    case = next(case for case in CASES if case.name == "bert")
    circuit = lower(case.spec, case.weights)
    attention = emitted(circuit, TILE=(1, 1))
    assert attention.__globals__["number_of_threads"](None, 10**6) == 1
    found = attention(**case.inputs, weights=stored(circuit), threads=2)
    assert relative_error(found, expected_output(case)) <= 1e-12


def test_an_error_in_a_thread_reaches_the_caller():
    case = next(case for case in CASES if case.name == "bert")
    circuit = lower(case.spec, case.weights)
    attention = emitted(circuit, TILE=(1, 1), divide=lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        attention(**case.inputs, weights=stored(circuit), threads=2)


def test_after_an_error_no_other_tile_is_begun():
    case = next(case for case in CASES if case.name == "bert")
    circuit = lower(case.spec, case.weights)
    calls = []

    def divide(*arguments):
        calls.append(arguments)
        raise KeyboardInterrupt

    attention = emitted(circuit, TILE=(1, 1), divide=divide)
    with pytest.raises(KeyboardInterrupt):
        attention(**case.inputs, weights=stored(circuit), threads=2)
    assert len(calls) <= 2  # one for each thread


def test_calls_from_several_threads_leave_blas_as_it_was():
    blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
    before = [library.num_threads for library in blas.lib_controllers]
    case = next(case for case in CASES if case.name == "bert")
    circuit = lower(case.spec, case.weights)
    attention, expected = emitted(circuit, TILE=(1, 1)), expected_output(case)

    def call(_):
        return relative_error(
            attention(**case.inputs, weights=stored(circuit), threads=2), expected
        )

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(call, range(16))) <= 1e-12
    assert [library.num_threads for library in blas.lib_controllers] == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_threads_that_it_lacks():
    case = next(case for case in CASES if case.name == "bert")
    circuit = lower(case.spec, case.weights)
    attention = emitted(circuit, TILE=(1, 1))
    inputs = {**case.inputs, "weights": stored(circuit), "threads": 2}
    expected = attention(**inputs)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        same = np.allclose(attention(**inputs), expected, rtol=1e-12)
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_weights_that_are_missing_are_named():
    case = next(case for case in CASES if case.name == "bert")
    circuit = lower(case.spec, case.weights)
    weights = stored(circuit)
    del weights["W_O"], weights["b_K"]
    with pytest.raises(ValueError, match="weights are missing: W_O, b_K"):
        emitted(circuit)(**case.inputs, weights=weights)
    with pytest.raises(ValueError, match=r"dtype must be float32 or float64, found .*int32"):
        emitted(circuit).__globals__["pack"](stored(circuit), np.int32)


def test_one_thread_is_one_in_blas_too():
    """`threads=1` holds BLAS to one thread, in the projections as in the tiles."""
    blas = threadpoolctl.ThreadpoolController().select(user_api="blas")
    case = next(case for case in CASES if case.name == "bert")
    circuit, seen = lower(case.spec, case.weights), []

    def spied(function):
        def call(*arguments, **options):
            seen.extend(library.num_threads for library in blas.lib_controllers)
            return function(*arguments, **options)

        return call

    attention = emitted(circuit)
    there = attention.__globals__
    there["product"], there["kept"] = spied(there["product"]), there["kept"]
    attention(**case.inputs, weights=stored(circuit), threads=1)
    assert set(seen) == {1}
