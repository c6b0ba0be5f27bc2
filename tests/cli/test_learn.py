"""`cortico learn`: rules explained, formulas, JSON."""

import json

import pytest

from tests.conftest import GOLDEN

MEMORY = 'model = 8\nheads = 2\nkernel = "linear"\nmicrocircuit = "memory"\nname = "memory"\n'


@pytest.fixture
def spec(home):
    (home / "memory.toml").write_text(MEMORY)
    return "memory.toml"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tied", ()),
        ("untied", ("--untied", "--feedback", "learned")),
    ],
)
def test_rules_explained(cortico, spec, golden, monkeypatch, name, options):
    monkeypatch.setenv("COLUMNS", "140")
    code, printed, errors = cortico("learn", spec, "--explain", *options)
    assert (code, errors) == (0, "")
    lines = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
    golden(lines, f"memory_{name}.txt", GOLDEN / "learn")


def test_explaining_is_the_default(cortico, spec):
    assert cortico("learn", spec) == cortico("learn", spec, "--explain")


def test_json(cortico, spec):
    code, printed, errors = cortico("learn", spec, "--json", "--untied", "--formulas")
    assert (code, errors) == (0, "")
    found = json.loads(printed)
    by_name = {rule["parameter"]: rule for rule in found["rules"]}
    assert by_name["W_K_untied[h, a, m, c]"]["labels"] == ["needs trace", "needs transport"]
    assert "M[h, c, a] = Σ_j k[h, j, c, a] v[h, j, c, a]" in found["formulas"]
    assert set(found["verdicts"].values()) == {"proved for all sizes"}


def test_formulas(cortico, spec, home):
    code, printed, _ = cortico("learn", spec, "--formulas", "--latex", "f.tex")
    assert code == 0
    assert "d_W_Q[h, a, m] = Σ_i,c M[h, c, a] δ[h, i, c] x[i, m]" in printed
    assert "the gradients of the circuit: proved for all sizes" in printed
    assert "Plasticity rules" not in printed
    assert (home / "f.tex").read_text().startswith(r"\documentclass")


def test_latex_alone_prints_nothing(cortico, spec, home):
    assert cortico("learn", spec, "--latex", "f.tex")[:2] == (0, "")
    assert (home / "f.tex").exists()


def test_a_checkpoint(cortico):
    code, printed, _ = cortico("learn", "bert", "--layer", "1")
    assert code == 0 and "b_K" in printed


def test_wrong_options(cortico, spec):
    assert cortico("learn", spec, "--feedback", "none")[0] == 2
    code, _, errors = cortico("learn", "lost.toml")
    assert code == 2 and "lost.toml" in errors
