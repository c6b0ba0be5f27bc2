"""Parts of a network: a node and all that it hears from as a network of its own, and the circuit of one node."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import run_network
from cortico.backends.reference import ReferenceBackend
from cortico.ir import CircuitError
from cortico.ir.network import Node, circuit_at, network, part_up_to
from cortico.lowering import lower
from cortico.spec import Residual
from tests.ir.network.networks import (
    SPEC,
    encoder_decoder,
    of_stack,
    stack,
    with_other_symbols,
    with_weights,
)


def test_it_gives_what_the_node_hears_and_gives():
    """Of four layers the third: what two layers give goes in, what three give comes out."""
    x = np.random.default_rng(0).normal(size=(5, 4))
    found = run_network(part_up_to(stack(depth=4), "layer[2].attention"), {"x": x})
    assert [*found] == ["y", "x"]
    for name, depth in (("x", 2), ("y", 3)):
        expected = run_network(stack(depth=depth), {"x": x})["y"]
        np.testing.assert_allclose(found[name], expected, rtol=1e-12)


def test_other_nodes_and_inputs_are_left_out():
    """The side branch and its input are not heard; of two ways to a node both are."""
    add = lower(Residual(4))
    nodes = [with_weights(path, SPEC, 0) for path in ("aside", "before")]
    nodes += [Node("sum", add), Node("last", add)]
    wires = [("z", "aside.x"), ("x", "before.x"), ("x", "sum.x"), ("before.y", "sum.branch")]
    wires += [("sum.y", "last.x"), ("aside.y", "last.branch")]
    tensors = [lower(SPEC).inputs[0], stack().inputs[0]]
    made = network(
        "two ways", [tensors[0], replace(tensors[1], name="z")], nodes, wires, {"y": "last.y"}
    )
    part = part_up_to(made, "sum")
    assert [node.path for node in part] == ["before", "sum"]
    assert [tensor.name for tensor in part.inputs] == ["x"]
    assert [str(o.source) for o in part.outputs] == ["sum.y", "before.y"]
    assert part_up_to(part_up_to(made, "last"), "sum").nodes == part.nodes


def test_the_first_node_gives_itself_alone():
    part = part_up_to(stack(), "layer[0].attention")
    assert [output.name for output in part.outputs] == ["y"] and len(part.nodes) == 1


def test_a_path_that_is_not_there():
    with pytest.raises(CircuitError, match=r"no node at 'layer\[2\]\.attention'"):
        part_up_to(stack(), "layer[2].attention")


def test_the_circuit_of_a_node_has_its_numbers_and_sizes():
    made = with_other_symbols(stack(depth=2))
    circuit = circuit_at(made, "layer[1].attention")
    assert (circuit.name, circuit.symbols) == ("layer[1].attention", ("length",))
    x = np.random.default_rng(0).normal(size=(1, 5, 4))
    second = of_stack(SPEC, 2, {"x": x})
    first = of_stack(SPEC, 1, {"x": x})
    found = ReferenceBackend().run(circuit, {"x": first})["y"]
    np.testing.assert_allclose(found, second, rtol=1e-12)
    assert circuit_at(made.bind(length=5), "layer[1].attention").sizes()["i"] == 5
    with pytest.raises(CircuitError, match=r"no node at 'layer\[2\].attention'"):
        circuit_at(made, "layer[2].attention")


@pytest.mark.parametrize("made", [stack(), encoder_decoder()])
def test_a_network_with_numbers_for_its_sizes(made):
    sizes = {symbol: 3 + k for k, symbol in enumerate(made.symbols)}
    assert made.bind(**sizes).flatten() == made.flatten().bind(**sizes)
    assert made.bind(**sizes).symbols == ()
    with pytest.raises(CircuitError, match="no symbolic size 'k'"):
        made.bind(k=3)
