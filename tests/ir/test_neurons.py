import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortico.ir import CircuitError, Parameter
from cortico.ir.analysis.constants import array_of
from cortico.ir.neurons import require_small
from tests.ir.circuits import (
    all_cells,
    all_synapses,
    attention,
    cell,
    sampler,
    tied_in_time,
    tuples,
)
from tests.strategies import circuits

numeric = circuits(symbolic=False)


def joined(blocks, *fields):
    """The fields of all blocks, each concatenated."""
    found = [[getattr(block, field) for field in fields] for block in blocks]
    return [np.concatenate([np.zeros(0), *column]) for column in zip(*found, strict=True)]


def cells_of(view):
    """Neuron id to the cell it is, as the brute force in `circuits.py` calls it."""
    cells = {}
    for block in view.neurons():
        axes = [a for a in block.population.axes if not view.circuit.axis(a).in_time]
        for place, neuron in enumerate(block.ids.tolist()):
            at = tuple((axis, int(block.indices[axis][place])) for axis in axes)
            cells[neuron] = (block.population.name, at)
    return cells


@given(numeric)
def test_neurons_are_those_of_enumeration(circuit):
    view = circuit.neurons()
    cells = cells_of(view)
    assert list(cells) == list(range(view.size))
    assert view.size == circuit.counts().neurons
    for population in circuit.populations:
        own = [c for c in cells.values() if c[0] == population.name]
        assert len(own) == circuit.counts().neurons_of[population.name]
        if not tied_in_time(circuit, population.domain):
            assert set(own) == all_cells(circuit, population.name)


@given(numeric)
def test_synapses_are_those_of_enumeration(circuit):
    view = circuit.neurons()
    cells = cells_of(view)
    for projection in circuit.projections:
        blocks = list(view.synapses(where=lambda p, q=projection: p is q))
        found = [
            (cells[int(a)], cells[int(b)])
            for block in blocks
            for a, b in zip(block.pre, block.post, strict=True)
        ]
        assert len(found) == circuit.counts().synapses_of[projection.name] == len(set(found))
        if not tied_in_time(circuit, circuit.synapse_domain(projection)):
            assert set(found) == all_synapses(circuit, projection)


@pytest.mark.slow
@given(numeric)
def test_weights_are_gain_times_entry(circuit):
    view, sizes = circuit.neurons(), circuit.sizes()
    cells = cells_of(view)
    for block in view.synapses():
        weight = block.projection.weight
        varying = [axis for axis in weight.axes if circuit.axis(axis).in_time]
        assert list(block.varies_over) == varying
        tensor = weight.tensor and circuit.tensor(weight.tensor.name)
        values = tensor and array_of(circuit, tensor.name)
        assert (block.weight is None) == bool(varying or (tensor and values is None))
        if block.weight is None:
            continue
        for pre, post, number in zip(block.pre, block.post, block.weight, strict=True):
            at = dict(cells[int(pre)][1]) | dict(cells[int(post)][1])
            entry = values[tuple(at[axis] for axis in weight.axes)] if tensor else 1.0
            assert number == pytest.approx(float(entry) * weight.gain.value(sizes), rel=1e-12)


@pytest.mark.slow
@given(numeric, st.integers(1, 9))
def test_blocks_of_any_size_say_the_same(circuit, block):
    view = circuit.neurons()
    small, whole = list(view.neurons(block)), list(view.neurons())
    assert all(len(b.ids) <= block for b in small)
    if whole:
        assert np.array_equal(*joined(small, "ids"), *joined(whole, "ids"))
    small, whole = list(view.synapses(block)), list(view.synapses())
    assert all(len(b.pre) <= block for b in small)
    for projection in circuit.projections:
        mine, all_of = ([b for b in of if b.projection is projection] for of in (small, whole))
        fields = ("pre", "post", *(["weight"] if mine and mine[0].weight is not None else []))
        for one, other in zip(joined(mine, *fields), joined(all_of, *fields), strict=True):
            assert np.array_equal(one, other)


