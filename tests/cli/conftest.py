"""A folder as a user of the command line has it, and `cortico` run in it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cortico.cli import main

SPEC = 'model = 8\nheads = 2\nmask = "causal"\nname = "small"\n'


def save_bert(folder, width=8, heads=2, layers=2):
    """A checkpoint with random weights, as `save_pretrained` writes it."""
    rng = np.random.default_rng(0)
    maps = ("self.query", "self.key", "self.value", "output.dense")
    tensors = {}
    for layer in range(layers):
        place = f"bert.encoder.layer.{layer}.attention."
        for name in maps:
            tensors[f"{place}{name}.weight"] = rng.standard_normal((width, width), np.float32)
            tensors[f"{place}{name}.bias"] = rng.standard_normal(width, np.float32)
        tensors[f"{place}output.LayerNorm.weight"] = np.ones(width, np.float32)
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    config = {
        "model_type": "bert",
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
    }
    (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A spec, a checkpoint, inputs, and what earlier runs wrote: with weights and without."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "ok.toml").write_text(SPEC)
    save_bert(folder / "bert")
    rng = np.random.default_rng(0)
    np.save(folder / "x.npy", rng.standard_normal((5, 8)))
    compile_ok = ["compile", str(folder / "ok.toml"), "--passes", "none", "-o"]
    assert main([*compile_ok, str(folder / "out"), "--random-weights", "1"]) == 0
    assert main([*compile_ok, str(folder / "bare")]) == 0
    return folder


@pytest.fixture
def home(template, tmp_path, monkeypatch):
    """A copy of `template` to work in; the terminal has 80 columns."""
    folder = tmp_path / "home"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")
    return folder


@pytest.fixture
def cortico(home, capfd):
    """Runs a command in this process: `(exit code, standard output, standard error)`."""

    def run(*arguments):
        capfd.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse leaves so
            code = end.code
        return code, *capfd.readouterr()

    return run


def tree(folder: Path):
    """Every path below `folder` with what it holds."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


START = "import sys; from cortico.cli import main; sys.exit(main())"


def start(*arguments, code=START, **options):
    """`cortico` in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)
