"""Synapses in order, against loops in plain Python and against single index tuples."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cortico.ir import CircuitError
from cortico.ir.analysis.constants import array_of
from cortico.ir.enumeration import enumeration
from cortico.ir.index_space import IndexSpace
from tests.covering import first
from tests.ir.circuits import attention, tuples
from tests.ir.test_index_space import spaces
from tests.strategies import circuits

in_space = circuits(symbolic=False, time=False)


# ---- sums over one space -------------------------------------------------------------------------


@given(spaces(), st.data())
def test_any_stretch_of_a_space(arguments, data):
    space = IndexSpace(*arguments)
    rng = np.random.default_rng(0)
    tables = [{axis: rng.integers(-99, 99, 9) for axis in space.axes[k:]} for k in range(3)]
    made = enumeration(space, [{a: table.__getitem__ for a, table in t.items()} for t in tables])
    start = data.draw(st.integers(0, space.size))
    stop = data.draw(st.integers(start, space.size))
    indices = space.unrank(np.arange(start, stop))
    expected = [sum((t[axis][indices[axis]] for axis in t), np.zeros(stop - start)) for t in tables]
    assert made.size == space.size
    if start < stop:
        assert np.array_equal(made.columns(start, stop), expected)


@given(spaces())
def test_terms_add_up_to_the_rank(arguments):
    space = IndexSpace(*arguments)
    assume(space.size)
    assert np.array_equal(
        enumeration(space, [space.terms()]).columns(0, space.size)[0], np.arange(space.size)
    )


# ---- synapses of random circuits, by plain loops -------------------------------------------------


def in_order(axes, sizes, domain):
    """Index tuples inside a domain; an axis tied to an earlier one stands right behind it."""
    partner = {b.left: b.right for b in domain} | {b.right: b.left for b in domain}
    behind = [each for axis in axes for each in (axis, partner.get(axis)) if each in axes]
    return tuples(list(dict.fromkeys(behind)), sizes, domain)


def numbered(circuit):
    """Population name to its axes and to the ids of its index tuples."""
    ids, first = {}, 0
    for p in circuit.populations:
        cells = [tuple(at[a] for a in p.axes) for at in in_order(p.axes, circuit.sizes(), p.domain)]
        ids[p.name] = p.axes, {cell: first + k for k, cell in enumerate(cells)}
        first += len(cells)
    return ids


def listed(circuit, where=lambda projection: True, at=None):
    """Every synapse: projection, ids of both ends, weight."""
    ids, sizes, at = numbered(circuit), circuit.sizes(), at or {}
    for projection in filter(where, circuit.projections):
        axes = circuit.synapse_axes(projection)
        number = numbers(circuit, projection.weight)
        for index in in_order(axes, sizes, circuit.synapse_domain(projection)):
            if all(index.get(axis) == place for axis, place in at.items()):
                pre, post = (
                    of[tuple(index[axis] for axis in read or own)]
                    for read, (own, of) in (
                        (projection.at, ids[projection.pre]),
                        ((), ids[projection.post]),
                    )
                )
                yield projection.name, pre, post, number(index)


def numbers(circuit, weight):
    gain, values = weight.gain.value(circuit.sizes()), np.ones(())
    if weight.tensor is not None:
        values = array_of(circuit, weight.tensor.name)
    if values is None:
        return lambda index: None
    return lambda index: float(values[tuple(index[axis] for axis in weight.axes)]) * gain


def streamed(circuit, **options):
    for block in circuit.neurons().synapses(**options):
        weights = [None] * len(block.pre) if block.weight is None else block.weight.tolist()
        ends = block.pre.tolist(), block.post.tolist()
        assert block.compartment == block.projection.compartment
        for pre, post, weight in zip(*ends, weights, strict=True):
            yield block.projection.name, pre, post, weight


@given(in_space, st.integers(1, 40), st.one_of(st.none(), st.integers(0, 99)))
def test_the_stream_is_the_list(circuit, block, limit):
    assert list(streamed(circuit, block=block, limit=limit)) == list(listed(circuit))[:limit]


@pytest.mark.slow
@given(in_space, st.data(), st.integers(1, 40))
def test_at_and_where_filter_the_list(circuit, data, block):
    sizes, seen = circuit.sizes(), data.draw(st.sets(st.sampled_from(circuit.projections or [0])))
    axes = data.draw(st.sets(st.sampled_from(list(sizes))))
    at = {axis: data.draw(st.integers(0, sizes[axis] - 1)) for axis in axes}
    options = {"where": lambda projection: projection in seen, "at": at}
    expected = list(listed(circuit, **options))
    assert list(streamed(circuit, block=block, **options)) == expected
    assert circuit.neurons().count_synapses(**options) == len(expected)


@pytest.mark.parametrize("block", first(3, [7, 1000, 1 << 20, 1]))
@pytest.mark.parametrize("causal", [False, True])
def test_larger_circuits(causal, block):
    circuit = attention(tokens=12, causal=causal, softmax=True)
    assert list(streamed(circuit, block=block)) == list(listed(circuit))


@pytest.mark.parametrize("limit", [0, 1, 17, 18, 19, 100, 10**6])
def test_a_limit_counts_all_projections(limit):
    circuit = attention(tokens=2, softmax=True)
    found = list(streamed(circuit, block=5, limit=limit))
    assert found == list(listed(circuit))[:limit]
    assert limit < 18 or len({name for name, *_ in found}) > 1


@pytest.mark.parametrize(
    "at", [{"h": 1}, {"a": 0}, {"i": 2, "j": 0}, {"i": 0, "j": 2}, {"m": 1, "c": 1}]
)
def test_at_leaves_out_projections_without_the_axis(at):
    circuit = attention(causal=True, softmax=True)
    found = list(streamed(circuit, block=5, at=at))
    assert found == list(listed(circuit, at=at))
    without = {p.name for p in circuit.projections if not set(at) <= set(circuit.synapse_axes(p))}
    assert not without & {name for name, *_ in found}


def test_rows_beyond_the_table():
    """Ids of single neurons in a causal circuit of 10^8 tokens, where no row is ever listed."""
    n = 10**8
    circuit = attention(tokens=n, causal=True, weights=False, softmax=True)
    view = circuit.neurons()
    at = {"h": 1, "i": n - 1}
    block = next(view.synapses(block=9, where=lambda p: p.name == "pooling", at=at))
    names = [f"cortex.area[1].column[{n - 1},{j}].L2/3.mask" for j in range(9)]
    assert [view.name_of(int(pre)) for pre in block.pre] == names
    assert {view.name_of(int(post)) for post in block.post} == {
        f"cortex.area[1].column[i={n - 1}].L5.pool"
    }
    assert view.count_synapses(where=lambda p: p.name == "pooling", at=at) == n


# ---- what at refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ({"k": 0}, "no axis called 'k'"),
        ({"h": 2}, "axis 'h' has indices 0 to 1, found 2"),
        ({"h": -1}, "axis 'h' has indices 0 to 1, found -1"),
        ({"i": 0}, "axis 'i' runs in time"),
    ],
)
def test_indices_that_no_neuron_has(at, message):
    with pytest.raises(CircuitError, match=message):
        next(attention(clock="i").neurons().synapses(at=at))


# ---- memory --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
def test_memory_does_not_grow_with_synapses(causal):
    def peak(tokens):
        view = attention(tokens=tokens, causal=causal, softmax=True).neurons()
        tracemalloc.start()
        count = sum(len(block.pre) for block in view.synapses(block=1 << 14))
        bytes_used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return count, bytes_used

    (few, small), (many, large) = peak(100), peak(400)
    assert many > 15 * few
    assert large < 1.2 * small
