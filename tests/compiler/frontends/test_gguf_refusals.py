"""GGUF files that are refused: by the name of a key or tensor, or for a header that cannot be."""

import struct
import sys

import gguf
import numpy as np
import pytest

from cortico.cli import main
from cortico.frontends import layers, read_checkpoint
from cortico.frontends.gguf_file import header
from cortico.ir.errors import SpecError
from tests.compiler.frontends.gguf_files import save_gguf

KEYS = {
    "llama.block_count": 2,
    "llama.context_length": 32,
    "llama.embedding_length": 8,
    "llama.attention.head_count": 2,
    "llama.attention.head_count_kv": 1,
}
SHAPES = {"q": (8, 8), "k": (4, 8), "v": (4, 8), "output": (8, 8)}


def numbers(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


TENSORS = {
    f"blk.{layer}.attn_{name}.weight": numbers(shape, layer)
    for layer in range(2)
    for name, shape in SHAPES.items()
}


def written(folder, arch="llama", changes=None, tensors=None):
    file = folder / "small.gguf"
    keys = {key.replace("llama", arch): value for key, value in KEYS.items()}
    save_gguf(file, arch, keys | (changes or {}), TENSORS | (tensors or {}))
    return file


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"llama.attention.softness": 2.0}, "unknown key 'llama.attention.softness' = 2.0"),
        ({"qwen2.block_count": 2}, "unknown key 'qwen2.block_count' = 2"),
        ({"adapter.lora.alpha": 2.0}, "unknown key 'adapter.lora.alpha' = 2.0"),
        ({"llama.attention.scale": 0.5}, "unknown key 'llama.attention.scale' = 0.5"),
        ({"llama.attention.max_alibi_bias": 8.0}, "llama.attention.max_alibi_bias"),
        ({"llama.attention.sliding_window": 4}, "llama.attention.sliding_window = 4: only 0"),
        ({"llama.rope.scaling.yarn_attn_factor": 0.5}, "yarn_attn_factor = 0.5: only 1.0"),
        ({"llama.rope.scaling.yarn_ext_factor": 0.0}, "yarn_ext_factor = 0.0: only 1.0"),
        ({"llama.rope.scaling.attn_factor": 2.0}, "attn_factor = 2.0: only 1.0"),
        ({"llama.tensor_data_layout": "mine"}, "tensor_data_layout = 'mine': only"),
        ({"general.type": "adapter"}, "general.type = 'adapter': only 'model'"),
        ({"general.quantization_version": 1}, "general.quantization_version = 1: only 2"),
        ({"split.count": 3}, "split.count = 3: only 1"),
        ({"llama.block_count": None}, "llama.block_count must be a positive integer"),
        ({"llama.attention.head_count": [2, 2]}, r"found \[2, 2\]"),
        ({"llama.attention.head_count": 3}, "llama.embedding_length = 8 does not divide"),
        ({"llama.attention.value_length": 8}, "value_length must be 4, as llama.attention.key_len"),
        (
            {"llama.attention.key_length": 8},
            "value_length must be 8, as llama.attention.key_length",
        ),
        ({"llama.rope.dimension_count": 2}, "rope.dimension_count must be 4"),
        ({"llama.rope.freq_base": -1.0}, "rope_theta must be|freq_base must be a positive number"),
        ({"llama.rope.scaling.type": "longrope"}, "scaling.type must be one of none, linear, yarn"),
        (
            {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 2.0},
            "factor = 2.0 is not supported with rope type 'default'",
        ),
        ({"llama.attention.causal": 1}, "llama.attention.causal must be true or false"),
    ],
)
def test_keys(tmp_path, changes, said):
    with pytest.raises(SpecError, match=said):
        read_checkpoint(written(tmp_path, changes=changes))


GEMMA2 = {"gemma2.attention.key_length": 4, "gemma2.attention.value_length": 4}
GEMMA3 = {"gemma3.attention.layer_norm_rms_epsilon": 0.5}
EACH = "gemma2.attention.sliding_window_pattern"


