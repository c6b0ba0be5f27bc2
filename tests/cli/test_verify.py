"""`cortico verify`: claims on the terminal, certificates, and their re-check by other code."""

import json

import pytest

from cortico.files.writing import sha256
from cortico.passes import dead_indices
from tests.covering import first


@pytest.mark.slow
def test_a_spec(cortico, home):
    code, printed, errors = cortico("verify", "ok.toml")
    assert (code, errors) == (0, "")
    assert "proved for all" in printed and "compared" in printed
    assert "small: every claim holds" in printed
    assert not any(path.suffix == ".json" for path in home.iterdir())  # nothing was asked for


@pytest.mark.full
def test_a_checkpoint_layer_in_a_wide_terminal(cortico, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, printed, _ = cortico("verify", "bert", "--layer", "1")
    assert code == 0
    assert "W_K_v2 = size(a)^-1/2 * W_K" in printed


@pytest.mark.slow
def test_certificate_and_derivation(cortico, home):
    command = ("verify", "ok.toml", "--random-weights", "1", "-o", "proof", "--latex", "p.tex")
    code, printed, _ = cortico(*command)
    assert code == 0 and "cortico verify --check proof/certificate.json" in printed
    assert (home / "p.tex").read_text().startswith(r"\documentclass")
    code, printed, _ = cortico("verify", "--check", "proof/certificate.json")
    assert code == 3 and "the certificate holds as far as it was re-checked" in printed
    code, printed, _ = cortico("verify", "proof")  # its code is emitted again, and checked
    assert code == 3
    assert "attention.py: byte by byte what cortico emits for this circuit" in printed
    assert "attention.py: checked exactly" in printed
    assert "attention.py: compared numerically" in printed


@pytest.mark.slow
def test_compile_writes_the_same_certificate(cortico, home):
    assert cortico("compile", "ok.toml", "-o", "proof", "--verify")[0] == 0
    found = json.loads((home / "proof" / "certificate.json").read_text())
    assert {claim["verdict"] for claim in found["claims"]} == {
        "proved for all sizes",
        "checked exactly",
        "compared numerically",
    }
    assert set(found["files"]) == {"attention.py", "circuit.cortico", "report.md", "spec.json"}


TAMPERED = {
    "spec": lambda c: c["spec"].update(mask="none"),
    "circuit": lambda c: c.update(lowered=c["lowered"].replace("j - i <= 0", "j - i <= 1")),
    "step": lambda c: c["steps"][0].update(
        after=c["steps"][0]["after"].replace("size(a)^-1/2", "size(a)^-1")
    ),
    "hash": lambda c: c["files"].update({"attention.py": "0" * 64}),
    "junk": lambda c: c.update(steps=[{"pass": 1}]),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", first(2, TAMPERED))
def test_a_tampered_certificate_does_not_hold(cortico, home, what):
    assert cortico("verify", "ok.toml", "-o", "proof")[0] == 0
    path = home / "proof" / "certificate.json"
    certificate = json.loads(path.read_text())
    before = json.dumps(certificate)
    TAMPERED[what](certificate)
    assert json.dumps(certificate) != before
    path.write_text(json.dumps(certificate))
    code, printed, errors = cortico("verify", "--check", path)
    assert (code, errors) == (1, "")
    assert "WRONG" in printed and "the certificate does not hold" in printed


HOSTILE = {
    "one character": lambda text: text.replace("most=0", "most=1", 1),
    "a line at the end": lambda text: text + "Path('ran').touch()\n",
    "a module of a module": lambda text: text + "contextlib.os.system('touch ran')\n",
    "a default": lambda text: text.replace("threads=None", "threads=Path('ran').touch()"),
    "something else": lambda text: "open('ran', 'w')\n",
    "no text": lambda text: "\0",
    "line ends": lambda text: text.replace("\n", "\r\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", first(3, HOSTILE))
@pytest.mark.parametrize("hashed", first(1, [True, False]))
def test_changed_code_is_noticed_and_not_run(cortico, home, what, hashed):
    assert cortico("verify", "ok.toml", "-o", "proof")[0] == 0
    path = home / "proof" / "attention.py"
    changed = HOSTILE[what](path.read_text())
    assert changed != path.read_text()
    path.write_bytes(changed.encode())
    if hashed:  # an attacker can change the certificate, too
        certificate = json.loads((home / "proof" / "certificate.json").read_text())
        certificate["files"]["attention.py"] = sha256(path)
        (home / "proof" / "certificate.json").write_text(json.dumps(certificate))
    status, printed, _ = cortico("verify", "proof")
    assert status == 1
    assert (
        "attention.py: differs from what cortico emits for this circuit: it was not run" in printed
    )
    assert not (home / "ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "file", "words"),
    [
        (["torch"], "attention_torch.py", "compared numerically, 4 runs"),
        (["numpy", "--option", "ranks=3"], "attention.py", "checked exactly"),
        (["brian2", "--option", "cells=lif"], "attention_brian2.py", "spiking cells only"),
    ],
)
def test_folders_of_other_backends(cortico, home, backend, file, words):
    if backend[0] != "numpy":
        pytest.importorskip(backend[0])
    command = ("compile", "ok.toml", "-o", "proof", "--verify", "--backend", *backend)
    assert cortico(*command)[0] == 0
    code, printed, _ = cortico("verify", "proof")
    assert code == 3  # the certificate holds as far as it was re-checked
    assert f"{file}: byte by byte what cortico emits" in printed
    assert words in " ".join(printed.split())
    (home / "proof" / file).write_text("")
    code, printed, _ = cortico("verify", "proof")
    assert code == 1 and f"{file}: differs from what cortico emits" in printed


@pytest.mark.slow
@pytest.mark.parametrize(
    "record",
    first(1, [{"backend": "numpy", "options": {"ranks": "x"}}, None, {"backend": "no such"}]),
)
def test_a_certificate_that_does_not_say_what_wrote_it(cortico, home, record):
    assert cortico("verify", "ok.toml", "-o", "proof")[0] == 0
    path = home / "proof" / "certificate.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "emitted": record}))
    code, _, errors = cortico("verify", "proof")
    assert code != 0 and errors.startswith("cortico: ")
    assert "internal error" not in errors


def test_a_pass_at_fault_stops_it(cortico, home, monkeypatch):
    monkeypatch.setattr(
        dead_indices, "_live_rates", lambda circuit, p, joint, live: _first_dead(circuit, joint)
    )
    code, _, errors = cortico("verify", "ok.toml", "--random-weights", "1")
    assert code == 1 and "pass prune-dead" in errors


def _first_dead(circuit, joint):
    import numpy as np

    live = np.ones([int(circuit.axis(a).extent) for a in joint], dtype=bool)
    live[..., 0] = False
    return live
