"""`cortico draw`: every kind of picture from every kind of source, and what it refuses."""

import sys

import numpy as np
import pytest

from cortico.pictures import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind(cortico, home, kind):
    options = ["-i", "x.npy"] if kind == "activity" else []
    command = ("draw", "ok.toml", "--random-weights", 1, "--kind", kind, "-o", "a.svg", *options)
    code, printed, errors = cortico(*command)
    assert (code, printed, errors) == (0, "written to a.svg\n", "")
    text = (home / "a.svg").read_text()
    words = {"areas": "area 1", "counts": "share-relays", "activity": "attention"}
    assert text.startswith("<?xml") and words.get(kind, "superficial") in text


@pytest.mark.parametrize("source", ["out", "out/circuit.cortico", "bare", "bert --layer 0"])
def test_every_source(cortico, home, source):
    assert cortico("draw", *source.split(), "-o", "a.svg")[0] == 0
    assert "projection-query" in (home / "a.svg").read_text()


def test_passes_sizes_and_learning(cortico, home):
    text = {}
    for name, options in {
        "plain": ["--passes", "none"],
        "default": [],
        "bound": ["--bind", "n=7", "--kind", "matrix"],
        "learning": ["--learning"],
    }.items():
        assert cortico("draw", "ok.toml", "-o", f"{name}.svg", *options)[0] == 0
        text[name] = (home / f"{name}.svg").read_text()
    assert "population-key_relay" in text["default"] and "key_relay" not in text["plain"]
    assert "i = 7" in text["bound"]
    assert "population-deep_shunt_error" in text["learning"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ok.toml", "-o", "a.gif"], "must end in .svg, .png, .pdf"),
        (["ok.toml", "-o", "a.svg", "--kind", "area"], "did you mean 'areas'?"),
        (["ok.toml", "-o", "a.svg", "--kind", "activity"], "needs an input: add --input FILE"),
        (["ok.toml", "-o", "a.svg", "-i", "x.npy"], "an input is for --kind activity"),
        (["out", "-o", "a.svg", "--kind", "counts"], "'out' is compiled"),
        (["out", "-o", "a.svg", "--layer", "1"], "--layer does not apply"),
        (["ok.toml", "-o", "a.svg", "--bind", "k=3"], "no symbolic size 'k'"),
        (["ok.toml", "-o", "a.svg", "--kind", "activity", "-i", "x.npy"], "has no values"),
        (
            ["bert", "--layer", "0", "-o", "a.svg", "--kind", "activity", "--sentence", "Hm"],
            "has no tokenizer.json",
        ),
        (
            ["ok.toml", "-o", "a.svg", "--node", "layer[0].attention"],
            "--node does not apply to one circuit",
        ),
        (["out", "-o", "a.svg", "--kind", "hierarchy"], "of a whole model, this is one circuit"),
        (["out", "-o", "a.svg", "--layers", "0-1"], "--layers does not apply"),
        (["lost.toml", "-o", "a.svg"], "lost.toml"),
        (["ok.toml", "-o", "ok.toml/a.svg"], "is no folder"),
    ],
)
def test_what_is_refused(cortico, home, arguments, message):
    before = {path.name for path in home.iterdir()}
    code, printed, errors = cortico("draw", *arguments)
    assert code == 2 and printed == "" and message in errors, errors
    assert {path.name for path in home.iterdir()} == before


def test_a_batch_is_refused(cortico, home):
    np.save(home / "batch.npy", np.ones((2, 5, 8)))
    code, _, errors = cortico("draw", "out", "-o", "a.svg", "--kind", "activity", "-i", "batch.npy")
    assert code == 2 and "one example, without batch axes" in errors


def test_without_matplotlib(cortico, monkeypatch):
    from importlib import util

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    known = util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda n, *a: None if n == "matplotlib" else known(n, *a)
    )
    code, _, errors = cortico("draw", "ok.toml", "-o", "a.svg")
    assert code == 1 and "pip install 'cortico[plots]'" in errors
