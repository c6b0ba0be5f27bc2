"""The examples that learn, played in an empty folder."""

import importlib.util
import re
import runpy
from pathlib import Path

import pytest

from tests.needs import needs_weights

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def play(tmp_path, monkeypatch, capsys):
    """A function that runs an example with some of its numbers changed: exit code and output."""
    monkeypatch.chdir(tmp_path)

    def run(name, **numbers):
        main = runpy.run_path(str(EXAMPLES / name))["main"]
        main.__globals__.update(numbers)
        return main(), capsys.readouterr().out

    return run


@pytest.mark.full
def test_every_kind_of_feedback_learns_in_context_regression(play):
    code, printed = play("in_context_regression.py")
    assert code == 0
    rows = re.findall(r"^(\w+) +[\d.]+ +[\d.]+ +([+-][\d.]+)%$", printed, re.M)
    assert [name for name, _ in rows] == ["tied", "untied", "random", "learned"]
    assert all(abs(float(beside)) < 2 for _, beside in rows)


def test_a_layer_that_did_not_learn_is_told(play):
    code, printed = play("in_context_regression.py", STEPS=20, EVERY=20)
    assert code == 1 and "+2" in printed


@needs_weights
@pytest.mark.full
def test_a_real_layer_learns_as_in_pytorch(play):
    pytest.importorskip("torch")
    _, printed = play("finetune_minilm.py")
    rows = re.findall(r"^ *\d+ +([\d.]+) +([\d.]+)$", printed, re.M)
    assert len(rows) == 6 and all(circuit == torch for circuit, torch in rows)
    apart = re.search(r"^largest relative difference of the losses: (.*)$", printed, re.M)
    assert float(apart[1]) < 1e-6


@pytest.mark.slow
@needs_weights
def test_another_optimizer_is_told(play, monkeypatch):
    torch = pytest.importorskip("torch")

    def another(parameters, lr, momentum):
        return torch.optim.Adam(parameters, lr=lr)

    monkeypatch.setattr(torch.optim, "SGD", another)
    with pytest.raises(AssertionError, match="learn differently"):
        play("finetune_minilm.py", STEPS=3)


def test_the_picture_is_drawn_where_matplotlib_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    example = runpy.run_path(str(EXAMPLES / "in_context_regression.py"))
    curves = {name: [(0, 2.0), (10, 1.0)] for name in ("tied", "untied", "random", "learned")}
    example["draw"].__globals__["find_spec"] = lambda module: None
    example["draw"](curves, 0.5)
    assert capsys.readouterr().out == "no picture: pip install 'cortico[plots]'\n"
    assert list(tmp_path.iterdir()) == []
    pytest.importorskip("matplotlib")
    example["draw"].__globals__["find_spec"] = importlib.util.find_spec
    example["draw"](curves, 0.5)
    assert example["PICTURE"].read_text(encoding="utf-8").startswith("<?xml")
