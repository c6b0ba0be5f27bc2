"""Lesions of MiniLM's six layers on a real sentence, against the same ablation in PyTorch (BERT)."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from cortico import get_backend, lower
from cortico.backends import run_network
from cortico.demo.weights import model_folder
from cortico.experiment import effects, lesion
from cortico.frontends import read_checkpoint
from cortico.frontends.whole_models import read_model
from cortico.lowering import lower_model
from tests.covering import first
from tests.needs import needs_weights

torch = pytest.importorskip("torch")

pytestmark = needs_weights

SENTENCE = "The thalamus relays sensory signals to the cortex."
HEAD, WIDTH = 3, 32
ROWS = slice(HEAD * WIDTH, (HEAD + 1) * WIDTH)
LAYERS = range(6)


@pytest.fixture(scope="module")
def bert():
    from transformers import BertModel

    return BertModel.from_pretrained(model_folder(), attn_implementation="eager").double().eval()


@pytest.fixture(scope="module")
def ids():
    """The sentence as token ids (1, n)."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_folder())(SENTENCE, return_tensors="pt")["input_ids"]


@pytest.fixture(scope="module")
def hidden(bert, ids):
    """The input of each layer, (1, n, 384), by PyTorch."""
    with torch.no_grad():
        return bert(ids, output_hidden_states=True).hidden_states


@pytest.fixture(scope="module")
def circuits():
    return [compiled(layer) for layer in LAYERS]


def compiled(layer, **changes):
    """The circuit of a layer as the paper has it, without passes, in float64."""
    spec, weights = read_checkpoint(model_folder(), layer)
    double = {name: np.asarray(array, dtype=np.float64) for name, array in weights.items()}
    return lower(replace(spec, **changes), double)


def in_pytorch(bert, hidden, layer, ablate):
    """The attention block of a layer after `ablate(attention)` changed a copy of its weights."""
    block = copy.deepcopy(bert.encoder.layer[layer].attention)
    with torch.no_grad():
        ablate(block)
        return block.output.dense(block.self(hidden[layer])[0]).numpy()


def given(circuit, hidden, layer):
    return get_backend("numpy").run(circuit, {"x": hidden[layer].numpy()})["y"]


def difference(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


def no_head(block):
    """The usual ablation: the head's columns of the output matrix are zero."""
    block.output.dense.weight[:, ROWS] = 0


def no_scores(block):
    block.self.query.weight[ROWS] = 0
    block.self.query.bias[ROWS] = 0


def no_query(block):
    block.self.query.weight[:] = 0


def half_query(block):
    block.self.query.weight[:] /= 2


def no_source(block):
    block.self.key.weight[:] = 0
    block.self.value.weight[:] = 0


def no_value(block):
    block.self.value.weight[ROWS] = 0


#: Target to the ablation in PyTorch that it equals.
ABLATIONS = {
    # superficial cells of one area, mask cells among them: the head is gone
    f"layer:L2/3@area={HEAD}": no_head,
    f"layer:L5@area={HEAD}": no_head,
    f"projection:gate@area={HEAD}": no_head,
    f"projection:output@area={HEAD}": no_head,
    # the cells that multiply key and query alone: all scores are 0, and attention is uniform
    f"population:superficial@area={HEAD}": no_scores,
    "population:matrix_query": no_query,
    "projection:query": no_query,
    "nucleus:core": no_source,
    f"projection:value@area={HEAD}": no_value,
}


#: These two in every layer, the others in the first and the last.
CENTRAL = (f"layer:L2/3@area={HEAD}", "population:matrix_query")


@pytest.mark.slow
@pytest.mark.parametrize("target", first(3, ABLATIONS))
def test_silencing_equals_ablation(circuits, bert, hidden, target):
    for layer in LAYERS if target in CENTRAL else (LAYERS[0], LAYERS[-1]):
        whole = in_pytorch(bert, hidden, layer, lambda block: None)
        expected = in_pytorch(bert, hidden, layer, ABLATIONS[target])
        cut = lesion(circuits[layer], target)
        assert difference(given(cut, hidden, layer), expected) < 1e-12
        assert difference(whole, expected) > 1e-2  # the ablation does something


def test_half_the_query(circuits, bert, hidden):
    cut = lesion(circuits[1], "population:matrix_query", 0.5)
    expected = in_pytorch(bert, hidden, 1, half_query)
    assert difference(given(cut, hidden, 1), expected) < 1e-12


@pytest.mark.slow
def test_silent_matrix_thalamus_removes_the_query(bert, hidden):
    """Without padding the matrix nucleus carries nothing but the query; b_Q stays."""
    for layer in LAYERS:
        cut = lesion(compiled(layer, key_padding=False), "nucleus:matrix")
        expected = in_pytorch(bert, hidden, layer, no_query)
        assert difference(given(cut, hidden, layer), expected) < 1e-12


def test_silent_matrix_thalamus_with_padding_silences_all(circuits, hidden):
    """In a layer with padding it also says which words exist: then no word does, and b_O is left."""
    cut = lesion(circuits[0], "nucleus:matrix")
    (b_O,) = (p.values for p in circuits[0].parameters if p.name == "b_O")
    assert difference(given(cut, hidden, 0), np.broadcast_to(b_O, hidden[0].shape)) == 0


@pytest.mark.slow
def test_one_head_less_in_the_whole_model(bert, ids):
    """One area of each layer is silenced in the network; its states are those of BERT with ablated heads."""
    network = lower_model(*read_model(model_folder()))
    nodes = [
        replace(n, circuit=lesion(n.circuit, f"layer:L2/3@area={HEAD}"))
        if n.path.endswith(".attention")
        else n
        for n in network
    ]
    doubled = [
        replace(n, values={name: np.asarray(v, np.float64) for name, v in n.values.items()})
        for n in nodes
    ]
    given = {"tokens": ids.numpy(), "types": 0 * ids.numpy(), "keep": np.ones(ids.shape, bool)}
    found = run_network(replace(network, nodes=tuple(doubled)), given)["states"]
    ablated = copy.deepcopy(bert)
    with torch.no_grad():
        for layer in ablated.encoder.layer:
            no_head(layer.attention)
        expected = ablated(ids).last_hidden_state.numpy()
        whole = bert(ids).last_hidden_state.numpy()
    assert difference(found, expected) < 1e-11
    assert difference(whole, expected) > 1e-2


def test_attention_of_the_half_silenced_query(circuits, bert, hidden):
    """The change of attention in each area, as PyTorch's attention probabilities have it."""
    layer = 2
    block = copy.deepcopy(bert.encoder.layer[layer].attention)
    with torch.no_grad():
        before = block.self(hidden[layer], output_attentions=True)[1].numpy()[0]
        half_query(block)
        after = block.self(hidden[layer], output_attentions=True)[1].numpy()[0]
    cut = lesion(circuits[layer], "population:matrix_query", 0.5)
    seen = effects(circuits[layer], cut, {"x": hidden[layer].numpy()}, backend="numpy")
    for head, area in enumerate(seen.areas):
        expected = np.linalg.norm(after[head] - before[head]) / np.linalg.norm(before[head])
        assert area.attention == pytest.approx(expected, rel=1e-9)


def test_in_single_precision(bert, hidden):
    spec, weights = read_checkpoint(model_folder(), 0)
    cut = lesion(lower(spec, weights), f"layer:L2/3@area={HEAD}")
    x = hidden[0].numpy().astype(np.float32)
    found = get_backend("numpy").run(cut, {"x": x})["y"]
    assert found.dtype == np.float32
    assert difference(found, in_pytorch(bert, hidden, 0, no_head)) < 1e-5
