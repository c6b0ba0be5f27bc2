"""One valid file, or text, for every reader that a user can reach, and how it is read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import gguf
import gguf.quants
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save

from cortico import AttentionSpec, load_circuit, lower, read_spec
from cortico.backends import get_backend
from cortico.backends.array_files import read_arrays
from cortico.backends.sonata import SonataBackend
from cortico.backends.sonata.reading import read_sonata
from cortico.cli.arguments import binding, whole_number
from cortico.cli.report import _read_certificate
from cortico.cli.targets import backend_option
from cortico.experiment.targets import read_target
from cortico.frontends import layers, open_tensors, read_checkpoint
from cortico.ir.analysis.inputs import bind_symbols
from cortico.ir.text import save_circuit
from cortico.learning.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from cortico.learning.training import Settings, Training
from cortico.passes import parse_passes
from cortico.pipeline import compile_attention
from cortico.spec import Bias, Kernel, Mask, Rotary
from cortico.spec.weights import random_weights

SPEC = """model = 8
heads = 2
kv_heads = 1
mask = "window"
window = 3
key_padding = true
scale = 0.25
name = "all of it"

[bias]
query = true

[rotary]
base = 50.0
rotated = 2
style = "interleaved"

[thalamus]
key = "matrix"
"""
SIZES = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2}
LLAMA = {
    "rope_type": "llama3",
    "rope_theta": 50.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


class Seed(NamedTuple):
    """A valid file that is changed, and what reads it; `read` gets the changed bytes too."""

    name: str
    path: Path
    content: bytes
    read: Callable[[bytes], object]
    is_text: bool = True

    @property
    def kind(self) -> str:
        """The format: `config.json`, `.gguf`, `argument`."""
        whole = self.path.suffix in ("", ".json")
        return self.path.name if whole else self.path.suffix


def seeds(folder: Path) -> list[Seed]:
    """All of them, written below `folder`."""
    parts = (
        _specs,
        _circuits,
        _checkpoints,
        _gguf,
        _state_dicts,
        _onnx,
        _arrays,
        _sonata,
        _training,
        _texts,
    )
    found = [seed for part in parts for seed in part(folder)]
    for seed in found:
        seed.read(seed.content)  # what is not changed is read
    return found


def _seed(path: Path, content: bytes, read: Callable[[Path], object], is_text: bool = True) -> Seed:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    name = "/".join(path.parts[-2:])
    return Seed(name, path, content, lambda _: read(path), is_text)


# ---- texts and specs -----------------------------------------------------------------------------


def _specs(folder: Path) -> Iterator[Seed]:
    import tomllib

    import yaml

    fields = tomllib.loads(SPEC)
    yield _seed(folder / "spec.toml", SPEC.encode(), _lowered)
    yield _seed(folder / "spec.json", json.dumps(fields, indent=1).encode(), _lowered)
    yield _seed(folder / "spec.yaml", yaml.safe_dump(fields).encode(), _lowered)


def _lowered(path: Path) -> object:
    return lower(read_spec(path)).counts().synapses


def _circuits(folder: Path) -> Iterator[Seed]:
    spec = AttentionSpec(8, 2, mask=Mask.CAUSAL, bias=Bias(query=True), rotary=Rotary())
    for name, stored in (("bare", None), ("stored", random_weights(spec, 0))):
        place = folder / name / "circuit.cortico"
        place.parent.mkdir()
        save_circuit(compile_attention(spec, stored).circuit, place)
        yield _seed(place, place.read_bytes(), _counted)
    weights = folder / "stored" / "circuit.safetensors"
    yield _seed(weights, weights.read_bytes(), lambda _: _counted(place), False)


def _counted(path: Path) -> object:
    circuit = load_circuit(path)
    sizes = {"n": 5} if "n" in circuit.symbols else {}
    return str(circuit), circuit.counts().synapses, circuit.bind(**sizes).counts().neurons


def _texts(folder: Path) -> Iterator[Seed]:
    """What stands on the command line, and a certificate that a report shows."""
    certificate = {
        "files": {},
        "claims": [
            {"claim": "a", "verdict": "proved for all sizes", "detail": "b", "given": ["c"]}
        ],
    }
    yield _seed(folder / "certificate.json", json.dumps(certificate).encode(), _read_certificate)
    texts: dict[str, Callable[[str], object]] = {
        "prune-small(budget=0.1),low-rank(tolerance=0.1),prune-heads(keep=1)": parse_passes,
        "default,quantize(bits=4),serialize(axis=tokens)": parse_passes,
        "layer:L2/3@area=0,3": read_target,
        "n=16": binding,
        "12": whole_number,
        "ranks=1": lambda text: get_backend("numpy", **dict([backend_option(text)])),
        "dt=0.1": lambda text: get_backend("brian2", **dict([backend_option(text)])),
    }
    for text, read in texts.items():

        def decoded(content: bytes, read: Callable[[str], object] = read) -> object:
            return read(content.decode(errors="surrogateescape"))  # as Python reads arguments

        path = folder / "argument"
        yield Seed(text, path, text.encode(), decoded)


# ---- checkpoints -----------------------------------------------------------------------------------


def _checkpoints(folder: Path) -> Iterator[Seed]:
    maps = ("self.query", "self.key", "self.value", "output.dense")
    bert = {f"encoder.layer.1.attention.{name}": (8, 8) for name in maps}
    gpt = {"h.1.attn.c_attn": (8, 24), "h.1.attn.c_proj": (8, 8)}
    llama = {f"layers.1.self_attn.{m}_proj": (8 if m in "qo" else 4, 8) for m in "qkvo"}
    yield from _checkpoint(folder / "bert", {"model_type": "bert", **SIZES}, bert)
    config = {"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 2}
    yield from _checkpoint(folder / "gpt2", config, gpt, columns=True)
    config = {"model_type": "llama", "num_key_value_heads": 1, "rope_scaling": LLAMA, **SIZES}
    yield from _checkpoint(folder / "llama", config, llama, biased=False)
    config = {"model_type": "qwen2", "sliding_window": 4, "use_sliding_window": True, **SIZES}
    config |= {"num_key_value_heads": 1, "layer_types": ["full_attention", "sliding_attention"]}
    yield from _checkpoint(folder / "qwen2", config, llama, outputs=("o",))
    yield from _sharded(folder / "shards", {"model_type": "bert", **SIZES}, bert)
    torch = _stored({"in_proj_weight": (24, 8), "out_proj.weight": (8, 8)})
    path = folder / "torch" / "mha.safetensors"
    yield _seed(path, torch, lambda p: read_checkpoint(p, 0, 2), False)
    path = folder / "weights.safetensors"
    yield _seed(path, torch, lambda p: {n: a.sum() for n, a in open_tensors(p).items()}, False)


def _checkpoint(
    folder: Path,
    config: dict[str, object],
    matrices: dict[str, tuple[int, int]],
    columns: bool = False,
    biased: bool = True,
    outputs: tuple[str, ...] = (),
) -> Iterator[Seed]:
    shapes: dict[str, tuple[int, ...]] = {f"{n}.weight": s for n, s in matrices.items()}
    if biased:
        without = tuple(f"{o}_proj" for o in outputs)
        biases = {n: (s[1 if columns else 0],) for n, s in matrices.items()}
        shapes |= {f"{n}.bias": s for n, s in biases.items() if not n.endswith(without or ("?",))}
    content = json.dumps(config).encode()
    folder.mkdir()
    (folder / "config.json").write_bytes(content)
    model = folder / "model.safetensors"
    yield _seed(model, _stored(shapes), lambda _: _all(folder), False)
    yield _seed(folder / "config.json", content, lambda _: _all(folder))


def _sharded(
    folder: Path, config: dict[str, object], matrices: dict[str, tuple[int, int]]
) -> Iterator[Seed]:
    shapes: dict[str, tuple[int, ...]] = {f"{n}.weight": s for n, s in matrices.items()}
    shapes |= {f"{n}.bias": s[:1] for n, s in matrices.items()}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "a.safetensors").write_bytes(_stored(shapes))
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(shapes, "a.safetensors")}
    path = folder / "model.safetensors.index.json"
    yield _seed(path, json.dumps(index).encode(), lambda _: _all(folder))


def _all(folder: Path) -> object:
    return layers(folder), read_checkpoint(folder, 1)


def _stored(shapes: dict[str, tuple[int, ...]]) -> bytes:
    random = np.random.default_rng(0)
    return bytes(save({n: random.standard_normal(s, np.float32) for n, s in shapes.items()}))


def _gguf(folder: Path) -> Iterator[Seed]:
    """Two layers, in floats and in blocks of four bits."""
    shapes = {"attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32)}
    random = np.random.default_rng(0)
    for kind in (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.Q4_1):
        path = folder / f"{kind.name}.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        keys = {"block_count": 2, "context_length": 32, "embedding_length": 32}
        keys |= {"attention.head_count": 4, "attention.head_count_kv": 2}
        for key, value in keys.items():
            writer.add_uint32(f"llama.{key}", value)
        writer.add_float32("llama.rope.freq_base", 50.0)
        writer.add_string("llama.rope.scaling.type", "linear")
        writer.add_float32("llama.rope.scaling.factor", 2.0)
        writer.add_array("tokenizer.ggml.tokens", ["a", "b", "c"])
        writer.add_array("tokenizer.ggml.scores", [1.0, 2.0])
        for layer in range(2):
            for name, shape in shapes.items():
                stored = gguf.quants.quantize(random.standard_normal(shape, np.float32), kind)
                writer.add_tensor(f"blk.{layer}.{name}.weight", stored, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        yield _seed(path, path.read_bytes(), _all, False)


def _state_dicts(folder: Path) -> Iterator[Seed]:
    """An archive, and the pickle that was written before there were archives."""
    random = np.random.default_rng(0)
    arrays = {"in_proj_weight": (24, 8), "out_proj.weight": (8, 8)}
    stored = {n: torch.tensor(random.standard_normal(s, np.float32)) for n, s in arrays.items()}
    for name, archive in (("archive.pt", True), ("old.bin", False)):
        file = io.BytesIO()
        torch.save(stored, file, _use_new_zipfile_serialization=archive)
        path = folder / name
        yield _seed(path, file.getvalue(), lambda p: read_checkpoint(p, 0, 2), False)


# ---- graphs ----------------------------------------------------------------------------------------


def _onnx(folder: Path) -> Iterator[Seed]:
    for name, graph in (
        ("softmax", _softmax()),
        ("operator", _operator()),
        ("microsoft", _microsoft()),
    ):
        opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        path = folder / f"{name}.onnx"
        yield _seed(path, model.SerializeToString(), read_checkpoint, False)


def _softmax() -> onnx.GraphProto:
    """One head, written out."""
    nodes = [helper.make_node("MatMul", ["x", f"W_{m}"], [m]) for m in "qkv"]
    nodes += [
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["scores"]),
        helper.make_node("Div", ["scores", "root"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["shares", "v"], ["summed"]),
        helper.make_node("MatMul", ["summed", "W_o"], ["y"]),
    ]
    return _graph(nodes, {**{f"W_{m}": (4, 4) for m in "qkvo"}, "root": ()})


def _operator() -> onnx.GraphProto:
    nodes = [helper.make_node("MatMul", ["x", f"W_{m}"], [m]) for m in "qkv"]
    options = {"q_num_heads": 2, "kv_num_heads": 2, "is_causal": 1}
    nodes.append(helper.make_node("Attention", ["q", "k", "v"], ["summed"], **options))
    nodes.append(helper.make_node("MatMul", ["summed", "W_o"], ["y"]))
    return _graph(nodes, {f"W_{m}": (4, 4) for m in "qkvo"})


def _microsoft() -> onnx.GraphProto:
    inputs, domain = ["x", "W", "b"], "com.microsoft"
    nodes = [
        helper.make_node(
            "Attention", inputs, ["summed"], domain=domain, num_heads=2, unidirectional=1
        ),
        helper.make_node("MatMul", ["summed", "W_o"], ["y"]),
    ]
    return _graph(nodes, {"W": (4, 12), "b": (12,), "W_o": (4, 4)})


def _graph(nodes: list[onnx.NodeProto], shapes: dict[str, tuple[int, ...]]) -> onnx.GraphProto:
    random = np.random.default_rng(0)
    arrays = {name: random.standard_normal(shape) + 2 for name, shape in shapes.items()}
    stored = [numpy_helper.from_array(np.float32(a), name) for name, a in arrays.items()]
    sides = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", 3, 4]) for name in "xy"
    }
    return helper.make_graph(nodes, "g", [sides["x"]], [sides["y"]], stored)


# ---- arrays ----------------------------------------------------------------------------------------


def _arrays(folder: Path) -> Iterator[Seed]:
    circuit = lower(AttentionSpec(8, 2, key_padding=True))

    def read(path: Path) -> object:
        found = read_arrays(path)
        arrays = {"x": found} if isinstance(found, np.ndarray) else found
        return bind_symbols(circuit, arrays), [array.sum() for array in arrays.values()]

    x, keep = np.random.default_rng(0).standard_normal((5, 8)), np.ones(5, bool)
    for name, write in (("plain", np.savez), ("packed", np.savez_compressed)):
        file = io.BytesIO()
        write(file, x=x, keep=keep)
        yield _seed(folder / f"{name}.npz", file.getvalue(), read, False)
    file = io.BytesIO()
    np.save(file, x)
    yield _seed(folder / "x.npy", file.getvalue(), read, False)


def _training(folder: Path) -> Iterator[Seed]:
    """The checkpoint of a training."""
    spec, x = AttentionSpec(2, 1, kernel=Kernel.LINEAR), np.ones((3, 2, 2))
    training = Training(spec, random_weights(spec, 0), {"x": x, "target": x}, Settings())
    start = training.start()
    still = {name: np.zeros_like(start.weights[name]) for name in training.trained}
    save_checkpoint(folder / "training", training, replace(start, velocity=still))
    path = folder / "training" / CHECKPOINT
    yield _seed(path, path.read_bytes(), lambda p: load_checkpoint(p.parent, training), False)


def _sonata(folder: Path) -> Iterator[Seed]:
    spec, place = AttentionSpec(2, 1, tokens=2), folder / "sonata"
    compile_attention(spec, random_weights(spec, 0), "none", SonataBackend()).write(place)
    for name in ("nodes.h5", "edges.h5", "circuit.cortico", "circuit.safetensors"):
        path = place / name
        yield _seed(path, path.read_bytes(), lambda _: read_sonata(place), name.endswith("cortico"))
