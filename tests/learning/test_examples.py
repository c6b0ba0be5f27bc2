"""The examples that learn, played in an empty folder."""

import importlib.util
import os
import re
import runpy
from pathlib import Path

import pytest

from cortico.minilm import PACKAGE

EXAMPLES = Path(__file__).parents[2] / "examples"

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None and not os.environ.get("CI"),
    reason=f"{PACKAGE} is not installed",
)


@pytest.fixture
def play(tmp_path, monkeypatch, capsys):
    """A function that runs an example with some of its numbers changed: exit code and output."""
    monkeypatch.chdir(tmp_path)

    def run(name, **numbers):
        main = runpy.run_path(str(EXAMPLES / name))["main"]
        main.__globals__.update(numbers)
        return main(), capsys.readouterr().out

    return run


@pytest.mark.slow
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
@pytest.mark.slow
def test_a_real_layer_learns_as_in_pytorch(play):
    pytest.importorskip("torch")
    code, printed = play("finetune_minilm.py")
    assert code == 0
    first, *_, last = re.findall(r"^ *\d+ +([\d.]+)  [\d.]+$", printed, re.M)
    assert float(last) < 0.1 * float(first)


@needs_weights
def test_another_optimizer_is_told(play):
    """Another optimizer than the circuit has: the losses part, and the exit code says so."""
    torch = pytest.importorskip("torch")

    def another(parameters, lr):
        return torch.optim.Adam(parameters, lr=lr)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "SGD", another)
        assert play("finetune_minilm.py", STEPS=2)[0] == 1


@pytest.mark.parametrize("name", ["in_context_regression.py", "finetune_minilm.py"])
def test_pictures_are_drawn_where_matplotlib_is(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    example = runpy.run_path(str(EXAMPLES / name))
    curve = [(0, 2.0), (10, 1.0)]
    arguments = {
        "in_context_regression.py": (
            dict.fromkeys(["tied", "untied", "random", "learned"], curve),
            0.5,
        ),
        "finetune_minilm.py": ([2.0, 1.0], [2.0, 1.0]),
    }[name]
    found = example["draw"].__globals__
    found["find_spec"] = lambda module: None
    example["draw"](*arguments)
    assert capsys.readouterr().out == "no picture: pip install 'cortico[plots]'\n"
    assert list(tmp_path.iterdir()) == []
    pytest.importorskip("matplotlib")
    found["find_spec"] = importlib.util.find_spec
    example["draw"](*arguments)
    assert (tmp_path / example["PICTURE"]).read_text(encoding="utf-8").startswith("<?xml")
