"""Emitted NumPy on many MPI ranks: the same numbers, one collective, and only a rank's share of the work.

Ranks are threads here, with a communicator of a few lines; `test_numpy_mpiexec.py` has real ones.
"""

import itertools
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cortico.backends import get_backend, require_support
from cortico.backends.numpy.emitter import emit_source, what_ranks_share
from cortico.ir import (
    Bound,
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
from cortico.passes import parse_passes, run_passes
from cortico.spec import AttentionSpec, Mask, Microcircuit, NormOver, PositionBias
from cortico.spec.weights import random_weights
from tests.backends.numpy_files import stored
from tests.backends.numpy_ranks import Communicator, emitted, layer, on_ranks, tokens
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_case
from tests.oracle import textbook_attention
from tests.spec_strategies import inputs_of, planted_weights, small_specs

CASE = {case.name: case for case in CASES}


# ---- the same numbers ------------------------------------------------------------------------------


def meets_once(spec):
    """A norm over the width adds up all areas before they attend, deep cells of an extra source beside others."""
    wide = spec.qk_norm and spec.qk_norm.over is NormOver.WIDTH
    return not wide and (not spec.extra_source or spec.microcircuit is Microcircuit.MEMORY)


MEETING_ONCE = [c for c in CASES if meets_once(c.spec)]


@pytest.mark.parametrize("name", ["olmo2", "extra_source"])
def test_areas_that_meet_twice_are_refused(name):
    circuit = lower(CASE[name].spec)
    assert what_ranks_share(circuit) is None
    with pytest.raises(UnsupportedError, match="ranks"):
        require_support(get_backend("numpy", ranks=2), circuit)


@pytest.mark.parametrize("case", every_case(MEETING_ONCE))
def test_ranks_give_what_one_process_gives(case):
    """On both sides of the number of areas, which is 2 or 4."""
    circuit, expected = lower(case.spec, case.weights), expected_output(case)
    attention = emitted(circuit, TILE=(2, 2))
    for ranks in (2, 3, 7):
        found, comms = on_ranks(ranks, attention, **case.inputs, weights=stored(circuit))
        assert [comm.calls for comm in comms] == [1] * ranks  # one collective
        for y in found:
            assert relative_error(y, expected) <= 1e-12


@pytest.mark.parametrize("kind", [PositionBias.TABLE, PositionBias.INPUT])
def test_a_bias_of_pairs_that_is_too_large_for_one_tile(kind):
    """Each rank takes its query tokens of it, once."""
    spec = AttentionSpec(model=4, heads=2, tokens=97, position_bias=kind)
    circuit, x = lower(spec, random_weights(spec, 0)), tokens(97, 4)
    given = {"score_bias": tokens(97, 97)} if kind is PositionBias.INPUT else {}
    assert "in_tiles(tile" in emit_source(circuit, on_ranks=True)
    expected = textbook_attention(spec, random_weights(spec, 0), x=x, **given)
    found, _ = on_ranks(3, emitted(circuit), x=x, **given, weights=stored(circuit))
    for y in found:
        np.testing.assert_allclose(y, expected, atol=1e-12)


@pytest.mark.parametrize("passes", ["default", "aggressive"])
@pytest.mark.parametrize("name", ["bert", "everything", "memory_llama", "alibi_grouped"])
def test_after_passes(name, passes):
    case = CASE[name]
    circuit, _ = run_passes(lower(case.spec, case.weights), parse_passes(passes))
    found, _ = on_ranks(3, emitted(circuit), **case.inputs, weights=stored(circuit))
    assert relative_error(found[1], expected_output(case)) <= 1e-12


def test_query_tokens_that_come_from_weights_are_not_shared():
    """Keys that are zero leave a mask that depends on weights alone, packed as a matrix of all queries."""
    spec = AttentionSpec(
        model=1, heads=1, key_features=2, tokens=2, position_bias=PositionBias.TABLE
    )
    weights = {**random_weights(spec, 0), "W_K": np.zeros((1, 2, 1))}
    circuit, _ = run_passes(lower(spec, weights), parse_passes("default"))
    x = tokens(2, 1)
    found, _ = on_ranks(2, emitted(circuit), x, weights=stored(circuit))
    for y in found:
        np.testing.assert_allclose(y, textbook_attention(spec, weights, x=x), atol=1e-14)


@pytest.mark.slow
@settings(max_examples=25)
@given(data=st.data(), spec=small_specs, ranks=st.integers(1, 5))
def test_any_spec_that_can_be_shared(data, spec, ranks):
    weights, inputs = data.draw(planted_weights(spec)), data.draw(inputs_of(spec))
    passes = data.draw(st.sampled_from(["none", "default", "aggressive"]))
    circuit, _ = run_passes(lower(spec, weights), parse_passes(passes))
    assume(what_ranks_share(circuit))  # passes may leave no head
    attention = emitted(circuit, TILE=(1, 2), CHUNK=1)
    found, _ = on_ranks(ranks, attention, **inputs, weights=stored(circuit))
    expected = textbook_attention(spec, weights, **inputs)
    for y in found:
        largest = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-11 * largest)


