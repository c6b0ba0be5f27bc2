"""Whole models as networks: against the oracle of model specs, which knows no circuit."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortico.backends import get_runner
from cortico.ir import CellClass, SpecError
from cortico.ir.network import Network, Node
from cortico.ir.network import network as network_of
from cortico.ir.rewrite import symbolic
from cortico.ir.text import parse_network, print_network
from cortico.lowering import lower, lower_model
from cortico.spec import (
    AttentionSpec,
    Branch,
    Dense,
    Embedding,
    FeedForward,
    Layer,
    ModelSpec,
    Norm,
    Readout,
    Residual,
    Stack,
    Step,
    Way,
)
from cortico.spec.model_weights import random_model
from cortico.spec.wiring import wiring
from tests.model_oracle import forward
from tests.model_strategies import model_specs


def inputs_of(network: Network, seed=0, tokens=5, others=4):
    """Something for every input of a network, by its name."""
    rng = np.random.default_rng(seed)
    sizes = {"n": tokens, "n_decoder": others, "n_context": others}
    found = {}
    for tensor in network.inputs:
        shape = [sizes.get(side, side) for side in tensor.shape]
        if tensor.kind == "token":
            found[tensor.name] = rng.integers(0, shape[-1], shape[:-1])
        elif tensor.kind == "mask":
            found[tensor.name] = np.arange(shape[0]) < shape[0] - 1
        else:
            found[tensor.name] = rng.standard_normal(shape)
    return found


def by_oracle(spec, weights, inputs):
    """The same inputs under the oracle's names."""
    given = {name: inputs.get(name) for name in ("tokens", "types", "keep", "x")}
    return forward(spec, weights, decoder=inputs.get("decoder_tokens"), **given)


@given(model_specs(), st.integers(0, 99))
def test_a_network_computes_what_the_spec_says(spec, seed):
    weights = random_model(spec, seed)
    network = lower_model(spec, weights)
    inputs = inputs_of(network, seed)
    inputs |= {n: np.zeros_like(v) for n, v in inputs.items() if n == "decoder_types"}
    inputs |= {n: np.ones_like(v) for n, v in inputs.items() if n == "decoder_keep"}
    found = get_runner("reference").run(network.flatten(), inputs)
    expected = by_oracle(spec, weights, inputs)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-8, atol=1e-8 * np.abs(array).max())


@given(model_specs(), st.booleans())
def test_its_text_reads_as_the_network(spec, numbered):
    network = lower_model(spec, random_model(spec) if numbered else None)
    assert parse_network(print_network(without_numbers(network))) == without_numbers(network)


def without_numbers(network):
    nodes = [Node(n.path, symbolic(n.circuit)) for n in network.nodes]
    return network_of(network.name, network.inputs, nodes, network.wires, network.outputs)


def gpt(layers=3, **fields):
    """A small model with norms before its blocks."""
    norm = Norm(8)
    steps = (
        Step((Branch(AttentionSpec(8, heads=2, mask="causal", rotary=True), before=norm),)),
        Step((Branch(feed_forward=FeedForward(8, 12), before=norm),)),
    )
    stack = Stack(8, (Layer(steps, layers),), Embedding(9, 8), norm=norm)
    return ModelSpec(stack, **{"readout": Readout(Dense(8, 9), tied=True), "name": "gpt"} | fields)


def test_equal_blocks_share_one_circuit():
    network = lower_model(gpt(), random_model(gpt()))
    assert {name: len(network.blocks[c]) for c, name in network.block_names.items()} == {
        "embedding": 1,
        "norm": 7,
        "attention": 3,
        "residual": 6,
        "feed_forward": 3,
        "dense": 1,
    }


def test_paths_are_those_of_the_levels():
    assert list(wiring(gpt(1)).blocks) == [
        "embedding",
        "layer[0].pre_attention_norm",
        "layer[0].attention",
        "layer[0].attention_residual",
        "layer[0].pre_feed_forward_norm",
        "layer[0].feed_forward",
        "layer[0].feed_forward_residual",
        "norm",
        "readout",
    ]


def test_a_tied_readout_has_the_table_of_tokens():
    weights = random_model(gpt())
    assert "readout" not in weights
    network = lower_model(gpt(), weights)
    assert network["readout"].values["W"] is network["embedding"].values["W_token"]


def test_frequencies_of_rotary_embedding_are_a_constant_of_the_shared_block():
    weights = random_model(gpt(2))
    for level in (0, 1):
        weights[f"layer[{level}].attention"]["rotary_frequencies"] = np.array([0.5, 0.25])
    network = lower_model(gpt(2), weights)
    (block,) = {network[f"layer[{k}].attention"].circuit for k in (0, 1)}
    (found,) = (p.values for p in block.parameters if p.name == "frequencies")
    np.testing.assert_array_equal(found, [0.5, 0.25])


def test_neurons_have_their_place_in_the_hierarchy():
    flat = lower_model(gpt(2), random_model(gpt(2))).flatten().bind(n=3)
    view = flat.neurons()
    name = "layer[1].attention.area[1].column[2,1].L5.deep[3]"
    assert view.name_of(view.id_of(name)) == name
    assert flat.counts().neurons == view.size


@pytest.mark.parametrize("way", Way)
def test_no_relay_drives_a_relay_but_where_that_is_asked_for(way):
    steps = gpt().stack.layers[0].steps
    stack = replace(gpt(1).stack, layers=(Layer(tuple(replace(s, way=way) for s in steps)),))
    flat = lower_model(ModelSpec(stack), None).flatten()
    cells = {p.name: p for p in flat.populations}
    pairs = [(cells[p.pre].cell_class, cells[p.post].cell_class) for p in flat.projections]
    from_relay_to_relay = pairs.count((CellClass.RELAY, CellClass.RELAY))
    # the residual hears the stream and the block; the block's relay cells are heard by the residual
    assert (from_relay_to_relay > 0) is (way is Way.RELAY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "layer\\[0\\].attention: W_Q is missing, expected shape \\(2, 4, 8\\)"),
        ({"layer[7].attention": {}}, "'layer\\[7\\].attention' is no block with weights"),
        (
            {
                "layer[1].feed_forward": {
                    "W_in": np.zeros((12, 8)),
                    "W_out": np.full((8, 12), np.nan),
                }
            },
            "layer\\[1\\].feed_forward: W_out has 96 of 96 numbers that are NaN",
        ),
        ({"norm": {"gain": np.zeros(9)}}, "norm: gain has shape \\(9,\\), expected \\(8,\\)"),
        ({"embedding": {"W_token": np.zeros((9, 8), int)}}, "W_token has type int64"),
    ],
)
def test_weights_that_do_not_fit_are_named_by_path(change, message):
    weights = random_model(gpt()) | change
    if not change:
        del weights["layer[0].attention"]
    with pytest.raises(SpecError, match=message):
        lower_model(gpt(), weights)


def test_a_block_whose_tokens_are_in_time_has_no_place_in_a_model():
    memory = AttentionSpec(8, 2, mask="causal", kernel="linear", microcircuit="memory")
    step = Step((Branch(attention=memory),))
    with pytest.raises(
        SpecError, match=r"layer\[0\].attention: microcircuit = memory has no place"
    ):
        ModelSpec(Stack(8, (Layer((step,)),)))


def test_blocks_by_themselves_are_lowered_too():
    assert lower(Residual(4, branches=2)).outputs[0].source.name == "stream"
    with pytest.raises(SpecError, match="weights of 'norm' are wrong"):
        lower(Norm(4), {})
