"""What is ONNX's own in files of networks: functions, stored weights, files, any number of tokens."""

import numpy as np
import pytest

from cortico import SpecError, get_backend
from cortico.lowering import lower_model
from cortico.spec.model_weights import random_model
from tests.backends.networks.models import SPECS, case, network

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")


def single(name):
    return lower_model(SPECS[name], random_model(SPECS[name], 1, np.float32))


def written(name, folder):
    stages = []
    files = get_backend("onnx").write_network(single(name), folder, stages.append)
    return files, onnx.load(folder / files[0])


def test_each_distinct_block_is_one_function(tmp_path):
    files, model = written("llama", tmp_path)
    onnx.checker.check_model(model, full_check=True)
    assert files == ("model.onnx",)
    assert [f.name for f in model.functions] == [*network("llama").block_names.values()]
    calls = [n.op_type for n in model.graph.node if n.domain == "cortico"]
    assert len(calls) == len(network("llama").nodes)
    assert {n.op_type for n in model.graph.node if not n.domain} == {"Identity"}


def test_weights_stand_under_their_paths_and_once(tmp_path):
    _, model = written("llama", tmp_path)
    stored = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    assert stored["layer[1].attention.W_K"] == [2, 2, 2, 16]
    assert "attention:frequencies" in stored and "embedding.W_token" in stored
    assert "readout.W" not in stored  # it is the table of tokens


def test_angles_are_in_double_precision(tmp_path):
    _, model = written("llama", tmp_path)
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert kinds.pop("attention:frequencies") == onnx.TensorProto.DOUBLE
    assert {*kinds.values()} == {onnx.TensorProto.FLOAT}


def test_inputs_say_what_they_take(tmp_path):
    _, model = written("padded", tmp_path)
    kinds = {i.name: i.type.tensor_type.elem_type for i in model.graph.input}
    assert kinds == {"tokens": onnx.TensorProto.INT64, "keep": onnx.TensorProto.BOOL}
    sides = [d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert sides == ["batch", "n"]


def test_large_weights_lie_in_a_file_beside(tmp_path, monkeypatch):
    monkeypatch.setattr("cortico.backends.onnx.model.EXTERNAL", 1000)
    files, _ = written("llama", tmp_path)
    assert files == ("model.onnx", "model.onnx.data")
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    each = case("llama")
    _, logits = session.run(None, each.inputs)
    np.testing.assert_allclose(logits, each.expected["logits"], rtol=1e-4, atol=1e-4)


def test_large_weights_run(monkeypatch):
    monkeypatch.setattr("cortico.backends.onnx.running.EXTERNAL", 1000)
    monkeypatch.setattr("cortico.backends.onnx.model.EXTERNAL", 1000)
    each = case("llama")
    found = get_backend("onnx").run_network(single("llama"), each.inputs)
    np.testing.assert_allclose(found["logits"], each.expected["logits"], rtol=1e-4, atol=1e-4)


def test_a_network_without_weights_is_refused(tmp_path):
    with pytest.raises(SpecError, match="network 'llama' has no weights at embedding"):
        get_backend("onnx").write_network(lower_model(SPECS["llama"]), tmp_path, print)
