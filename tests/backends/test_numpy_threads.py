"""Emitted NumPy with packed weights, memory that is kept, and threads that share its work."""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl

from cortico.ir import CellClass, CircuitBuilder, Compartment, Region, Role, TensorRef, Weight
from cortico.lowering import lower
from tests.backends.numpy_files import emitted, stored
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error

CASE = {case.name: case for case in CASES}


def test_packed_weights_are_used_as_they_are():
    case = CASE["bert"]
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
    case = CASE["bert"]
    circuit = lower(case.spec, case.weights)
    attention = emitted(circuit, TILE=(1, 1))
    one, four = (
        attention(**case.inputs, weights=stored(circuit), threads=threads) for threads in (1, 4)
    )
    np.testing.assert_allclose(one, four, rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match="threads must be at least 1, found 0"):
        attention(**case.inputs, weights=stored(circuit), threads=0)


def test_a_small_input_is_left_to_the_threads_of_blas():
    case = CASE["bert"]
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
    case = CASE["bert"]
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
    case = CASE["bert"]
    circuit = lower(case.spec, case.weights)
    attention = emitted(circuit, TILE=(1, 1))
    assert attention.__globals__["number_of_threads"](None, 10**6) == 1
    found = attention(**case.inputs, weights=stored(circuit), threads=2)
    assert relative_error(found, expected_output(case)) <= 1e-12


def test_an_error_in_a_thread_reaches_the_caller():
    case = CASE["bert"]
    circuit = lower(case.spec, case.weights)
    attention = emitted(circuit, TILE=(1, 1), divide=lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        attention(**case.inputs, weights=stored(circuit), threads=2)


def test_after_an_error_no_other_tile_is_begun():
    case = CASE["bert"]
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
    case = CASE["bert"]
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
    case = CASE["bert"]
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
    case = CASE["bert"]
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
    case = CASE["bert"]
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
