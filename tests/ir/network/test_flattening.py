"""A network as one circuit computes what its blocks do one after another, by the textbook."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Gain,
    Input,
    Region,
    Role,
    TensorRef,
    Weight,
)
from cortico.ir.network import Node, network
from cortico.spec.weights import random_weights
from tests.cases import CASES
from tests.covering import every_option
from tests.ir.network.networks import (
    SPEC,
    encoder_decoder,
    of_encoder_decoder,
    of_stack,
    stack,
    with_other_symbols,
    with_weights,
)
from tests.oracle import textbook_attention

RUNNERS = ("reference", "numpy")
STACKED = [c for c in CASES if c.spec.d_output == c.spec.model and not c.spec.cross]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("backend", RUNNERS)
@pytest.mark.parametrize("case", every_option(STACKED))
def test_a_stack_is_its_layers(case, backend):
    expected = of_stack(case.spec, 2, case.inputs)
    for made in (stack(case.spec), with_other_symbols(stack(case.spec))):
        close(get_backend(backend).run(made.flatten(), case.inputs)["y"], expected)


@pytest.mark.parametrize("backend", RUNNERS)
def test_a_decoder_hears_the_encoder(backend):
    made, rng = encoder_decoder(), np.random.default_rng(0)
    inputs = {"source": rng.standard_normal((2, 5, 4)), "target": rng.standard_normal((2, 3, 4))}
    inputs["keep"] = np.array([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1]])
    found = get_backend(backend).run(made.flatten(), inputs)["y"]
    expected = [of_encoder_decoder(*one) for one in zip(*inputs.values(), strict=True)]
    close(found, np.stack(expected))


def test_equal_blocks_are_one_definition():
    made = stack(depth=4)
    assert list(made.blocks.values()) == [made.nodes]
    assert len(encoder_decoder().blocks) == 3


def test_what_is_wired_is_synapses():
    """One per cell that the layer before gives, onto each of the populations that read it."""
    flat = stack(depth=2).flatten()
    assert [tensor.name for tensor in flat.inputs] == ["x"]
    onto = [p for p in flat.projections if p.pre == "layer_0_attention_relay"]
    assert {p.post for p in onto} == {
        "layer_1_attention_matrix_query",
        "layer_1_attention_core_source",
    }
    counts = flat.bind(n=5).counts()
    assert [counts.synapses_of[p.name] for p in onto] == [5 * 4] * len(onto)


def test_counts_are_those_of_the_blocks_and_the_wires():
    made = stack(depth=3)
    block = made.nodes[0].circuit.counts()
    assert str(made.counts().neurons) == str(3 * block.neurons)
    wires = 2 * 2 * 4  # two of them, onto two populations of n · 4 cells
    (n,) = made.flatten().symbols
    at_7 = made.flatten().bind(**{n: 7}).counts()
    alone = made.nodes[0].circuit.bind(n=7).counts()
    assert at_7.synapses == 3 * alone.synapses + wires * 7
    assert at_7.synapses == sum(len(b.pre) for b in made.flatten().bind(n=7).neurons().synapses())


def test_cells_and_areas_carry_the_path():
    made = stack(SPEC, depth=3)
    view = made.flatten().bind(n=4).neurons()
    name = "layer[2].attention.area[1].column[3,1].L2/3.superficial[0]"
    assert view.name_of(view.id_of(name)) == name
    relay = "layer[0].attention.thalamus.higher_order.relay[2,3]"
    assert view.name_of(view.id_of(relay)) == relay
    assert len({view.name_of(neuron) for neuron in range(view.size)}) == view.size
    assert [level.path for level in made.levels] == ["layer[0]", "layer[1]", "layer[2]"]
    level = made.levels[1]
    assert [area.name for area in level.areas] == [
        f"layer[1].attention.area[{k}]" for k in range(SPEC.heads)
    ]
    assert level["attention"] is made["layer[1].attention"] is made.nodes[1]
    assert str(level.neurons) == str(made.nodes[1].circuit.counts().neurons)
    column = made.flatten().bind(n=4).areas_at("layer[1].attention")[1].microcolumns[2, 3]
    assert column.name == "layer[1].attention.area[1].column[2,3]"
    assert {view.name_of(n).split(".L")[0] for n in column.neurons()} >= {column.name}


def test_the_levels_of_two_stacks():
    paths = [level.path for level in encoder_decoder().levels]
    assert paths == ["encoder.layer[0]", "decoder.layer[0]"]


def column(name, transfer="identity", transposed=False):
    """Cells over [i, m] that hear z, which arrives as (n, 4) or as (4, n), with a gain of 1 / (2 √4)."""
    b = CircuitBuilder(name)
    b.axis("i", Role.COLUMN, "n")
    b.axis("m", Role.MODEL, 4)
    z = b.input("z", (4, "n") if transposed else ("n", 4))
    read = TensorRef(z, ("m", "i") if transposed else ("i", "m"))
    drive = Weight(read, Gain(0.5, (("m", Fraction(-1, 2)),)))
    basal = Compartment("basal", drive=(drive, Weight(None, Gain(0.25))))
    b.population("cell", ("i", "m"), Region.L5, CellClass.PT, [basal], transfer)
    b.output("y", "cell", ("m", "i"))
    return b.build()


def test_gains_constants_and_turned_axes():
    nodes = [Node("first", column("one", "tanh")), Node("second", column("two", transposed=True))]
    wires = [("z", "first.z"), ("first.y", "second.z")]
    made = network("turned", [Input("z", ("n", 4))], nodes, wires, {"y": "second.y"})
    z = np.random.default_rng(0).standard_normal((3, 4))
    expected = (np.tanh(z / 4 + 0.25) / 4 + 0.25).T
    for backend in RUNNERS:
        close(get_backend(backend).run(made.flatten(), {"z": z})["y"], expected)


def test_an_input_called_as_what_is_wired_from_elsewhere():
    """`context` of a block comes from the network's `x`, and its `x` from another block."""
    spec = replace(SPEC, cross=True, context=4)
    nodes = [with_weights("a", SPEC, 0), with_weights("ab", spec, 1)]
    wires = [("x", "a.x"), ("a.y", "ab.x"), ("x", "ab.context")]
    made = network("around", [Input("x", ("n", 4))], nodes, wires, {"y": "ab.y"})
    x = np.random.default_rng(0).standard_normal((3, 4))
    own = textbook_attention(SPEC, random_weights(SPEC, 0), x)
    expected = textbook_attention(spec, random_weights(spec, 1), own, x)
    close(get_backend("numpy").run(made.flatten(), {"x": x})["y"], expected)
    view = made.flatten().bind(n=2).neurons()
    assert [view.id_of(view.name_of(neuron)) for neuron in range(view.size)] == [*range(view.size)]
