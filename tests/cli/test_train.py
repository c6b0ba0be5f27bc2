"""`cortico train`: what it writes, resuming, Ctrl-C, divergence, and pictures that cannot be drawn."""

import json
import shlex
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.cli.conftest import START, start, tree

OPTIONS = "--data d.npz --random-weights 1 --batch-size 4 --learning-rate 0.02"
TRAIN = ["train", "ok.toml", *shlex.split(OPTIONS)]
WRITTEN = {
    "checkpoint.safetensors",
    "history.json",
    "loss.svg",
    "spec.json",
    "train.py",
    "weights.safetensors",
}

KEPT = {"checkpoint.safetensors", "weights.safetensors"}


@pytest.fixture
def data(home):
    """d.npz: 12 sequences of 5 tokens, and what another block of the same spec makes of them."""
    from cortico import compile_attention, get_backend, random_weights, read_spec

    x = np.random.default_rng(0).standard_normal((12, 5, 8))
    spec = read_spec(home / "ok.toml")
    teacher = compile_attention(spec, random_weights(spec, 7), passes="none").circuit
    np.savez(home / "d.npz", x=x, target=get_backend("numpy").run(teacher, {"x": x})["y"])


def test_it_learns_and_what_it_writes_compiles(cortico, home, data):
    code, printed, errors = cortico(*TRAIN, "--epochs", "8", "--momentum", "0.9", "-o", "t")
    assert (code, errors) == (0, "")
    assert {path.name for path in (home / "t").iterdir()} == WRITTEN
    history = json.loads((home / "t" / "history.json").read_text())
    losses = [epoch["loss"] for epoch in history["epochs"]]
    assert len(losses) == 8
    assert losses[-1] < 0.5 * losses[0]
    assert history["settings"]["trained"] == ["W_Q", "W_K", "W_V", "W_O"]
    assert f"loss {losses[0]:.6g} in epoch 1, {losses[-1]:.6g} in epoch 8" in printed
    command = next(line for line in printed.splitlines() if line.startswith("compile with: "))
    assert cortico(*command.split()[3:], "-o", "t")[0] == 0
    assert cortico("run", "t", "-i", "x.npy")[0] == 0
    root = ET.parse(home / "t" / "loss.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_weights_from_a_file_and_a_checkpoint_layer(cortico, home, data):
    assert cortico(*TRAIN, "--epochs", "1", "-o", "t")[0] == 0
    again = ["train", "ok.toml", "--data", "d.npz", "--weights", "t/weights.safetensors"]
    assert cortico(*again, "--epochs", "1", "-o", "u", "--train", "W_O,W_V")[0] == 0
    first, then = (load_file(home / name / "weights.safetensors") for name in ("t", "u"))
    assert {name for name in first if (first[name] != then[name]).any()} == {"W_O", "W_V"}
    bert = ["train", "bert", "--layer", "1", "--data", "d.npz", "--learning-rate", "1e-4"]
    assert cortico(*bert, "--epochs", "1", "-o", "v")[0] == 0


@pytest.mark.slow
def test_resume_gives_the_same_files(cortico, home, data):
    command = [*TRAIN, "--momentum", "0.9", "--validation", "0.25"]
    assert cortico(*command, "--epochs", "4", "-o", "whole")[0] == 0
    assert cortico(*command, "--epochs", "1", "-o", "parts")[0] == 0
    assert cortico(*command, "--epochs", "3", "-o", "parts", "--resume")[0] == 0
    assert cortico(*command, "--epochs", "4", "-o", "parts", "--resume")[0] == 0
    assert tree(home / "parts") == tree(home / "whole")


SLOW = """
import sys, time
from cortico.learning import training
real = training.Training._step
def slow(self, *arguments):
    slow.steps += 1
    if slow.steps == {step}:
        print("now", flush=True)
        time.sleep(60)
    return real(self, *arguments)
slow.steps = 0
training.Training._step = slow
from cortico.cli import main
sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("step", "kept"), [(8, 2), (2, 0)])
def test_ctrl_c_keeps_the_last_whole_epoch(cortico, home, data, step, kept):
    command = [*TRAIN, "--epochs", "5", "-o", "t"]
    process = start(*command, code=SLOW.format(step=step), stdout=subprocess.PIPE, cwd=home)
    assert process.stdout.readline() == "now\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    message, last = errors.splitlines()
    assert last == "cortico: interrupted; no file was left half written"
    if not kept:
        assert message == "cortico: training stopped: no epoch was done, nothing is in t"
        assert not (home / "t").exists()
        return
    assert message == (
        "cortico: training stopped: 2 of 5 epochs are kept in t; "
        "the same command with --resume goes on"
    )
    assert {path.name for path in (home / "t").iterdir()} == KEPT
    assert cortico(*command, "--resume")[0] == 0
    assert cortico(*command[:-1], "whole")[0] == 0
    assert tree(home / "t") == tree(home / "whole")


def test_divergence_keeps_the_last_finite_epoch(cortico, home, data):
    (home / "linear.toml").write_text('model = 8\nheads = 2\nkernel = "linear"\nname = "steep"\n')
    options = "--data d.npz --random-weights 1 --batch-size 12 --epochs 50"
    command = ["train", "linear.toml", *shlex.split(options)]
    code, printed, errors = cortico(*command, "--learning-rate", "0.1", "-o", "t")
    assert (code, printed) == (1, "")
    assert errors.startswith("cortico: training of 'steep' diverged in epoch ")
    assert "try a smaller learning rate than 0.1, such as 0.01" in errors
    assert {path.name for path in (home / "t").iterdir()} == KEPT
    assert errors.endswith(" are in t/weights.safetensors\n")
    arrays = load_file(home / "t" / "weights.safetensors")
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.slow
def test_without_matplotlib_it_says_so(home, data):
    code = f"import sys; sys.modules['matplotlib'] = None; {START}"
    process = start(*TRAIN, "--epochs", "1", "-o", "t", code=code, stdout=subprocess.PIPE, cwd=home)
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "no loss.svg: drawing it needs matplotlib, pip install 'cortico[plots]'" in printed
    assert {path.name for path in (home / "t").iterdir()} == WRITTEN - {"loss.svg"}


@pytest.mark.slow
def test_help_and_training_load_matplotlib_late(home, data):
    for arguments in (["train", "-h"], ["train", "ok.toml", "--data", "lost.npz", "-o", "t"]):
        code = (
            "import atexit, sys; from cortico.cli import main\n"
            "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\nsys.exit(main())"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=home
        )
        assert not {"matplotlib", "torch"} & set(done.stderr.split())


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 3, 200])
def test_pictures_of_any_history(tmp_path, epochs):
    from cortico.learning.curve import draw_losses
    from cortico.learning.training import Epoch

    for name, slope in (("steep", 0.5), ("flat", 0.999), ("zero", 0.0)):
        history = [Epoch(k, slope**k, 2 * slope**k) for k in range(1, epochs + 1)]
        for path in (tmp_path / f"{name}.svg", tmp_path / "again.svg"):
            draw_losses(history, "a $ <name> & more", "loss", path)
        assert (tmp_path / "again.svg").read_bytes() == (tmp_path / f"{name}.svg").read_bytes()
        assert ET.parse(tmp_path / f"{name}.svg").getroot() is not None
