"""Whole models as one network of a simulator: flat circuits of many blocks settle to the interpreter's numbers."""

import functools

import networkx
import numpy as np
import pytest

from cortico.backends import get_backend, get_runner, run_network
from cortico.backends.cells.presented.depth import depth
from cortico.backends.cells.presented.schedule import schedule
from cortico.ir import UnsupportedError
from cortico.ir.analysis.dimensions import MOST, crowded, dimensions
from cortico.lowering import lower_model
from cortico.spec import Layer, ModelSpec, Stack
from cortico.spec.blocks import FeedForward
from cortico.spec.model_weights import random_model
from tests.backends.brian2.simulation import SYNCHRONOUS, simulate
from tests.backends.networks.models import SPECS, WIDTH, attention, before, case
from tests.backends.simulators import ANNARCHY, NENGO, NEST
from tests.conformance.test_backends import relative_error

WHOLE = ("encoder", "llama", "translator")


def example(name, tokens=4):
    """The flat circuit of a model, one example, and what is expected of it."""
    each = case(name, (), tokens)
    return each.network.flatten(), each.inputs, each.expected


def worst(found, expected):
    assert found.keys() == expected.keys()
    return max(relative_error(found[name], expected[name]) for name in expected)


@NENGO.needs
@pytest.mark.parametrize("name", WHOLE)
def test_nengo_is_exact(name):
    circuit, inputs, expected = example(name)
    assert NENGO.backend().unsupported(circuit) == []
    assert worst(NENGO.settle(circuit, inputs), expected) < 1e-13


@pytest.mark.parametrize("form", ["synapses", "fast"])
def test_brian2_settles_in_as_many_steps_as_the_longest_chain_has_cells(form):
    """Each step is one update of all cells: in one step less the last cell has not heard."""
    circuit, inputs, expected = without_norms()
    settle = functools.partial(
        simulate, circuit, inputs, backend_options={"form": form}, **SYNCHRONOUS
    )
    assert worst(settle()[0], expected) < 1e-12
    chain = depth(circuit, schedule(circuit)).through
    assert chain == longest(circuit)
    assert worst(settle(duration=10.0 * chain)[0], expected) < 1e-12
    assert worst(settle(duration=10.0 * (chain - 1))[0], expected) > 1e-6


def longest(circuit):
    """Cells of the longest chain, by NetworkX."""
    graph = networkx.DiGraph((p.pre, p.post) for p in circuit.projections)
    return networkx.dag_longest_path_length(graph) + 1


@pytest.mark.cross
@pytest.mark.parametrize("name", ["encoder", "llama"])
def test_brian2_settles_in_time(name):
    """With the time constants of all classes of cells, as it does by default."""
    circuit, inputs, expected = example(name)
    assert worst(simulate(circuit, inputs)[0], expected) < 1e-6


@pytest.mark.cross
def test_brian2_in_cpp_runs_as_long_as_the_chain_needs():
    circuit, inputs, expected = example("llama")
    found = get_runner("brian2", target="cpp_standalone").run(circuit, inputs)
    assert worst(found, expected) < 1e-6


def plain(levels=2):
    """Levels without norms, whose feed-forward blocks every simulator has."""
    block = FeedForward(WIDTH, 12, transfer="relu", bias_in=True)
    steps = (before(attention(2), None), before(block, None))
    return ModelSpec(Stack(WIDTH, (Layer(steps, levels),)), name="plain")


@functools.cache
def without_norms():
    """The flat circuit of such a model, one example, and what is expected of it."""
    circuit = lower_model(plain(), random_model(plain(), 1)).flatten()
    inputs = {"x": 0.3 * np.random.default_rng(0).standard_normal((3, WIDTH))}
    return circuit, inputs, get_runner("reference").run(circuit, inputs)


@NEST.needs
@pytest.mark.slow
def test_nest_settles_without_norms():
    circuit, inputs, expected = without_norms()
    assert worst(NEST.settle(circuit, inputs), expected) < 1e-13


def test_nest_refuses_an_error_function_by_the_path():
    told = r"at layer\[0\].feed_forward has the transfer function gelu, which no rate neuron"
    with pytest.raises(UnsupportedError, match=told):
        run_network(case("gpt").network, case("gpt").inputs, get_backend("nest"))


def test_a_script_of_annarchy_names_each_axis_in_few_dimensions():
    """Its grid is that of the others."""
    circuit, _, _ = example("llama")
    text = ANNARCHY.source(circuit)
    compile(text, "attention_annarchy.py", "exec")
    lines = [line for line in text.splitlines() if " = along(" in line]
    assert len(lines) == len(circuit.axes)
    assert all(line.endswith(f", {count_of(circuit)})") for line in lines)


def count_of(circuit):
    return len(set(dimensions(circuit, [axis.name for axis in circuit.axes]).values()))


@pytest.mark.parametrize("name", SPECS)
def test_axes_that_meet_lie_along_other_dimensions(name):
    """A simple rule, as a graph: neighbours differ, and arrays stay far below what NumPy can hold."""
    circuit, _, _ = example(name)
    found = dimensions(circuit, [axis.name for axis in circuit.axes])
    for projection in circuit.projections:
        ends = {*circuit.heard(projection).axes, *circuit.population(projection.post).axes}
        assert len({found[axis] for axis in ends}) == len(ends)
    assert len(circuit.axes) > MOST
    assert count_of(circuit) <= 10
    assert list(crowded(circuit)) == []


def test_few_axes_have_a_dimension_each():
    circuit, _, _ = example("llama")
    some = [axis.name for axis in circuit.axes][:MOST]
    assert dimensions(circuit, some) == {axis: k for k, axis in enumerate(some)}


def test_brian2_says_when_a_network_has_not_settled():
    """Steps of nearly twice the time constant, after which a rate swings for long."""
    with pytest.raises(RuntimeError, match=r"not settled in .*: the last step moved by"):
        simulate(scaled(1.0), {"x": np.ones((2, 1))}, method="euler", dt=19.0, tau=10.0)


def test_a_small_population_is_not_lost_beside_a_large_one():
    """The largest rate of its own kind says whether a population has settled, not that of a neighbour."""
    circuit = scaled(1e12)
    x = np.array([[1.0], [2.0]])
    found, _ = simulate(circuit, {"x": x}, dt=1.0, tau=10.0)
    np.testing.assert_allclose(found["small"], x * 1e-12, rtol=1e-8)


def scaled(factor):
    """Two chains of one class of cells, one large and one small, of which that is longer."""
    from cortico.ir import (
        CellClass,
        CircuitBuilder,
        Compartment,
        Gain,
        InputKind,
        Region,
        Role,
        TensorRef,
        Weight,
    )

    b = CircuitBuilder("two chains")
    b.axis("i", Role.COLUMN, "n")
    b.axis("m", Role.MODEL, 1)
    b.input("x", ("n", 1), InputKind.RATE)
    deep = (Region.L5, CellClass.PT)
    for name, gain, cells in (("large", factor, 1), ("small", 1 / factor, 9)):
        drive = (Weight(TensorRef("x", ("i", "m")), Gain(gain)),)
        last = b.population(f"{name}_0", ("i", "m"), *deep, [Compartment("basal", drive=drive)])
        for k in range(1, cells):
            post = b.population(f"{name}_{k}", ("i", "m"), *deep, [Compartment("basal")])
            b.project(f"{name}_to_{k}", last, post, "basal")
            last = post
        b.output(name, last, ("i", "m"))
    return b.build()
