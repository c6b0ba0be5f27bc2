"""`cortico learn --brian2`: the script that it writes, and what a user gets wrong."""

import os
import subprocess
import sys

import numpy as np
import pytest

from cortico.cli import main


@pytest.fixture
def spec_file(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text('model = 4\nheads = 2\nkernel = "linear"\nname = "a \\"small\\" one"\n')
    return path


@pytest.mark.slow
def test_the_script_runs_by_itself(tmp_path, spec_file, capsys):
    script = tmp_path / "learn.py"
    options = ["--random-weights", "0", "--feedback", "learned", "--brian2", str(script)]
    assert main(["learn", str(spec_file), *options]) == 0
    assert "written: " in capsys.readouterr().out
    x, target = np.random.default_rng(0).standard_normal((2, 3, 3, 4))
    np.savez(tmp_path / "examples.npz", x=x, target=target)
    flags = ["--epochs", "2", "--learning-rate", "1e-4", "--method", "euler", "--dt", "10"]
    flags += ["--tau", "10", "--window", "10"]
    command = [sys.executable, str(script), "examples.npz", "-o", "learned.npz", *flags]
    done = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True, env={**os.environ}
    )
    first, second = (float(line.split()[-1]) for line in done.stdout.splitlines())
    assert second < first
    start, learned = np.load(tmp_path / "learn.npz"), np.load(tmp_path / "learned.npz")
    assert set(start) == set(learned) == {"W_Q", "W_K", "W_V", "W_O", "W_O_feedback"}
    assert all((start[name] != learned[name]).any() for name in start)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []
    (example,) = {p.name for p in tmp_path.glob("*.toml")}
    assert example == "small.toml"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--brian2", "learn.py"], "give --weights FILE, or --random-weights SEED"),
        (["--brian2", "learn.txt", "--random-weights", "0"], "must end in .py"),
        (
            ["--brian2", "learn.py", "--random-weights", "0", "--untied-columns"],
            "fix the number of tokens",
        ),
    ],
)
def test_what_a_user_gets_wrong(spec_file, options, message, capsys, monkeypatch):
    monkeypatch.chdir(spec_file.parent)
    assert main(["learn", str(spec_file), *options]) == 2
    assert message in capsys.readouterr().err
    assert [p.name for p in spec_file.parent.iterdir()] == ["small.toml"]
