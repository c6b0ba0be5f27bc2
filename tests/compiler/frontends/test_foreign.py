"""Weights of other libraries, and in few bits: refused, with what makes them weights that are read."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from cortico.cli import main
from cortico.frontends import open_tensors, read_checkpoint
from cortico.ir.errors import SpecError

LLAMA = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
}
PLACE = "model.layers.0.self_attn."


def folder_of(folder, tensors, **keys):
    (folder / "config.json").write_text(json.dumps(LLAMA | keys))
    save_file(
        {PLACE + name: array for name, array in tensors.items()}, folder / "model.safetensors"
    )
    return folder


@pytest.mark.parametrize("kind", ["m2m_100", "biobert", "bertt", "lama", "albertine", "gpt"])
def test_no_hint_for_what_is_another_model(tmp_path, kind):
    """A name that is like one of ours may be another model, and that is read by another family."""
    folder = folder_of(tmp_path, maps(), model_type=kind)
    with pytest.raises(SpecError, match=f"model_type '{kind}' is not supported; supported: bert,"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("kind", "meant"), [("BERT", "bert"), ("Llama", "llama"), ("gpt_2", "gpt2")]
)
def test_a_hint_for_another_spelling(tmp_path, kind, meant):
    folder = folder_of(tmp_path, maps(), model_type=kind)
    with pytest.raises(SpecError, match=rf"not supported \(did you mean '{meant}'\?\)"):
        read_checkpoint(folder)


def test_a_plain_binary_is_no_pickle(tmp_path):
    """Neither in a folder, where it may be anything, nor by itself."""
    folder = folder_of(tmp_path, {})
    (folder / "model.safetensors").unlink()
    (folder / "weights.bin").write_bytes(bytes(range(256)))
    with pytest.raises(
        SpecError, match=r"has no model.safetensors or model.safetensors.index.json$"
    ):
        read_checkpoint(folder)
    with pytest.raises(SpecError, match="is no state dict that torch reads") as caught:
        read_checkpoint(folder / "weights.bin")
    assert "pickled" not in str(caught.value)


def maps(**changes):
    """Plain matrices, but for the queries."""
    return {f"{m}_proj.weight": np.ones((8, 8), np.float32) for m in "kvo"} | changes


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"qweight": "i4", "qzeros": "i4", "scales": "f2", "g_idx": "i4"}, "GPTQ or AWQ"),
        ({"qweight": "i4", "qzeros": "i4", "scales": "f2"}, "GPTQ or AWQ"),
        ({"weight": "u1", "weight.absmax": "f4", "weight.quant_map": "f4"}, "bitsandbytes"),
        ({"weight": "i1", "SCB": "f4"}, "bitsandbytes"),
        ({"weight": "u4", "scales": "f2", "biases": "f2"}, "mlx_lm.convert --dequantize"),
        ({"weight": "f4", "weight_scale_inv": "f4"}, "in 8 bits and scales"),
    ],
)
def test_weights_in_few_bits(tmp_path, parts, said):
    stored = {f"q_proj.{name}": np.ones((8, 8), kind) for name, kind in parts.items()}
    folder = folder_of(tmp_path, maps(**stored))
    with pytest.raises(
        SpecError, match=f"the weights are quantised: .*{said}.*save them as floats"
    ):
        read_checkpoint(folder)


def test_weights_in_eight_bits(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    stored = {f"{PLACE}{m}_proj.weight": torch.ones(8, 8) for m in "qkvo"}
    stored = {name: array.to(torch.float8_e4m3fn) for name, array in stored.items()}
    save_torch(stored, tmp_path / "model.safetensors")
    with pytest.raises(SpecError, match=r"F8_E4M3(.|\n)*in 8 bits or fewer: save them as floats"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("quantization_config", r"model.dequantize\(\) of transformers"),
        ("quantization", "mlx_lm.convert --dequantize"),
    ],
)
def test_keys_of_weights_in_few_bits(tmp_path, key, said):
    folder = folder_of(tmp_path, maps(), **{key: {"bits": 4}})
    with pytest.raises(SpecError, match=f"{key} = (.|\n)*needs it: .*{said}"):
        read_checkpoint(folder)


FILES = {
    "tf_model.h5": (b"\x89HDF", "TensorFlow or Keras weights; .*from_tf=True"),
    "model.keras": (b"PK", "TensorFlow or Keras weights"),
    "saved_model.pb": (b"\x08", "TensorFlow or Keras weights"),
    "bert_model.ckpt.index": (b"\0", "TensorFlow or Keras weights"),
    "flax_model.msgpack": (b"\x81", "Flax weights; .*from_flax=True"),
    "weights.npz": (b"PK", "arrays of NumPy or MLX"),
    "last.ckpt": (b"PK\x03\x04", "a checkpoint of a training; .*state_dict"),
    "model.bin": (b"\x06\0\0\0\x10\0TransformerSpec", "CTranslate2 weights, .*made of"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_other_libraries(tmp_path, name):
    content, said = FILES[name]
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SpecError, match=f"has no model.safetensors or .*; {name} has {said}"):
        read_checkpoint(tmp_path)
    with pytest.raises(SpecError, match=f"cannot read .*{name} has {said}"):
        open_tensors(tmp_path / name)


def test_on_the_command_line(tmp_path, capsys):
    (tmp_path / "tf_model.h5").write_bytes(b"HDF")
    assert main(["compile", str(tmp_path / "tf_model.h5")]) == 2
    assert "no kind that cortico knows" in (said := capsys.readouterr().err)
    assert "from_tf=True" in said


@pytest.mark.parametrize("name", ["model.gguf", "other.pt"])
def test_files_that_are_read_by_themselves(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / name).write_bytes(b"\x80\x02")
    with pytest.raises(SpecError, match=f"; if {name} has them, give the file itself"):
        read_checkpoint(tmp_path)