@pytest.mark.parametrize("mask", [Mask.NONE, Mask.CAUSAL])
@pytest.mark.parametrize("length", [1, 2, 11])
@pytest.mark.parametrize("batch", [(), (3,), (2, 2)], ids=str)
def test_batches_uneven_shares_and_idle_ranks(mask, length, batch):
    """Three areas on up to nine ranks: more than one query token has rows for."""
    _, attention, weights = layer(model=6, heads=3, mask=mask)
    x = tokens(*batch, length, 6)
    expected = attention(x, weights=weights)
    for ranks in (1, 2, 4, 9):
        found, _ = on_ranks(ranks, attention, x, weights=weights)
        for y in found:
            np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)


def test_single_precision_stays():
    _, attention, weights = layer()
    x = tokens(5, 8).astype(np.float32)
    found, comms = on_ranks(3, attention, x, weights=weights)
    assert {y.dtype for y in found} == {np.dtype(np.float32)}
    assert {part.dtype for part in comms[0].parts} == {np.dtype(np.float32)}
    np.testing.assert_allclose(found[0], attention(x, weights=weights), rtol=1e-5, atol=1e-6)


def test_bounds_outside_tiles_hold_for_the_tokens_of_a_rank():
    """Few query tokens and keys of an unknown number: arrays of pairs that are made whole."""
    b = CircuitBuilder("few queries")
    h, i, j = b.axis("h", Role.AREA, 2), b.axis("i", Role.COLUMN, 5), b.axis("j", Role.COLUMN, "n")
    b.input("query", (5,))
    b.input("key", ("n",))
    b.parameter("gain", (2,), np.array([0.5, 2.0]))
    drives = (TensorRef("query", (i,)), TensorRef("key", (j,)), TensorRef("gain", (h,)))
    soma = Compartment("soma", drive=tuple(map(Weight, drives)))
    earlier = (Bound("j", "i", 0),)
    b.population(
        "pair", (h, i, j), Region.L5, CellClass.PT, [soma], transfer="tanh", domain=earlier
    )
    b.population("sum", (i,), Region.CORE, CellClass.RELAY, [Compartment("driver")])
    b.project("to_sum", "pair", "sum", "driver", domain=earlier)
    b.output("y", "sum", (i,))
    circuit, query, key = b.build(), tokens(5), tokens(4)
    attention = emitted(circuit)
    assert "in_tiles" not in attention.__globals__
    rates = np.tanh(query[:, None] + key + np.array([0.5, 2.0])[:, None, None]).sum(0)
    found, _ = on_ranks(5, attention, query, key, weights=stored(circuit))
    for y in found:
        np.testing.assert_allclose(y, np.tril(rates).sum(-1), atol=1e-12)


