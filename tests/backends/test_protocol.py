"""What a backend cannot do is said in one place; writing goes through emitters and exporters."""

import pytest

from cortico import AttentionSpec, SpecError, UnsupportedError, compile_attention, lower
from cortico.backends import Emitter, Exporter, Runner, get_backend, get_runner, get_writer

SPEC = AttentionSpec(4, name="tiny")


class Plain:
    """A third-party backend without any method of use, and one that exports, below."""

    name = "plain"
    summary = "something else"

    def unsupported(self, circuit):
        return []


class Counts(Plain):
    name = "counts"

    def write(self, circuit, folder, progress):
        progress("counting")
        (folder / "counts.bin").write_bytes(len(circuit.populations).to_bytes(1, "little"))
        return ["counts.bin"]


class Broken(Counts):
    def write(self, circuit, folder, progress):
        (folder / "half.bin").write_bytes(b"")
        raise UnsupportedError("no room")


def test_what_our_backends_are():
    scripts = ("numpy", "torch", "jax", "brian2", "neuron", "nest", "annarchy", "nengo")
    kinds = dict.fromkeys(scripts, (Runner, Emitter))
    kinds["reference"] = (Runner,)
    kinds |= {
        "onnx": (Runner, Exporter),
        "sonata": (Exporter,),
        "graphml": (Emitter,),
        "nir": (Exporter,),
    }
    for name, able in kinds.items():
        backend = get_backend(name)
        assert {k for k in (Runner, Emitter, Exporter) if isinstance(backend, k)} == set(able)


def test_a_backend_that_cannot_says_what_it_can():
    with pytest.raises(UnsupportedError) as caught:
        compile_attention(SPEC, backend="reference")
    assert str(caught.value).startswith(
        "backend 'reference' cannot write files, it runs circuits: direct interpreter"
    )
    with pytest.raises(UnsupportedError) as caught:
        get_runner(Counts())
    assert str(caught.value) == (
        "backend 'counts' cannot run circuits, it exports data files: something else"
    )
    with pytest.raises(UnsupportedError, match="'plain' cannot write files: something else"):
        get_writer(Plain())


def test_lookups_give_the_backend_with_its_options():
    assert get_runner("brian2", dt=0.5).options.dt == 0.5
    assert get_writer(backend := Counts()) is backend
    with pytest.raises(SpecError, match=r"no backend called .nunpy. .did you mean .numpy."):
        get_runner("nunpy")
    with pytest.raises(SpecError, match="'torch' has no options, found name, backend"):
        get_backend("torch", name=1, backend=2)


def test_an_exporter_writes_beside_the_circuit(tmp_path):
    lines = []
    compilation = compile_attention(SPEC, backend=Counts(), passes="none")
    names = compilation.write(tmp_path / "out", lines.append)
    assert names == ("circuit.cortico", "counts.bin", "spec.json", "report.md")
    assert set(names) == {path.name for path in (tmp_path / "out").iterdir()}
    assert (tmp_path / "out/counts.bin").read_bytes() == bytes([len(lower(SPEC).populations)])
    assert lines == ["counting"]


def test_an_export_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(UnsupportedError):
        compile_attention(SPEC, backend=Broken()).write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
