"""`cortico report`: pages from every kind of source, and what it refuses."""

import hashlib
import json

import numpy as np
import pytest

from cortico.demo.weights import PACKAGE, model_folder
from tests.needs import needs_weights
from tests.page.pages import data_of


def written(home):
    return (home / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", ["out", "bert --layer 0", "out/circuit.cortico"])
def test_every_source(cortico, home, source):
    code, printed, errors = cortico("report", *source.split(), "-i", "x.npy", "-o", "page.html")
    assert (code, errors) == (0, "") and printed.startswith("written to page.html: ")
    data = data_of(written(home))
    assert np.shape(data["activity"]["attention"]["values"]) == (2, 5, 5)


def test_a_spec_without_weights_and_input(cortico, home):
    assert cortico("report", "ok.toml", "-o", "page.html")[0] == 0
    html = written(home)
    assert data_of(html)["activity"] is None
    assert "share-relays" in html and "Nothing was proved" in html and "causal" in html


@pytest.mark.slow
def test_proofs(cortico, home):
    (home / "tiny.toml").write_text("model = 2\n")
    command = ("report", "tiny.toml", "--random-weights", 1, "--passes", "none", "--verify")
    assert cortico(*command, "-o", "page.html")[0] == 0
    assert "proved for all sizes" in written(home)


def test_the_claims_of_a_certificate(cortico, home):
    claim = {"claim": "it <is> right", "verdict": "checked exactly", "detail": "d", "given": ["g"]}
    digest = hashlib.sha256((home / "out" / "circuit.cortico").read_bytes()).hexdigest()
    written_for = {"files": {"circuit.cortico": digest}, "claims": [claim]}
    (home / "out" / "certificate.json").write_text(json.dumps(written_for))
    assert cortico("report", "out", "-o", "page.html")[0] == 0
    assert "it &lt;is&gt; right" in written(home) and "d; given g" in written(home)
    (home / "out" / "certificate.json").write_text('{"claims": 3}')
    code, _, errors = cortico("report", "out", "-o", "page.html")
    assert code == 2 and "is no certificate" in errors


def test_claims_about_other_files_are_refused(cortico, home):
    names = {"circuit.cortico": "0" * 64, "gone.py": "0" * 64}
    text = json.dumps({"files": names, "claims": []})
    (home / "out" / "certificate.json").write_text(text)
    code, _, errors = cortico("report", "out", "-o", "page.html")
    assert code == 2 and "is of other files: circuit.cortico, gone.py differ" in errors
    assert not (home / "page.html").exists()


@pytest.mark.slow
@needs_weights
def test_a_sentence(cortico, home):
    folder = model_folder()
    assert PACKAGE in str(folder)
    command = (
        "report",
        folder,
        "--layer",
        2,
        "--sentence",
        "A <b>bold</b> word",
        "--passes",
        "none",
    )
    assert cortico(*command, "-o", "page.html")[0] == 0
    data = data_of(written(home))
    assert data["activity"]["queries"][1:4] == ["a", "<", "b"]
    assert data["name"].endswith("layer 2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ok.toml", "-o", "page.txt"], "must end in .html"),
        (["ok.toml", "-o", "page.html", "-i", "x.npy"], "has no values"),
        (["out", "-o", "page.html", "--verify"], "`cortico verify` checks a folder"),
        (["out", "-o", "ok.toml/page.html"], "is no folder"),
        (["out", "-o", "page.html", "-i", "ok.toml"], "cannot read 'ok.toml'"),
        (["lost", "-o", "page.html"], "lost"),
    ],
)
def test_what_is_refused(cortico, home, arguments, message):
    before = {path.name for path in home.iterdir()}
    code, printed, errors = cortico("report", *arguments)
    assert code == 2 and printed == "" and message in errors, errors
    assert {path.name for path in home.iterdir()} == before
