"""`cortico import`: SONATA folders and texts come back as they were, ONNX files become a spec and weights."""

import numpy as np
import pytest

from cortico import load_circuit, read_checkpoint, read_spec
from cortico.frontends import open_tensors
from tests.cli.conftest import tree


def ok(found):
    code, printed, errors = found
    assert (code, errors) == (0, "")
    return printed


def test_a_sonata_folder_comes_back(cortico, home):
    pytest.importorskip("h5py")
    options = ("--random-weights", 1, "--tokens", 4, "--backend", "sonata")
    ok(cortico("compile", "ok.toml", *options, "-o", "sonata"))
    printed = ok(cortico("import", "sonata", "-o", "back"))
    circuit = load_circuit(home / "sonata/circuit.cortico")
    assert load_circuit(home / "back/circuit.cortico") == circuit
    assert f"small: {circuit.counts().neurons:,} neurons" in printed
    assert "written to back: circuit.cortico, circuit.safetensors, report.md" in printed
    assert {p.name for p in (home / "back").iterdir()} == {
        "circuit.cortico", "circuit.safetensors", "report.md",
    }  # fmt: skip


def test_a_changed_sonata_folder_is_refused(cortico, home):
    h5py = pytest.importorskip("h5py")
    options = ("--random-weights", 1, "--tokens", 4, "--backend", "sonata")
    ok(cortico("compile", "ok.toml", *options, "-o", "sonata"))
    with h5py.File(home / "sonata/edges.h5", "a") as file:
        file["edges/neurons_to_neurons/0/syn_weight"][3] = 7
    before = tree(home)
    code, _, errors = cortico("import", "sonata", "-o", "back")
    assert code == 2 and "syn_weight[3] is 7.0, but circuit.cortico has" in errors
    assert tree(home) == before


@pytest.mark.parametrize("source", ["out", "out/circuit.cortico"])
def test_text_comes_back(cortico, home, source):
    ok(cortico("import", source, "-o", "back"))
    assert load_circuit(home / "back/circuit.cortico") == load_circuit(home / "out/circuit.cortico")


def test_an_onnx_file_becomes_a_spec_and_weights(cortico, home):
    onnx_graphs = pytest.importorskip("tests.compiler.frontends.onnx_graphs")
    from tests.compiler.frontends.onnx_checks import spec_and_weights

    _, weights = spec_and_weights()
    write = onnx_graphs.Writer()
    write.save(home / "a.onnx", onnx_graphs.decomposed(write, weights))
    printed = ok(cortico("import", "a.onnx", "-o", "back"))
    assert printed.startswith("a layer 0 of 1: 2 heads, 8 features, mask none\n")
    assert read_spec(home / "back/spec.json") == read_checkpoint(home / "a.onnx")[0]
    stored = open_tensors(home / "back/weights.safetensors")
    for name, array in weights.items():
        np.testing.assert_allclose(stored[name], array, rtol=1e-5, atol=1e-6)
    given = ("compile", "back/spec.json", "--weights", "back/weights.safetensors")
    ok(cortico(*given, "--passes", "none", "-o", "one"))
    ok(cortico("compile", "a.onnx", "--layer", 0, "--passes", "none", "-o", "other"))
    one, other = (home / name / "circuit.safetensors" for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()


def test_wrong_sources(cortico, home):
    (home / "bad.onnx").write_bytes(b"\0\1\2")
    for arguments, message in (
        (("bad.onnx",), "cannot read 'bad.onnx': no ONNX model"),
        (("none.onnx",), "cannot read 'none.onnx': No such file"),
        (("out", "--layer", 1), "--layer does not apply to a compiled folder"),
        (("x.npy",), "x.npy"),
        (("bert",), "'bert' is a checkpoint folder, expected a SONATA folder, a compiled folder, "),
    ):
        code, printed, errors = cortico("import", *arguments, "-o", "back")
        assert (code, printed) == (2, "") and message in errors and errors.count("\n") == 1
    assert not (home / "back").exists()
