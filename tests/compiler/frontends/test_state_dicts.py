"""Files of torch.save: the same attention as in safetensors, and nothing that they name runs."""

import json
import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from cortico.cli import main
from cortico.frontends import open_tensors, read_checkpoint
from cortico.ir.errors import SpecError
from tests.compiler.frontends.families.cases import CASES
from tests.compiler.frontends.families.models import TOLERANCE, build, largest_error


def saved(folder, name="bert", **options):
    """A folder with config.json and pytorch_model.bin, as transformers wrote them until version 4."""
    model = build(CASES[name])
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin", **options)
    return model


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("archive", [True, False])
def test_attention_is_transformers(tmp_path, name, archive):
    model = saved(tmp_path, name, _use_new_zipfile_serialization=archive)
    assert largest_error(model, CASES[name], tmp_path) < TOLERANCE[1]
    assert largest_error(model.double(), CASES[name], tmp_path) < TOLERANCE[0]


def test_shards(tmp_path):
    model = saved(tmp_path)
    whole = model.state_dict()
    (tmp_path / "pytorch_model.bin").unlink()
    parts = [dict(list(whole.items())[k::2]) for k in range(2)]
    files = [f"pytorch_model-0000{k + 1}-of-00002.bin" for k in range(2)]
    for part, file in zip(parts, files, strict=True):
        torch.save(part, tmp_path / file)
    of = {name: file for part, file in zip(parts, files, strict=True) for name in part}
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": of}))
    assert largest_error(model.double(), CASES["bert"], tmp_path) < TOLERANCE[0]
    (tmp_path / files[1]).unlink()
    with pytest.raises(SpecError, match=files[1]):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_file_of_its_own(tmp_path, dtype):
    module = torch.nn.MultiheadAttention(8, 2, dtype=dtype)
    file = tmp_path / "attention.pt"
    torch.save(module.state_dict(), file)
    spec, weights = read_checkpoint(file, heads=2)
    assert (spec.name, spec.heads) == ("attention layer 0", 2)
    expected = module.in_proj_weight[:8].detach().double().numpy().reshape(2, 4, 8)
    np.testing.assert_array_equal(weights["W_Q"], expected)


def test_views_that_are_negated(tmp_path):
    """A tensor may store numbers of which it stands for the negative."""
    model = saved(tmp_path)
    state = {name: torch._neg_view(-tensor) for name, tensor in model.state_dict().items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert largest_error(model.double(), CASES["bert"], tmp_path) < TOLERANCE[0]


def pages():
    """Of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux counts pages there")
def test_tensors_are_mapped(tmp_path):
    """64 MiB are opened in a few, and only what is looked at is read."""
    torch.save({"small": torch.ones(2)}, tmp_path / "first.pt")
    open_tensors(tmp_path / "first.pt")
    torch.save({"large": torch.ones(2**24)}, tmp_path / "a.pt")
    before = pages()
    array = open_tensors(tmp_path / "a.pt")["large"]
    assert pages() - before < 2000
    assert array[-5:].sum() == 5 and pages() - before < 2000


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "4KB"}])
def test_safetensors_count(tmp_path, capsys, shards):
    saved(tmp_path, "bert")
    model = build(CASES["bert"])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 2
    model.save_pretrained(tmp_path, **shards)
    assert largest_error(model.double(), CASES["bert"], tmp_path) < TOLERANCE[0]
    assert main(["compile", str(tmp_path), "-o", str(tmp_path / "out")]) == 0
    assert "pytorch_model.bin does not count, safetensors beside it do" in capsys.readouterr().err
    if shards:
        return
    shutil.move(tmp_path / "model.safetensors", tmp_path / "other.safetensors")
    assert largest_error(model.double(), CASES["bert"], tmp_path) < TOLERANCE[0]


# ---- what is refused -------------------------------------------------------------------------------


class _Runs:
    """What it is made of when it is unpickled makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("trusting", [False, True])
@pytest.mark.parametrize("archive", [True, False, None])
def test_nothing_runs(tmp_path, monkeypatch, archive, trusting):
    if trusting:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    file, sign = tmp_path / "pytorch_model.bin", tmp_path / "it ran"
    content = {"in_proj_weight": torch.ones(24, 8), "x": _Runs(str(sign))}
    if archive is None:
        file.write_bytes(pickle.dumps(content["x"], protocol=2))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=archive)
    with pytest.raises(SpecError, match="no state dict that torch reads with weights_only=True"):
        read_checkpoint(file, heads=2)
    assert not sign.exists()
    if archive is None:
        pickle.loads(file.read_bytes())
        assert sign.exists()  # it would have


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.nn.MultiheadAttention(8, 2), r"torch.save\(model.state_dict\(\), path\) makes one"),
        ([torch.ones(2)], "holds a list, expected a state dict"),
        ({"state_dict": {"a": torch.ones(2)}}, "'state_dict' is a dict, expected a tensor"),
        ({"step": 3}, "'step' is a int, expected a tensor"),
        ({"a": torch.ones(2).to_sparse()}, "'a' is sparse, expected a plain one"),
        ({"a": torch.ones(1).expand(2**40)}, "'a' has fewer numbers than its shape"),
    ],
)
def test_other_content(tmp_path, content, said):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(SpecError, match=said):
        open_tensors(tmp_path / "a.pt")


def test_without_the_library(tmp_path, monkeypatch):
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pt")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SpecError, match=r"pip install 'cortico\[torch\]'"):
        open_tensors(tmp_path / "a.pt")


def test_types_are_refused_when_they_are_read(tmp_path):
    torch.save({"a": torch.ones(2, dtype=torch.int8), "b": torch.ones(2)}, tmp_path / "a.pt")
    tensors = open_tensors(tmp_path / "a.pt")
    assert tensors["b"].sum() == 2
    with pytest.raises(SpecError, match="'a' has type int8, expected one of F64, F32, F16, BF16"):
        tensors["a"]


def test_compressed_archives(tmp_path):
    torch.save({"a": torch.zeros(1000)}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as old,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(SpecError, match="is a compressed archive"):
        open_tensors(tmp_path / "b.pt")


@pytest.mark.parametrize("archive", [True, False])
def test_every_beginning_of_a_file_is_refused(tmp_path, archive):
    torch.save({"a": torch.ones(9)}, tmp_path / "a.pt", _use_new_zipfile_serialization=archive)
    content = (tmp_path / "a.pt").read_bytes()
    for size in range(0, len(content) - 1, 23):
        (tmp_path / "b.pt").write_bytes(content[:size])
        with pytest.raises(SpecError, match=r"b\.pt"):
            open_tensors(tmp_path / "b.pt")
