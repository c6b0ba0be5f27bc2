"""Whole models in GGUF files and in folders of sentence-transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Kind

from cortico.frontends.whole_models import read_model
from cortico.ir.errors import SpecError
from cortico.spec import Pool
from tests.compiler.frontends.families.models import exact_positions, no_rounding, relative
from tests.compiler.frontends.gguf_files import save_model
from tests.compiler.frontends.test_gguf import arch_of, case_of, loaded, made_of
from tests.compiler.frontends.whole.cases import CASES, KEEP, TOKENS, with_frequencies
from tests.compiler.frontends.whole.test_whole_models import outputs_of, save
from tests.model_oracle import forward
from tests.needs import SMOLLM2, needs_smollm2, needs_weights

# ---- GGUF


GGUF = {
    "llama": case_of("Llama", rms_norm_eps=0.25),
    "llama, untied": case_of("Llama", tie_word_embeddings=False),
    "qwen2": case_of("Qwen2"),
    "qwen3": case_of("Qwen3", head_dim=32, rms_norm_eps=0.25),
    "gemma": case_of("Gemma", head_dim=32, hidden_size=96),
    "gemma2": case_of("Gemma2", sliding_window=3, final_logit_softcapping=0.75),
    "gemma3": case_of("Gemma3Text", sliding_window=3, rms_norm_eps=0.25),
}


def largest_error(file, model):
    spec, weights = read_model(file)
    model = model.double()
    exact_positions(model)
    found = forward(spec, with_frequencies(model, weights), TOKENS)["logits"]
    return relative(found, outputs_of(model)["logits"])


def save_file(file, model, changes=None, more=None):
    """As the converter of llama.cpp does; a matrix of its own is `output.weight`."""
    own = model.lm_head.weight is not model.get_input_embeddings().weight
    matrix = {"output.weight": model.lm_head.weight.detach().numpy()} if own else {}
    save_model(model, file, arch_of(model), Kind.F32, changes, {**matrix, **(more or {})})


@pytest.mark.parametrize("name", GGUF)
def test_gguf_is_the_model_that_it_was_made_of(tmp_path, name):
    file, model = tmp_path / "m.gguf", made_of(GGUF[name])
    save_file(file, model)
    assert largest_error(file, model) < 1e-10
    assert read_model(file)[0].readout.tied == (name != "llama, untied")


REFUSED = {
    "experts": (
        {"llama.expert_count": 8},
        {},
        "the feed-forward blocks of Llama are a mixture of experts, which no spec has",
    ),
    "a vocabulary": ({"llama.vocab_size": 41}, {}, "llama.vocab_size must be 40, as "),
    "another tensor": ({}, {"output.bias": np.zeros(40, np.float32)}, "\n  - output.bias"),
    "another block": (
        {},
        {"blk.1.ffn_gate_inp.weight": np.zeros((8, 64), np.float32)},
        "\n  - blk.1.ffn_gate_inp.weight",
    ),
    "no eps": (
        {"llama.attention.layer_norm_rms_epsilon": None},
        {},
        "llama.attention.layer_norm_rms_epsilon must be a positive number, found None",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_gguf_files_that_are_refused(tmp_path, name):
    changes, more, message = REFUSED[name]
    save_file(tmp_path / "m.gguf", made_of(GGUF["llama"]), changes, more)
    with pytest.raises(SpecError) as caught:
        read_model(tmp_path / "m.gguf")
    assert message in str(caught.value)


@pytest.mark.full
@needs_smollm2
def test_smollm2():
    (file,) = Path(SMOLLM2.origin).parent.glob("*.gguf")
    model = loaded(file).double()
    exact_positions(model)
    spec, weights = read_model(file)
    assert len(spec.stack.levels) == 30 and spec.readout.tied
    found = forward(spec, with_frequencies(model, weights), TOKENS)["logits"]
    with torch.no_grad(), no_rounding():
        expected = model(torch.tensor(TOKENS)[None]).logits[0].numpy()
    assert relative(found, expected) < 1e-10


# ---- sentences


@needs_weights
def test_minilm():
    from cortico.demo.weights import model_folder

    spec, weights = read_model(model_folder())
    assert spec.sentence.dense is None and spec.sentence.pooling.unit
    assert "pooler" not in weights  # sentences are made of the mean
    model = transformers.AutoModel.from_pretrained(model_folder()).eval().double()
    states = outputs_of(model, KEEP)["states"]
    mean = states[KEEP].mean(axis=0)
    found = forward(spec, weights, TOKENS, KEEP)
    assert relative(found["states"][KEEP], states[KEEP]) < 1e-10
    assert relative(found["sentence"], mean / np.linalg.norm(mean)) < 1e-10


MODULES = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]


def sentences(folder, modules=MODULES, place="", **pooling):
    """A folder as sentence-transformers writes it."""
    (folder / place).mkdir(exist_ok=True)
    save(CASES["bert"], folder / place)
    listed = [
        {"idx": k, "name": str(k), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for k, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    config = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True} | pooling
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))


def test_how_sentences_are_made(tmp_path):
    first = {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    sentences(tmp_path, [("0_BERT", "Transformer"), *MODULES[1:2]], "0_BERT", **first)
    pooling = read_model(tmp_path)[0].sentence.pooling
    assert pooling.pool is Pool.FIRST and not pooling.unit


SENTENCES = {
    "another way": (
        MODULES,
        {"pooling_mode_max_tokens": True},
        "pooling_mode_max_tokens = True: only False is supported",
    ),
    "two ways": (MODULES, {"pooling_mode_cls_token": True}, "must say true to one of"),
    "another width": (
        MODULES,
        {"word_embedding_dimension": 8},
        "word_embedding_dimension must be 16, found 8",
    ),
    "a map": (
        [*MODULES[:2], ("2_Dense", "Dense")],
        {},
        "has the modules Transformer, Pooling, Dense, expected Transformer, Pooling and perhaps Normalize",
    ),
    "another folder": (
        [("../x", "Transformer"), *MODULES[1:]],
        {},
        "'../x' is no plain folder",
    ),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_sentences_that_are_refused(tmp_path, name):
    modules, pooling, message = SENTENCES[name]
    sentences(tmp_path, modules, **pooling)
    with pytest.raises(SpecError) as caught:
        read_model(tmp_path)
    assert message in str(caught.value)
