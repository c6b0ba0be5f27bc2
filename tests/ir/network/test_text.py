"""The text form of networks: what is printed parses to an equal one; what is wrong is said on its line."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import CircuitError
from cortico.ir.network import Node
from cortico.ir.text import (
    load_network,
    parse_network,
    print_network,
    save_network,
)
from tests.covering import every_option
from tests.ir.network.networks import encoder_decoder, stack
from tests.ir.network.test_flattening import STACKED


def without_values(made):
    return replace(made, nodes=tuple(Node(n.path, n.circuit) for n in made.nodes))


@pytest.mark.parametrize("case", every_option(STACKED))
def test_files_hold_equal_networks(case, tmp_path):
    made = stack(case.spec)
    save_network(made, tmp_path / "network.cortico")
    assert load_network(tmp_path / "network.cortico") == made


def test_text_alone_is_the_network_without_numbers():
    made = without_values(encoder_decoder())
    assert parse_network(print_network(made)) == made
    assert str(made).count("cortico circuit 1") == 3
    assert str(without_values(stack(depth=9))).count("cortico circuit 1") == 1


def test_other_numbers_are_another_network():
    one, other = stack(), stack()
    assert one == other and hash(one) == hash(other)
    last = other.nodes[-1]
    changed = {**last.values, "W_Q": last.values["W_Q"] * 2}
    assert replace(other, nodes=(*other.nodes[:-1], replace(last, values=changed))) != one


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cortico network 1", "cortico network 2", "line 1: text form 2, but this cortico reads 1"),
        ("cortico network 1", "cortico circuit 1", "line 1: expected 'network', found 'circuit'"),
        ('name "a stack"\n', "", "the text has no title"),
        ("input x (n, 4)", "input x (n, 5)", r"x is \(n, 5\), but layer\[0\].attention.x expects"),
        ("node layer[0].attention :", "node layer[0.attention :", "line 6: expected"),
        ("[1].attention : attention", "[1].attention : other", "line 7: there is no block 'other'"),
        ("wire x -> layer[0]", "wire z -> layer[0]", "wire z -> .*: nothing gives z"),
        ("layer[1].attention.y\n", "layer[1].attention.z\n", "no node gives layer.1..attention.z"),
        ("node layer[1]", "node layer[0]", r"2 nodes stand at layer\[0\].attention"),
        ("wire x -> layer[0].attention.x\n", "", r"0 wires end at layer\[0\].attention.x"),
        ("  axis a : feature 2", "  axis a : feather 2", r"line 2\d: .*did you mean 'feature'"),
        (
            "block attention",
            "block attention\nblock attention",
            "there is a block 'attention' already",
        ),
        ("block attention", "blocks attention", "expected a declaration"),
    ],
)
def test_what_is_wrong_is_said(old, new, message):
    text = print_network(without_values(stack()))
    assert old in text
    with pytest.raises(CircuitError, match=message):
        parse_network(text.replace(old, new, 1))


def test_a_block_that_no_node_is():
    text = print_network(without_values(encoder_decoder()))
    line = "node decoder.layer[0].across : across"
    with pytest.raises(CircuitError, match="no node is a block 'across'"):
        parse_network(text.replace(line, "node decoder.layer[0].across : attention", 1))


def test_weights_that_are_not_there(tmp_path):
    path = tmp_path / "network.cortico"
    save_network(stack(), path)
    with pytest.raises(CircuitError, match="would be replaced by other content"):
        save_network(encoder_decoder(), path)
    (tmp_path / "network.safetensors").unlink()
    with pytest.raises(CircuitError, match="No such file"):
        load_network(path)
    save_network(encoder_decoder(), tmp_path / "other.cortico")
    (tmp_path / "other.safetensors").rename(tmp_path / "network.safetensors")
    with pytest.raises(CircuitError, match=r"lack layer\[0\].attention.W_Q"):
        load_network(path)


def test_arrays_of_another_shape(tmp_path):
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "network.cortico"
    save_network(stack(), path)
    arrays = load_file(tmp_path / "network.safetensors")
    arrays["layer[1].attention.W_Q"] = np.zeros((2, 2, 5))
    save_file(arrays, tmp_path / "network.safetensors")
    with pytest.raises(CircuitError, match=r"hold 'layer\[1\].attention.W_Q' as F64 \(2, 2, 5\)"):
        load_network(path)
