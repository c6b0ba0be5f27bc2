"""Whole models on the command line: a tiny GPT-2 of transformers, with a tokenizer of words."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from cortico.files.writing import sha256
from cortico.frontends.spec_file import spec_to_json
from cortico.frontends.whole_models import read_model
from cortico.spec.model_weights import random_model
from tests.cli.test_commands import ok

WORDS = ["<end>", "the", "cortex", "hears", "thalamus", "sings", "cells", "fire", "[UNK]"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A checkpoint folder with a tokenizer, of a model with large weights: its words differ."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    config = transformers.GPT2Config(
        n_embd=16, n_head=2, n_layer=3, vocab_size=len(WORDS), n_positions=12, initializer_range=0.5
    )
    torch.manual_seed(1)
    model = transformers.GPT2LMHeadModel(config).eval()
    model.save_pretrained(folder)
    words = models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="[UNK]")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder, model


@pytest.fixture
def tiny(made, home):
    """A copy of the checkpoint in the working folder."""
    shutil.copytree(made[0], home / "tiny")
    return made[1]


def greedy(model, prompt, count):
    ids = [WORDS.index(word) for word in prompt.split()]
    for _ in range(count):
        with torch.inference_mode():
            token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        if token == 0:
            break
        ids.append(token)
    return ids


def test_compile_a_checkpoint_whole(cortico, home, tiny):
    printed = ok(cortico("compile", "tiny", "-o", "made"))
    assert "layer[2]" in printed and "Blocks" in printed
    names = {path.name for path in Path("made").iterdir()}
    assert names == {
        *("model.py", "network.cortico", "network.safetensors"),
        *("report.md", "spec.json", "tokenizer.json"),
    }
    again = {path.name: path.read_bytes() for path in Path("made").iterdir()}
    ok(cortico("compile", "tiny", "-o", "made"))  # the same bytes: nothing to force
    assert again == {path.name: path.read_bytes() for path in Path("made").iterdir()}


def test_parameters_of_a_tied_model_are_those_of_transformers(cortico, home, tiny):
    printed = ok(cortico("compile", "tiny", "--passes", "none", "-o", "made"))
    assert f"{tiny.num_parameters():,} parameters" in printed


def test_what_it_writes_is_what_transformers_writes(cortico, home, tiny):
    ok(cortico("compile", "tiny", "-o", "made"))
    ids = greedy(tiny, "the cortex hears", 5)
    expected = " ".join(WORDS[token] for token in ids)
    for source in ("made", "tiny"):  # compiled before, and in memory
        printed = ok(cortico("generate", source, "--text", "the cortex hears", "--count", 5))
        assert printed.split() == expected.split()


def test_drawing_is_by_its_seed(cortico, home, tiny):
    ok(cortico("compile", "tiny", "-o", "made"))
    draw = ("generate", "made", "--text", "the", "--count", 8, "--temperature", 1.5, "--top-k", 6)
    first, second = (ok(cortico(*draw, "--seed", 3)) for _ in range(2))
    others = {ok(cortico(*draw, "--seed", seed)) for seed in range(4, 9)}
    assert first == second and len(others) > 1


def test_run_tells_of_texts(cortico, home, tiny):
    ok(cortico("compile", "tiny", "-o", "made"))
    printed = ok(cortico("run", "made", "--text", "the cortex", "-o", "out.npz"))
    with torch.inference_mode():
        logits = tiny(torch.tensor([[1, 2]])).logits.numpy()
    np.testing.assert_allclose(np.load("out.npz")["logits"], logits, atol=1e-4)
    word = WORDS[int(logits[0, -1].argmax())]
    assert "next word" in printed and repr(word) in printed
    np.savez("ids.npz", tokens=np.array([[1, 2], [3, 4]]))
    assert "logits (2, 2, 9)" in ok(cortico("run", "made", "-i", "ids.npz"))


@pytest.mark.parametrize(("layers", "count"), [("0-1", 2), ("1-2", 2), ("2", 1)])
def test_compile_some_layers(cortico, home, tiny, layers, count):
    ok(cortico("compile", "tiny", "--layers", layers, "-o", "some"))
    spec = json.loads(Path("some/spec.json").read_text())
    assert spec["stack"]["layers"][0].get("times", 1) * len(spec["stack"]["layers"]) == count
    first, last = int(layers[0]), int(layers[-1])
    rng = np.random.default_rng(0)
    if first == 0:
        given, key = {"tokens": np.array([1, 2, 3])}, {"input_ids": torch.tensor([[1, 2, 3]])}
        np.savez("in.npz", **given)
    else:
        x = rng.standard_normal((3, 16)).astype(np.float32)
        np.savez("in.npz", x=x)
    ok(cortico("run", "some", "-i", "in.npz", "-o", "out.npz"))
    found = np.load("out.npz")["states"]
    with torch.inference_mode():
        if first == 0:
            expected = tiny(**key, output_hidden_states=True).hidden_states[last + 1][0]
        else:
            hidden = torch.tensor(x)[None]
            for level in range(first, last + 1):
                hidden = tiny.transformer.h[level](hidden)
                hidden = hidden[0] if isinstance(hidden, tuple) else hidden
            expected = tiny.transformer.ln_f(hidden)[0] if last == 2 else hidden[0]
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_lesion_of_a_model(cortico, home, tiny):
    ok(cortico("compile", "tiny", "-o", "made"))
    printed = ok(
        cortico("lesion", "made", "--silence", "layer:L5@level=1,area=0", "--text", "the cortex")
    )
    assert "Words, whole" in printed and "Words, lesioned" in printed and "output logits" in printed


@pytest.mark.slow
def test_verify_a_model(cortico, home, tiny):
    printed = ok(cortico("verify", "tiny", "-o", "proved"))
    assert "proved for" in printed and "every claim" in printed
    assert "re-check with: cortico verify --check proved/certificate.json" in printed
    certificate = json.loads(Path("proved/certificate.json").read_text())
    assert all(claim["verdict"] != "refuted" for claim in certificate["claims"])

    def found(*arguments):
        code, printed, _ = cortico("verify", *arguments)
        return code, " ".join(printed.split())

    code, printed = found("--check", "proved")
    assert code == 3 and "not re-checked the stored numbers" in printed
    code, printed = found("tiny", "--check", "proved")
    assert code == 3 and "re-checked the stored numbers: are made of the model's weights" in printed
    code, printed = found("proved")
    assert code == 3 and "model.py: byte by byte what cortico emits for this network" in printed
    code, _, err = cortico("verify", "tiny", "--layers", "0-1", "--check", "proved")
    assert code == 2 and "is of another spec than the source" in err
    code_file = Path("proved/model.py")
    code_file.write_text(code_file.read_text() + "Path('ran').touch()\n")
    certificate["files"]["model.py"] = sha256(code_file)
    Path("proved/certificate.json").write_text(json.dumps(certificate))
    code, printed = found("proved")
    assert code == 1 and "differs from what cortico emits for this network" in printed
    assert not Path("ran").exists()


@pytest.mark.full
@pytest.mark.parametrize("backend", ["torch", "brian2"])
def test_verify_a_folder_of_another_backend(cortico, home, tiny, backend):
    pytest.importorskip(backend)
    ok(cortico("compile", "tiny", "--layers", "0", "-o", "made", "--verify", "--backend", backend))
    code, printed, _ = cortico("verify", "made")
    assert code == 3 and "byte by byte what cortico emits for this network" in " ".join(
        printed.split()
    )


def test_a_model_spec_is_compiled_too(cortico, home, tiny):
    spec, _ = read_model("tiny")
    Path("model.json").write_text(spec_to_json(spec))
    ok(cortico("compile", "model.json", "--random-weights", 0, "-o", "drawn"))
    weights = random_model(spec, 0)
    flat = {f"{path}.{name}": a for path, own in weights.items() for name, a in own.items()}
    save_file(flat, "w.safetensors")
    ok(cortico("compile", "model.json", "--weights", "w.safetensors", "-o", "given"))
    one, other = (load_file(f"{folder}/network.safetensors") for folder in ("drawn", "given"))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("compile tiny --layers 2-5", "layers 2-5 of .* do not exist, layers: 0-2"),
        ("compile tiny --layers a", "--layers must be a range such as 0-3, found 'a'"),
        ("compile tiny --layer 0 --layers 0-1", "--layers does not apply to one attention"),
        ("compile tiny --architecture GPT3", "architecture = 'GPT3' is not read"),
        ("generate tiny --text zebra-9 --temperature x", "--temperature must be a number"),
        ("generate tiny --text the --temperature -1", "temperature must be zero or a positive"),
        ("generate tiny --text the --top-k 0", "top_k must be a positive integer"),
        ("generate tiny", "--text"),
        ("compile tiny --layers 2-1", "layers 2-1 of .* do not exist, layers: 0-2"),
        (
            "generate tiny --text the --count 13",
            "'tiny' has positions for 12 tokens, found 1 of the text and 13 to write",
        ),
        ("run tiny --text the", "is a checkpoint folder, expected a compiled folder"),
    ],
)
def test_what_is_wrong_is_said(cortico, home, tiny, command, message):
    before = {path.name for path in home.iterdir()}
    code, _, errors = cortico(*command.split())
    assert code == 2
    assert __import__("re").search(message, errors), errors
    assert {path.name for path in home.iterdir()} == before


def test_texts_that_cannot_be(cortico, home, tiny):
    ok(cortico("compile", "tiny", "-o", "made"))
    code, _, errors = cortico("run", "made", "--text", "")
    assert code == 2 and "has no token" in errors
    code, _, errors = cortico("run", "made")
    assert code == 2 and "no input: give -i FILE" in errors
    Path("made/tokenizer.json").unlink()
    code, _, errors = cortico("run", "made", "--text", "the")
    assert code == 2 and "has no tokenizer.json" in errors
    np.savez("ids.npz", tokens=np.array([9]))
    code, _, errors = cortico("run", "made", "-i", "ids.npz")
    assert code == 2 and "whole numbers from 0 to 8, found 9" in errors


def test_a_missing_tensor_is_named_by_its_path(cortico, home, tiny):
    tensors = load_file("tiny/model.safetensors")
    del tensors["transformer.h.1.mlp.c_fc.weight"]
    save_file(tensors, "tiny/model.safetensors")
    code, _, errors = cortico("compile", "tiny", "-o", "made")
    assert code == 2 and "layer[1].feed_forward" in errors and "h.1.mlp.c_fc.weight" in errors
    assert not Path("made").exists()


def test_nan_deep_in_a_stack_is_found(cortico, home, tiny):
    tensors = load_file("tiny/model.safetensors")
    tensors["transformer.h.2.ln_2.bias"][3] = np.nan
    save_file(tensors, "tiny/model.safetensors")
    code, _, errors = cortico("compile", "tiny", "-o", "made")
    assert code == 2 and "layer[2].pre_feed_forward_norm: shift has 1 of 16 numbers" in errors


def test_nan_in_a_compiled_model_is_found(cortico, home, tiny):
    """Of a network whose file was changed: what it would write looks like words."""
    ok(cortico("compile", "tiny", "-o", "made"))
    tensors = load_file("made/network.safetensors")
    with safe_open("made/network.safetensors", "np") as file:
        metadata = file.metadata()  # says which are the same
    (name,) = (n for n in tensors if n.startswith("layer[1].feed_forward.W_out"))
    tensors[name].flat[0] = np.inf
    save_file(tensors, "made/network.safetensors", metadata)
    for command in (("run", "made"), ("generate", "made")):
        code, _, errors = cortico(
            *command, "--text", "the", *["--count", 2] * (command[0] != "run")
        )
        assert code == 2 and "layer[1].feed_forward: W_out" in errors, errors
