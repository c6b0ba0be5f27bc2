"""Experiments on whole models: lesions beside hooks of transformers, and what each block does."""

from functools import cache

import numpy as np
import pytest
import torch
import transformers

from cortico.backends import run_network
from cortico.experiment.networks import lesion_network, observe_network, read_level_target
from cortico.frontends.whole_models import read_model
from cortico.ir import SpecError
from cortico.lowering import lower_model
from cortico.passes import as_passes, run_on_blocks

HEADS, FEATURES, LEVELS = 4, 4, 3
IDS = np.array([3, 1, 4, 1, 5, 9, 2])


@cache
def gpt2():
    config = transformers.GPT2Config(
        n_embd=HEADS * FEATURES, n_head=HEADS, n_layer=LEVELS, vocab_size=40, n_positions=16
    )
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel._from_config(config, attn_implementation="eager")
    for block in model.transformer.h:  # the library draws no biases
        torch.nn.init.normal_(block.attn.c_attn.bias)
    return model.double().eval()


@pytest.fixture(scope="module")
def lowered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    gpt2().save_pretrained(folder)
    return lower_model(*read_model(folder))


@pytest.fixture(scope="module")
def network(lowered):
    return run_on_blocks(lowered, as_passes("default"))[0]


def ablated(level, heads, biased=False):
    """Logits of transformers where a hook takes what some heads of a level give to its output map, or all but the bias of the values."""
    bias = gpt2().transformer.h[level].attn.c_attn.bias[2 * HEADS * FEATURES :]

    def without(module, given):
        x = given[0].clone()
        for head in heads:
            own = slice(head * FEATURES, (head + 1) * FEATURES)
            x[..., own] = bias[own] if biased else 0
        return (x,)

    hook = gpt2().transformer.h[level].attn.c_proj.register_forward_pre_hook(without)
    try:
        with torch.inference_mode():
            return gpt2()(torch.tensor(IDS)[None]).logits[0].numpy()
    finally:
        hook.remove()


@pytest.mark.parametrize(("level", "heads"), [(0, [0]), (1, [2]), (2, [1, 3])])
def test_an_ablated_head_is_that_of_transformers(lowered, level, heads):
    areas = ",".join(map(str, heads))
    for passes in ("none", "share-relays,fold-constants"):
        made, _ = run_on_blocks(lowered, as_passes(passes))
        lesioned = lesion_network(made, f"layer:L5@level={level},area={areas}")
        found = run_network(lesioned, {"tokens": IDS})["logits"]
        np.testing.assert_allclose(found, ablated(level, heads), atol=1e-10)
        whole = run_network(made, {"tokens": IDS})["logits"]
        assert np.abs(found - whole).max() > 1e-3  # and it matters


def test_the_bias_of_values_stays_where_a_pass_has_moved_it(network):
    found = run_network(lesion_network(network, "layer:L5@level=1,area=2"), {"tokens": IDS})
    np.testing.assert_allclose(found["logits"], ablated(1, [2], biased=True), atol=1e-10)


def test_all_levels_are_cut_where_none_is_named(network):
    one_by_one = network
    for level in range(LEVELS):
        one_by_one = lesion_network(one_by_one, f"cell:pyramidal_it@level={level},area=1")
    at_once = lesion_network(network, "cell:pyramidal_it@area=1")
    assert {n.path for n in at_once if n not in network.nodes} == {
        f"layer[{level}].attention" for level in range(LEVELS)
    }
    found, expected = (run_network(n, {"tokens": IDS})["logits"] for n in (at_once, one_by_one))
    np.testing.assert_array_equal(found, expected)


def test_other_levels_keep_their_circuit(network):
    lesioned = lesion_network(network, "nucleus:core@level=1", 0.5)
    changed = {node.path for node in lesioned if node.circuit != network[node.path].circuit}
    assert changed == {"layer[1].attention", "layer[1].feed_forward"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer:L5@level=3", "there is no level 3, .* has 3"),
        ("layer:L8@level=1", "the circuit has no layer 'L8'"),
        ("layer:L5@level=0,area=4", "there is no area 4, the circuit has 4"),
        ("layer:L5@levle=0", "cannot read target"),
        ("cell:vip@level=0,area=0", "no cell 'vip'"),
    ],
)
def test_targets_that_there_are_not(network, text, message):
    with pytest.raises(SpecError, match=message):
        lesion_network(network, text)


@pytest.mark.parametrize("text", ["layer:L5", "cell:pv@area=0,3", "layer:L2/3@level=3,area=5"])
def test_a_target_is_written_as_it_is_read(text):
    assert str(read_level_target(text)) == text


def test_what_blocks_do_is_what_the_model_of_transformers_does(network):
    with torch.inference_mode():
        given = gpt2()(torch.tensor(IDS)[None], output_attentions=True, output_hidden_states=True)
    seen = {node.path: activity for node, activity in observe_network(network, {"tokens": IDS})}
    for level in range(LEVELS):
        mask = seen[f"layer[{level}].attention"].attention
        np.testing.assert_allclose(mask.gate, given.attentions[level][0].numpy(), atol=1e-12)
    stream = seen["layer[1].feed_forward_residual"].rates["stream"]
    np.testing.assert_allclose(stream, given.hidden_states[2][0].numpy(), atol=1e-12)