# ---- only a share of the work ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ranks", "areas", "rows"),
    [
        (1, [(0, 3)], [(0, 8)]),
        (2, [(0, 2), (2, 3)], [(0, 8)] * 2),
        (4, [(0, 1), (0, 1), (1, 2), (2, 3)], [(0, 4), (4, 8), (0, 8), (0, 8)]),
    ],
)
def test_areas_first_then_query_tokens(ranks, areas, rows):
    share = layer(heads=3, model=6)[1].__globals__["share"]
    found = [share(rank, ranks, 3, 8) for rank in range(ranks)]
    assert [(a.start, a.stop) for a, _ in found] == areas
    assert [(r.start, r.stop) for _, r in found] == rows


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_shares_cover_everything_once(power):
    share = layer()[1].__globals__["share"]
    for ranks, areas, length in itertools.product(range(1, 12), range(1, 7), (1, 5, 49)):
        count = np.zeros((areas, length), int)
        for rank in range(ranks):
            count[share(rank, ranks, areas, length, power)] += 1
        assert (count == 1).all()


def test_causal_query_tokens_are_cut_into_equal_work():
    _, attention, weights = layer(heads=1, mask=Mask.CAUSAL)
    pairs = []
    product = attention.__globals__["product"]

    def counted(left, right, scratch, place):
        result = product(left, right, scratch, place)
        pairs.append((threading.get_ident(), result.size))
        return result

    attention.__globals__["product"] = counted
    on_ranks(2, attention, tokens(200, 8), weights=weights)
    ranks = {name for name, _ in pairs}
    first, second = (sum(count for name, count in pairs if name == rank) for rank in ranks)
    assert len(ranks) == 2
    assert abs(first - second) < 0.05 * (first + second)


def multiplied(attention, ranks, *arguments, **options):
    """Rank to the (rows, columns) of what it projects with weights."""
    found = {}
    project = attention.__globals__["project"]

    def noted(array, matrix, *rest):
        shape = (int(np.prod(array.shape[:-1])), matrix.shape)
        found.setdefault(threading.get_ident(), []).append(shape)
        return project(array, matrix, *rest)

    attention.__globals__["project"] = noted
    on_ranks(ranks, attention, *arguments, **options)
    return [*found.values()]


def test_a_rank_projects_its_own_areas_and_query_tokens():
    """Keys and values, queries, outputs: 2 features in each of 4 areas, 6 tokens, 8 ranks."""
    _, attention, weights = layer()
    for found in multiplied(attention, 8, tokens(6, 8), weights=weights):
        assert found == [(6, (8, 4)), (3, (8, 2)), (3, (2, 8))]
    _, attention, weights = layer()
    for found in multiplied(attention, 2, tokens(6, 8), weights=weights):
        assert found == [(6, (8, 8)), (6, (8, 4)), (6, (4, 8))]


def test_memory_and_weights_of_a_rank_fall_with_ranks():
    _, attention, weights = layer(model=32, heads=16)
    there = attention.__globals__
    there["TILE"] = (8, 8)
    alone = there["pack"](weights, np.float64)
    packed = there["pack"](weights, np.float64, 3, 8)
    assert 7 * sum(a.nbytes for a in packed[1:]) < sum(a.nbytes for a in alone[1:])

    class Alone(Communicator):
        """One rank of eight, whose sum nobody waits for."""

        def Allreduce(self, part, total):  # noqa: N802
            total[...] = part

    def peak(comm, packed):
        tracemalloc.start()
        attention(tokens(512, 32), weights=packed, comm=comm, threads=1)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    output = 512 * 32 * 8
    alone, one = peak(None, alone), peak(Alone(3, [None] * 8, None), packed)
    assert one - 4 * output < 0.5 * (alone - output)  # the whole output is on every rank