@given(numeric, st.integers(0, 20), st.integers(1, 7))
def test_limit_ends_the_stream(circuit, limit, block):
    every = [pair for b in circuit.neurons().synapses() for pair in zip(b.pre, b.post, strict=True)]
    some = circuit.neurons().synapses(block, limit=limit)
    assert [pair for b in some for pair in zip(b.pre, b.post, strict=True)] == every[:limit]


@pytest.mark.slow
@given(numeric)
def test_incoming_is_the_filter_of_all(circuit):
    view = circuit.neurons()
    every = list(view.synapses())
    for neuron in range(view.size):
        expected = {}
        for block in every:
            chosen = block.post == neuron
            if chosen.any():
                weight = None if block.weight is None else block.weight[chosen]
                expected.setdefault(block.projection.name, []).append((block.pre[chosen], weight))
        blocks = view.incoming(neuron)
        assert {b.projection.name for b in blocks} == set(expected)
        for block in blocks:
            ((pre, weight),) = expected[block.projection.name]
            order, other = np.argsort(block.pre), np.argsort(pre)
            assert np.array_equal(block.pre[order], pre[other])
            assert (block.post == neuron).all()
            if weight is not None:
                assert np.array_equal(block.weight[order], weight[other])


@pytest.mark.slow
@given(numeric)
def test_names_and_ids_are_inverse(circuit):
    view = circuit.neurons()
    names = [name for block in view.neurons(7) for name in view.names(block)]
    assert len(set(names)) == view.size
    assert [view.id_of(name) for name in names] == list(range(view.size))
    assert [view.name_of(neuron) for neuron in range(view.size)] == names


# ---- names ---------------------------------------------------------------------------------------


def test_names_tell_the_place():
    view = attention(softmax=True).neurons()
    last = {block.population.name: view.names(block)[-1] for block in view.neurons()}
    assert last == {
        "core": "thalamus.core.core[2,2]",
        "matrix": "thalamus.matrix.matrix[2,2]",
        "superficial": "cortex.area[1].column[2,2].L2/3.superficial[1]",
        "mask": "cortex.area[1].column[2,2].L2/3.mask",
        "pool": "cortex.area[1].column[i=2].L5.pool",
        "deep": "cortex.area[1].column[2,2].L5.deep[1]",
        "relay": "thalamus.higher_order.relay[2,2]",
    }


