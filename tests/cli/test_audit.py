"""`cortico audit`: sources, what is printed and written, and exit codes."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def spec(home):
    return home / "ok.toml"


def test_prints_verdicts_and_sources(cortico, spec):
    code, out, err = cortico("audit", spec)
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    assert "8 projections: 3 supported, 4 contested, 1 unsupported." in text
    assert "P40" not in out
    assert "P11 Sherman & Guillery 1998, doi 10.1073/pnas.95.12.7121" in text


def test_strict(cortico, spec):
    assert cortico("audit", "--strict", spec)[0] == 0


def test_strict_minds_numbers_too(cortico, spec):
    """Weights of both signs are contradicted, as excitatory cells do not inhibit."""
    assert cortico("audit", "--strict", spec, "--random-weights", "1")[0] == 1


def test_files(cortico, spec, home):
    assert cortico("audit", spec, "--json", "a.json", "--markdown", "a/b.md")[0] == 0
    record = json.loads((home / "a.json").read_text())
    assert record["circuit"] == "small"
    assert record["verdicts"]["output"] == "supported"
    assert (home / "a" / "b.md").read_text().startswith("# Anatomy of small\n")


def test_suggestions(cortico, spec):
    resolves = '* thalamus.key = "matrix" resolves key\n'
    assert resolves not in cortico("audit", spec)[1]
    code, out, _ = cortico("audit", spec, "--suggest", "--markdown", "a.md")
    assert code == 0
    assert resolves in out
    assert resolves in Path("a.md").read_text()


def test_sizes(cortico, spec):
    assert "neurons_per_area" in undecided(cortico, spec)
    assert undecided(cortico, spec, "--tokens", "9") == {
        "cells_have_one_sign",
        "rates_are_not_negative",
    }
    assert undecided(cortico, spec, "--tokens", "9", "--random-weights", "0") == set()


def undecided(cortico, *arguments):
    """The rules that gave no verdict."""
    assert cortico("audit", *arguments, "--json", "found.json", "--force")[0] == 0
    record = json.loads(Path("found.json").read_text())
    return {m["rule"] for m in record["measures"] if m["verdict"] is None}


def test_a_compiled_circuit(cortico, spec, home):
    compiled = cortico("audit", "bare", "--json", "a.json")
    assert compiled[0] == 0
    assert cortico("audit", "bare/circuit.cortico", "--json", "b.json")[0] == 0
    assert cortico("audit", spec, "--json", "c.json")[0] == 0
    one, other, third = (json.loads((home / f"{n}.json").read_text()) for n in "abc")
    assert one == other == third
    assert "neurons_per_area" in undecided(cortico, "bare")
    assert "neurons_per_area" not in undecided(cortico, "bare", "--tokens", "9")


def test_a_checkpoint(cortico, home):
    code, out, _ = cortico("audit", "bert", "--layer", "1", "--tokens", "5")
    assert code == 0
    assert "% inhibit" in " ".join(out.split())


def test_passes_come_before_the_audit(cortico, spec):
    out = cortico("audit", spec, "--passes", "share-relays")[1]
    assert "key_relay" in out


def test_options_that_do_not_apply(cortico, home):
    for option in (("--layer", "1"), ("--passes", "default"), ("--random-weights", "1")):
        code, _, err = cortico("audit", "bare", *option)
        assert code == 2
        assert err == f"cortico: {option[0]} does not apply to a compiled circuit\n"


def test_no_source(cortico, home):
    code, _, err = cortico("audit", "nowhere.toml")
    assert code == 2
    assert "nowhere.toml" in err


def test_a_failing_run_leaves_files_whole(cortico, spec, home):
    (home / "a.json").write_text("kept")
    (home / "b.md").mkdir()
    code, _, err = cortico("audit", spec, "--markdown", "b.md")
    assert code == 2
    assert "b.md" in err
    assert (home / "a.json").read_text() == "kept"
