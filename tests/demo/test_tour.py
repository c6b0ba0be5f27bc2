"""The demo writes a folder that runs, prints what it claims, and notices a wrong output."""

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from cortico.demo import tour
from cortico.demo.tour import QUERY, attention_to_words, bar, make_demo, run_demo
from cortico.ir import SpecError
from tests.needs import needs_weights


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_demo(tmp_path_factory.mktemp("demo"), lambda stage: None)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


@pytest.mark.slow
@needs_weights
def test_demo_runs(tmp_path, console):
    folder = tmp_path / "a [b] folder"  # nothing in the path may be read as markup
    assert run_demo(folder, console) == 0
    text = console.file.getvalue()
    files = {path.name for path in folder.iterdir()}
    assert files >= {"model.py", "network.safetensors", "tokenizer.json"}
    assert "equal the model's own" in text
    assert "171,542" in text  # 792 n² + 1165 n neurons of one attention, n = 14
    assert "115,838,352" in text  # 591,012 n² synapses
    assert "2,140,872" in text  # neurons of all: 4,752 n² + 86,309 n + 1,154
    assert all(cosine in text for cosine in ("0.9055", "0.0455", "0.0367"))
    assert "a [b] folder" in text
    assert "[CLS]" in text and "layer[5]" in text


@needs_weights
def test_emitted_file_makes_the_models_sentences(made):
    assert made.is_exact
    assert made.differences["float64"] < 1e-12
    assert made.differences["float32"] < 1e-5


@needs_weights
def test_a_wrong_output_is_noticed(made, console, monkeypatch, tmp_path):
    wrong = dataclasses.replace(made, cosines={**made.cosines, "float32": np.full(3, np.nan)})
    monkeypatch.setattr(tour, "make_demo", lambda folder, progress, force: wrong)
    assert run_demo(tmp_path, console) == 1
    assert "DIFFER FROM" in console.file.getvalue()


@needs_weights
def test_mask_rates_are_the_attention(made):
    """The mask cells' shares are softmax(q kᵀ/√d), computed here from the weights."""
    np.testing.assert_allclose(made.mask.sum(axis=2), 1, rtol=1e-12)
    words = attention_to_words(made.mask, made.tokens, QUERY)
    assert [word for word, _ in words][1:5] == ["the", "thalamus", "relays", "sensory"]
    np.testing.assert_allclose(sum(shares for _, shares in words), 1, rtol=1e-12)
    assert dict(words)["sensory"][2] > 0.99  # head 2 of layer 0 attends to the word before


@needs_weights
def test_a_folder_that_cannot_be_written(tmp_path, console):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="cannot write"):
        run_demo(tmp_path / "file", console)


def test_attention_to_words_joins_pieces():
    tokens = ["[CLS]", "tha", "##lam", "end"]
    mask = np.array([[[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0.25, 0.75], [0, 0, 0, 1]]])
    words = attention_to_words(mask, tokens, "thalam")
    assert [(word, float(shares[0])) for word, shares in words] == [
        ("[CLS]", 0.0),
        ("thalam", 0.625),
        ("end", 0.375),
    ]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "           0%"),
        (0.5, "████      50%"),
        (1.0, "████████ 100%"),
        (0.01, "▏          1%"),
    ],
)
def test_bar(share, text):
    assert bar(share) == text