@pytest.mark.parametrize(
    ("arch", "changes", "said"),
    [
        ("gemma2", GEMMA2 | {EACH: [True, False]}, f"{EACH} must be a positive integer"),
        ("gemma2", GEMMA2 | {EACH: 0}, f"{EACH} must be a positive integer"),
        ("gemma2", GEMMA2 | {"gemma2.attention.sliding_window": 0}, "must be a positive integer"),
        (
            "gemma2",
            GEMMA2 | {"gemma2.attention.causal": False},
            "causal must be true beside a wind",
        ),
        ("gemma2", GEMMA2 | {"gemma2.rope.freq_base_swa": 9.0}, "gemma2.rope.freq_base_swa"),
        ("gemma2", GEMMA2 | {"gemma2.attn_logit_softcapping": -1.0}, "attn_logit_softcapping must"),
        ("gemma3", GEMMA3 | {"gemma3.rope.scaling.type": "yarn"}, "type must be one of none, lin"),
        ("gemma3", GEMMA3 | {"gemma3.attn_logit_softcapping": 9.0}, "attn_logit_softcapping"),
        ("gemma3", {}, "gemma3.attention.layer_norm_rms_epsilon must be a positive number"),
        ("qwen3", {}, "qwen3.attention.layer_norm_rms_epsilon must be a positive number"),
        ("qwen3", {"qwen3.attention.layer_norm_rms_epsilon": 1.0}, "no tensor.*attn_q_norm.weight"),
    ],
)
def test_of_some_architectures(tmp_path, arch, changes, said):
    with pytest.raises(SpecError, match=said):
        read_checkpoint(written(tmp_path, arch, changes=changes))


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("blk.0.attn_q_norm.weight", (4,), "'blk.0.attn_q_norm.weight' is part of this attention"),
        ("blk.0.attn_sinks.weight", (2,), "'blk.0.attn_sinks.weight' is part of this attention"),
        ("blk.0.attn_q.scale", (1,), "'blk.0.attn_q.scale' is part of this attention"),
        ("blk.0.attn_sub_norm.weight", (8,), "'blk.0.attn_sub_norm.weight' is part of"),
        ("blk.0.attn_v.bias", (4,), "'blk.0.attn_v.bias' is part of this attention"),
        (
            "blk.0.attn_k.weight",
            (8, 8),
            r"'blk.0.attn_k.weight' has shape \(8, 8\), expected \(4, 8",
        ),
        ("rope_factors_long.weight", (2,), "'rope_factors_long.weight' turns queries"),
        ("rope_freqs.weight", (4,), r"'rope_freqs.weight' has shape \(4,\), expected \(2,\)"),
        ("rope_freqs.weight", (2,), "'rope_freqs.weight' must hold positive finite numbers"),
    ],
)
def test_tensors(tmp_path, name, shape, said):
    with pytest.raises(SpecError, match=said):
        read_checkpoint(written(tmp_path, tensors={name: -numbers(shape)}))


def test_factors_of_frequencies_of_an_architecture_without(tmp_path):
    biases = {f"blk.0.attn_{name}.bias": numbers(SHAPES[name][:1]) for name in "qkv"}
    assert read_checkpoint(written(tmp_path, "qwen2", tensors=biases))[0].bias.query
    factors = {"rope_freqs.weight": np.ones(2, np.float32)}
    with pytest.raises(SpecError, match=r"'rope_freqs.weight' turns queries and keys.*Qwen2"):
        read_checkpoint(written(tmp_path, "qwen2", tensors=biases | factors))


@pytest.mark.parametrize("arch", ["qwen2moe", "gemma3n", "phi3", "mamba", "clip"])
def test_architectures(tmp_path, arch):
    with pytest.raises(SpecError, match=f"general.architecture '{arch}' is not supported.*llama"):
        layers(written(tmp_path, arch))