def test_axes_in_time_are_no_places():
    serial = attention(clock="i").neurons()
    assert "cortex.area[1].column[2].L5.deep[1]" in serial.names(list(serial.neurons())[3])
    assert serial.name_of(serial.size - 1) == "thalamus.higher_order.relay[2]"
    one_head = attention(clock="h").neurons()
    assert one_head.id_of("cortex.column[2,1].L5.deep[1]") > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cortex.area[0].column[0,0].L5.deeep[0]", "did you mean 'deep'"),
        (
            "cortex.area[0].column[0,0].L4.deep[0]",
            r"are cortex.area\[h\].column\[i,j\].L5.deep\[c\]",
        ),
        ("cortex.area[2].column[0,0].L5.deep[0]", "needs h < 2, i < 3, j < 3, c < 2, j - i <= 0"),
        ("cortex.area[0].column[0,1].L5.deep[0]", "j - i <= 0"),
        ("cortex.area[0].column[0,0].L5.deep[00]", "no neuron is called"),
        ("cortex.area[0].column[0,0].L5.deep[99999999999999999999]", "no neuron is called"),
        ("cortex.area[0].column[0,0].L5.deep[-1]", "no neuron is called"),
        ("deep", "no neuron is called"),
        ("", "no neuron is called"),
        ("]][[", "no neuron is called"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(CircuitError, match=message):
        attention(causal=True).neurons().id_of(name)


@pytest.mark.parametrize("neuron", [-1, 10**9, 2**70])
def test_unknown_ids(neuron):
    view = attention().neurons()
    for ask in (view.name_of, view.incoming):
        with pytest.raises(CircuitError, match=f"no neuron has id {neuron}"):
            ask(neuron)


# ---- sizes ---------------------------------------------------------------------------------------


def test_symbolic_sizes_are_refused():
    with pytest.raises(CircuitError, match=r"circuit\.bind\(n=16\)"):
        sampler().neurons()
    with pytest.raises(CircuitError, match=r"circuit\.bind\(n=16\)"):
        require_small(sampler(), 10)
    assert sampler().bind(n=3).neurons().size == sampler().bind(n=3).counts().neurons


def test_impossible_blocks_are_refused():
    with pytest.raises(CircuitError, match="block must be at least 1"):
        next(attention().neurons().neurons(0))


@pytest.mark.parametrize("causal", [False, True])
def test_huge_circuits_answer_at_once(causal):
    n = 10**12
    huge = attention(tokens=n, causal=causal, weights=False)
    begin = time.perf_counter()
    counts = 4 * n * (n + 1 if causal else 2 * n) + 3 * 3 * n
    with pytest.raises(CircuitError, match=f"{counts} neurons: no int64 numbers them"):
        huge.neurons()
    with pytest.raises(
        CircuitError, match=f"{huge.counts().synapses} synapses, more than the limit"
    ):
        require_small(huge, 10**6)
    assert time.perf_counter() - begin < 1


def test_large_circuits_stream_without_tables():
    n = 10**8
    large = attention(tokens=n, causal=True, weights=False)
    view = large.neurons()
    assert view.size == large.counts().neurons == 4 * n * (n + 1) + 9 * n
    name = f"cortex.area[1].column[{n - 1},{n - 2}].L5.deep[1]"
    assert view.name_of(view.id_of(name)) == name
    blocks = view.incoming(view.id_of(name))
    assert [(b.projection.name, len(b.pre)) for b in blocks] == [("value", 3), ("lateral", 2)]
    last = next(view.synapses(block=5, where=lambda p: p.name == "lateral", limit=5))
    assert len(last.pre) == 5
    with pytest.raises(
        CircuitError, match=f"{4 * n} incoming synapses|incoming synapses, more than"
    ):
        view.incoming(view.id_of(f"thalamus.higher_order.relay[{n - 1},0]"))


def test_too_many_synapses_to_number():
    wide = attention(tokens=10**9, causal=True, weights=False, keys=1, values=4, heads=1)
    stream = wide.neurons().synapses(where=lambda p: p.name == "out")
    assert len(next(stream).pre) == 1 << 20
    with pytest.raises(CircuitError, match="synapses: no int64 numbers them"):
        next(attention(tokens=10**9, model=9, heads=1, weights=False).neurons().synapses())


def test_formula_parameters_have_numbers_once_their_arguments_do():

    circuit = sampler().bind(n=3)
    turned = circuit.tensor("R")
    assert array_of(circuit, turned.name) is None
    frequencies = Parameter("inv_freq", (4,), np.arange(4.0))
    given = replace(
        circuit,
        parameters=tuple(frequencies if p.name == "inv_freq" else p for p in circuit.parameters),
    )
    assert array_of(given, turned.name).shape == (3, 4, 2, 2)


def test_brute_force_itself():
    """The helper that others are compared with, on a case small enough to see."""
    circuit = attention(tokens=2, causal=True)
    assert [
        (at["i"], at["j"])
        for at in tuples("ij", {"i": 2, "j": 2}, circuit.population("deep").domain)
    ] == [
        (0, 0),
        (1, 0),
        (1, 1),
    ]
    assert cell(circuit, "core", {"j": 1, "m": 0, "h": 5}) == ("core", (("j", 1), ("m", 0)))
