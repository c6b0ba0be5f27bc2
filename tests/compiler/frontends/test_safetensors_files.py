"""Safetensors on disk: lazy, exact, and readable errors for every broken file."""

import json
import os
import struct
import tracemalloc

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cortico.frontends import open_tensors
from cortico.frontends.tensors import FileEntry
from cortico.ir.errors import SpecError


def error_of(path):
    with pytest.raises(SpecError) as caught:
        open_tensors(path)
    assert "\n\n" not in str(caught.value) and len(str(caught.value)) < 3000
    return str(caught.value)


@pytest.fixture
def saved(tmp_path):
    tensors = {
        "double": torch.tensor([[0.1, 2.0]], dtype=torch.float64),
        "single": torch.tensor([0.1, 3.0]),
        "half": torch.tensor([0.1, 6e-8, 65504.0], dtype=torch.float16),
        "brain": torch.tensor([0.1, -1e-40, 3e38, 1.0], dtype=torch.bfloat16),
        "whole": torch.arange(3),
        "flag": torch.tensor([True]),
        "eight": torch.ones(2).to(torch.float8_e4m3fn),
        "empty": torch.zeros(0, 4),
        "scalar": torch.tensor(2.5),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors", tensors


@pytest.mark.parametrize("name", ["double", "single", "half", "brain", "scalar", "empty"])
def test_values_are_exact(saved, name):
    path, tensors = saved
    array = open_tensors(path)[name]
    expected = tensors[name] if name == "double" else tensors[name].float()
    assert array.dtype == (np.float64 if name == "double" else np.float32)
    assert type(array) is np.ndarray
    np.testing.assert_array_equal(array, expected.numpy())


@pytest.mark.parametrize("name", ["double", "single", "half", "brain"])
def test_what_is_in_use_is_read_once(saved, name):
    """Levels that share a tensor hold views of it: theirs must be the same numbers."""
    tensors = open_tensors(saved[0])
    view = tensors[name].reshape(-1, 1)
    assert np.shares_memory(view, tensors[name])


@pytest.mark.parametrize(
    ("name", "dtype"), [("whole", "I64"), ("flag", "BOOL"), ("eight", "F8_E4M3")]
)
def test_other_types_are_no_weights(saved, name, dtype):
    tensors = open_tensors(saved[0])
    with pytest.raises(SpecError, match=f"'{name}' has type {dtype}, expected one of F64, F32"):
        tensors[name]


def test_names_and_shapes_without_data(saved, monkeypatch):
    monkeypatch.setattr(FileEntry, "load", lambda self: pytest.fail("data was read"))
    tensors = open_tensors(saved[0])
    assert set(tensors) == set(saved[1]) and len(tensors) == 9
    assert tensors.shape("double") == (1, 2) and "half" in tensors


def test_a_tensor_is_mapped_and_not_copied(tmp_path):
    save_file({"big": torch.ones(4_000_000), "small": torch.ones(2)}, tmp_path / "a.safetensors")
    tensors = open_tensors(tmp_path / "a.safetensors")
    tracemalloc.start()
    big = tensors["big"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000 and isinstance(big.base, np.memmap) and not big.flags.writeable


def test_unaligned_header(tmp_path, write_header):
    header = b'{"a":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}'
    assert len(header) % 8
    file = write_header(tmp_path / "a.safetensors", header, struct.pack("<2d", 1.5, -2.5))
    assert open_tensors(file)["a"].tolist() == [1.5, -2.5]


def test_missing_tensor_has_a_near_name_and_says_what_for(saved):
    tensors = open_tensors(saved[0]).scoped("", "layer 3")
    with pytest.raises(SpecError, match=r"no tensor 'singel' \(did you mean 'single'\?\)"):
        tensors["singel"]
    with pytest.raises(SpecError, match=r"layer 3") as caught:
        tensors.scoped("h.3.", "layer 3").take({"q": (2,), "k": (2,)})
    assert "'h.3.q'" in str(caught.value) and "'h.3.k'" in str(caught.value)


def test_take_lists_shapes_types_and_what_would_be_left_out(tmp_path):
    tensors = {
        "h.q": torch.ones(2, 3),
        "h.k": torch.arange(2),
        "h.lora": torch.ones(1),
        "g": torch.ones(1),
    }
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(SpecError) as caught:
        open_tensors(tmp_path / "a.safetensors").scoped("h.", "layer 0").take(
            {"q": (3, 2), "k": (2,)}
        )
    assert str(caught.value).splitlines()[1:] == [
        "  - tensor 'h.q' has shape (2, 3), expected (3, 2)",
        "  - tensor 'h.k' has type I64, expected one of F64, F32, F16, BF16",
        "  - tensor 'h.lora' is part of this attention, and not supported",
    ]


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
LIES = {
    "shape": ({"a": F32 | {"shape": [3]}}, 8),
    "offsets backwards": ({"a": F32 | {"data_offsets": [8, 0]}}, 8),
    "beyond the end": ({"a": F32}, 4),
    "more than listed": ({"a": F32}, 12),
    "overlap": ({"a": F32, "b": F32}, 8),
    "overflow": ({"a": F32 | {"shape": [2**62, 2**62]}}, 8),
    "negative": ({"a": F32 | {"shape": [-2]}}, 8),
    "unknown type": ({"a": F32 | {"dtype": "F99"}}, 8),
    "no dtype": ({"a": {"shape": [2], "data_offsets": [0, 8]}}, 8),
    "a list": ([], 0),
    "not JSON": (b"{'a': 1}", 0),
    "not UTF-8": (b"\xff\xfe{}", 0),
    "twice": (b'{"a":' + json.dumps(F32).encode() + b',"a":' + json.dumps(F32).encode() + b"}", 8),
}


@pytest.mark.parametrize("lie", LIES)
def test_header_that_lies(tmp_path, write_header, lie):
    header, size = LIES[lie]
    file = write_header(tmp_path / "a.safetensors", header, bytes(size))
    assert str(file) in error_of(file)


@pytest.mark.parametrize(
    "data", [b"", b"abc", b"\xff" * 20, (10**8 + 1).to_bytes(8, "little") + b"{}"]
)
def test_no_header(tmp_path, data):
    (tmp_path / "a.safetensors").write_bytes(data)
    assert "not a whole safetensors file" in error_of(tmp_path / "a.safetensors")


def test_every_truncation_is_noticed(saved):
    data = saved[0].read_bytes()
    for size in range(0, len(data), 7):
        saved[0].write_bytes(data[:size])
        assert "not a whole safetensors file" in error_of(saved[0])


def test_file_that_shrinks_after_opening(saved):
    tensors = open_tensors(saved[0])
    saved[0].write_bytes(b"short")
    with pytest.raises(SpecError, match="changed while it was read"):
        tensors["double"]


def test_paths_that_are_no_files(tmp_path):
    loop = tmp_path / "loop.safetensors"
    loop.symlink_to(loop)
    os.mkfifo(tmp_path / "pipe.safetensors")
    assert "symbolic link" in error_of(loop)
    assert "not a regular file" in error_of(tmp_path / "pipe.safetensors")
    assert "it is a directory" in error_of(tmp_path)
    assert "No such file" in error_of(tmp_path / "nope.safetensors")
    assert "null" in error_of("a\0b.safetensors")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(saved):
    saved[0].chmod(0)
    assert "Permission denied" in error_of(saved[0])


def test_shards(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "x-1.safetensors")
    save_file({"b": torch.zeros(3), "unlisted": torch.ones(1)}, tmp_path / "x-2.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}))
    tensors = open_tensors(index)
    assert set(tensors) == {"a", "b"}
    assert tensors["a"].tolist() == [1, 1] and tensors["b"].tolist() == [0, 0, 0]


BAD_INDEX = {
    "[]": "holds a list, expected a JSON object",
    "{}": "has no object 'weight_map'",
    '{"weight_map": []}': "has no object 'weight_map'",
    '{"weight_map": {"a": "gone.safetensors"}}': "No such file",
    '{"weight_map": {"c": "x.safetensors"}}': "lists tensors that are not there:\n  - 'c' in 'x.saf",
    '{"weight_map": {"a": 3}}': "plain file names:\n  - 'a': 3",
    "{": "not JSON",
    "[" * 100_000: "nested too deeply",
}


@pytest.mark.parametrize("text", BAD_INDEX, ids=range(len(BAD_INDEX)))
def test_broken_index(tmp_path, text):
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(text)
    assert BAD_INDEX[text] in error_of(index)


@pytest.mark.parametrize(
    "name", ["../x.safetensors", "/etc/passwd", "..", "", "d/x", "d\\x", "a\0b"]
)
def test_shards_stay_in_their_folder(tmp_path, name):
    save_file({"a": torch.ones(2)}, tmp_path / "x.safetensors")
    (tmp_path / "d").mkdir()
    index = tmp_path / "d" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    assert "plain file names" in error_of(index)
