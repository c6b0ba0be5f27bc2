"""Each rule of networks: what breaks it, and what is said."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import CircuitError, Input, InputKind
from cortico.ir.network import Node, Port, Wire, check_network, network
from cortico.lowering import lower
from cortico.spec import AttentionSpec
from tests.ir.network.networks import SPEC, encoder_decoder, stack

X = Input("x", ("n", 4))
LAYER = lower(SPEC)


def wired(*paths, **changes):
    """Nodes side by side that all read x."""
    nodes = [Node(path, LAYER) for path in paths]
    parts = {
        "inputs": [X],
        "nodes": nodes,
        "wires": [("x", f"{path}.x") for path in paths],
        "outputs": {"y": f"{paths[0]}.y"},
    } | changes
    return network("wired", *parts.values())


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (
            ["layer[0]", "layer[0].attention"],
            r"layer\[0\].attention stands below the node layer\[0\]",
        ),
        (["layer[1]", "layer_1"], r"layer\[1\] and layer_1 would have the same names"),
        (["a", "a"], "2 nodes stand at a"),
        (["1a"], "'1a' is no path"),
        (["a..b"], "'a..b' is no path"),
        (["a[01]"], r"'a\[01\]' is no path"),
    ],
)
def test_paths(paths, message):
    with pytest.raises(CircuitError, match=message):
        wired(*paths)


def test_names_of_inputs_and_outputs():
    with pytest.raises(CircuitError, match="input 'x' is declared 2 times"):
        wired("a", inputs=[X, X])
    with pytest.raises(CircuitError, match="there is no output"):
        wired("a", outputs={})
    with pytest.raises(CircuitError, match="output 'y': no node gives x"):
        wired("a", outputs={"y": "x"})


def test_two_wires_onto_one_input():
    with pytest.raises(CircuitError, match=r"2 wires end at a\.x, expected one"):
        wired("a", wires=[("x", "a.x"), ("x", "a.x")])


def test_cycles():
    wires = [("a.y", "b.x"), ("b.y", "a.x")]
    with pytest.raises(CircuitError, match="has a cycle: "):
        wired("a", "b", wires=wires)


def test_values_of_other_parameters():
    made = stack()
    first = made.nodes[0]
    other = replace(first, values={**first.values, "W_X": np.zeros(3)})
    with pytest.raises(CircuitError, match="has values for 'W_X'"):
        check_network(replace(made, nodes=(other, *made.nodes[1:])))
    some = replace(first, values={"W_Q": first.values["W_Q"]})
    with pytest.raises(CircuitError, match="has values, but none for W_K, W_V, W_O"):
        check_network(replace(made, nodes=(some, *made.nodes[1:])))


def test_a_mask_is_no_rate():
    made = encoder_decoder()
    wires = [Wire(Port("source"), w.target) if w.source == Port("keep") else w for w in made.wires]
    with pytest.raises(CircuitError, match="source is a rate, expected a mask"):
        check_network(replace(made, wires=tuple(wires)))


def test_widths_that_do_not_meet():
    wide = lower(AttentionSpec(model=6))
    nodes = [Node("a", LAYER), Node("b", wide)]
    with pytest.raises(CircuitError, match=r"a.y is \(n, 4\), but b.x expects \(n, 6\)"):
        network("two", [X], nodes, [("x", "a.x"), ("a.y", "b.x")], {"y": "b.y"})


def test_tokens_that_do_not_meet():
    """Context of the decoder is as long as what says which of its tokens exist."""
    made = encoder_decoder()
    inputs = (*made.inputs[:2], Input("keep", ("n",), InputKind.MASK))
    with pytest.raises(CircuitError, match=r"keep is \(n\), but .* expects \(m\)"):
        check_network(replace(made, inputs=inputs))


def test_no_such_node():
    with pytest.raises(CircuitError, match=r"no node at 'layer\[7\].attention'.*there are: layer"):
        stack()["layer[7].attention"]
    with pytest.raises(CircuitError, match="no block called 'layer'"):
        stack().flatten().areas_at("layer")
    with pytest.raises(CircuitError, match="has areas in 2 blocks: look at those of one, such as"):
        _ = stack().flatten().areas