@pytest.mark.parametrize("kind", ["Q8_K", "Q8_1", "F64", "I8"])
def test_types(tmp_path, kind):
    found = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[found]
    file, rows = tmp_path / "model.gguf", 256
    writer = gguf.GGUFWriter(file, "llama")
    for key, value in (KEYS | {"llama.embedding_length": rows}).items():
        writer.add_uint32(key, value)
    stored = np.zeros((rows, rows // block * size), np.uint8)
    writer.add_tensor("blk.0.attn_q.weight", stored, raw_dtype=found)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(
        SpecError, match=f"'blk.0.attn_q.weight' has type {kind}, expected one of F32"
    ):
        read_checkpoint(file)


def test_one_layer_is_read_without_the_others(tmp_path):
    """The numbers of a layer are views of the mapped file, or of its type; others stay where they are."""
    broken = {f"blk.1.attn_{n}.weight": np.full(s, np.nan, np.float32) for n, s in SHAPES.items()}
    file = written(tmp_path, tensors=broken)
    _, weights = read_checkpoint(file, 0)
    assert not weights["W_V"].flags.owndata and not weights["W_V"].flags.writeable
    with pytest.raises(SpecError, match="finite"):
        read_checkpoint(file, 1)


def test_keys_are_left_out_by_name(tmp_path):
    file = written(tmp_path, changes={"llama.attention.sliding_window": 4})
    spec, _ = read_checkpoint(file, ignore=["llama.attention.sliding_window"])
    assert (spec.mask, spec.name, spec.groups) == ("causal", "small layer 0", 1)
    with pytest.raises(SpecError, match=r"no key or adapter 'llama.attention.sliding_widow'"):
        read_checkpoint(file, ignore=["llama.attention.sliding_widow"])
    file = written(tmp_path)
    with pytest.raises(SpecError, match=r"layer 2 of .* does not exist, layers: 0 … 1"):
        read_checkpoint(file, 2)
    with pytest.raises(SpecError, match="says 2 heads, found heads = 3"):
        read_checkpoint(file, heads=3)


def test_without_the_library(tmp_path, monkeypatch):
    file = written(tmp_path)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(SpecError, match=r"need the gguf library: pip install 'cortico\[gguf\]'"):
        layers(file)


def test_on_the_command_line(tmp_path, capsys):
    file = written(tmp_path)
    assert main(["compile", str(file), "--layer", "1", "-o", str(tmp_path / "out")]) == 0
    assert main(["audit", str(file), "--layer", "1"]) == 0
    assert "small layer 1" in capsys.readouterr().out
    assert main(["show", str(tmp_path / "out")]) == 0
    assert main(["compile", str(file), "--weights", "w", "-o", str(tmp_path / "other")]) == 2
    assert "--weights" in capsys.readouterr().err


# ---- headers ---------------------------------------------------------------------------------------


def u32(*numbers):
    return struct.pack(f"<{len(numbers)}I", *numbers)


def u64(*numbers):
    return struct.pack(f"<{len(numbers)}Q", *numbers)


def text(value):
    return u64(len(value)) + value


def head(tensors, keys, version=3):
    return b"GGUF" + u32(version) + u64(tensors, keys)


KEY = text(b"a") + u32(4) + u32(7)
INFO = text(b"t") + u32(1) + u64(32) + u32(0) + u64(0)
HEADERS = {
    "empty": (b"", "less than 24 bytes"),
    "another format": (b"PK\x03\x04" + bytes(40), r"begins with b'PK"),
    "version 1": (head(0, 0, 1), "version is 1, expected 2 or 3"),
    "big-endian": (b"GGUF" + struct.pack(">I", 3) + bytes(16), "big-endian files are not read"),
    "tensors": (head(2**63, 0), "it has 9,223,372,036,854,775,808 tensors"),
    "keys": (head(0, 2**40), "it has 1,099,511,627,776 keys"),
    "a key's length": (head(0, 1) + u64(2**62), "more than 65,536"),
    "a key that ends": (head(0, 1) + u64(20) + b"abc", "it ends within a key, at byte 32"),
    "a key twice": (head(0, 2) + KEY * 2, "the key 'a' stands twice"),
    "a type of values": (
        head(0, 1) + text(b"a") + u32(77),
        "'a' has a value of the unknown type 77",
    ),
    "lists of lists": (
        head(0, 1) + text(b"a") + u32(9, 9) + u64(1),
        "a list of the unknown type 9",
    ),
    "a long list": (
        head(0, 1) + text(b"a") + u32(9, 4) + u64(2**62),
        "it ends within the list 'a'",
    ),
    "many texts": (head(0, 1) + text(b"a") + u32(9, 8) + u64(2**62), "'a' lists too many texts"),
    "a text that is long": (
        head(0, 1) + text(b"a") + u32(9, 8) + u64(100) + text(b"b") * 99 + u64(2**63) + u64(0),
        "it ends within 'a'",
    ),
    "a list that ends": (
        head(0, 1) + text(b"a") + u32(9, 8) + u64(99) + text(b"b") * 98,
        "the list 'a'",
    ),
    "a tensor twice": (head(2, 0) + INFO * 2, "the tensor 't' stands twice"),
    "axes": (head(1, 0) + text(b"t") + u32(2**31), "'t' has 2147483648 axes, expected at most 4"),
    "sizes": (head(1, 0) + text(b"t") + u32(2) + u64(2**40, 2**40) + u32(0) + u64(0), "sizes"),
    "a kind": (head(1, 0) + text(b"t") + u32(1) + u64(32) + u32(99) + u64(0), "unknown type 99"),
    "rows": (head(1, 0) + text(b"t") + u32(1) + u64(33) + u32(2) + u64(0), "a multiple of 32"),
    "cut short": (head(1, 0) + INFO + bytes(32), "is cut short: it ends within tensor 't'"),
    "an offset": (head(1, 0) + INFO[:-8] + u64(32) + bytes(300), "'t' is at 32, expected 0"),
    "alignment": (
        head(0, 1) + text(b"general.alignment") + u32(4, 3),
        "general.alignment is 3, expected a power of two",
    ),
    "no architecture": (head(0, 1) + KEY, "general.architecture None is not supported"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(tmp_path, name):
    content, said = HEADERS[name]
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(SpecError, match=said):
        layers(file)


def test_every_beginning_of_a_file_is_refused(tmp_path):
    file = written(tmp_path)
    content = file.read_bytes()
    end = header.read_header(file).data + 2 * 4 * (64 + 32 + 32 + 64)
    for size in [*range(0, 1200, 7), end - 33]:
        file.write_bytes(content[:size])
        with pytest.raises(SpecError, match=r"GGUF file|cut short"):
            read_checkpoint(file)


def test_lists_are_passed_over(tmp_path):
    """Of vocabularies a few entries are kept; what comes after them is read."""
    words = {"tokenizer.ggml.tokens": [f"w{n}" for n in range(1000)], "general.z": [1.5] * 1000}
    file = written(tmp_path, changes=words | {"general.name": "last"})
    found = header.read_header(file).values
    assert found["tokenizer.ggml.tokens"] == [f"w{n}" for n in range(64)]
    assert (found["general.z"], found["general.name"]) == ([1.5] * 64, "last")
    assert layers(file) == 2
