"""Runs an emitted script: in a process of its own, or in this one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cortico.backends.array_files import save_npz
from cortico.backends.extras import require_extra
from cortico.backends.script_running import running
from cortico.ir import UnsupportedError

Arrays = Mapping[str, np.ndarray]

SCRIPT = "attention_brian2.py"


def require_brian2(target: str) -> None:
    """UnsupportedError, in one line, when Brian2 or the compiler that `target` wants is missing."""
    require_extra("brian2", "brian2", "Brian2")
    if target != "numpy" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        raise UnsupportedError(
            f"target {target!r} of backend 'brian2' needs a C++ compiler (g++ or clang++): install one, "
            "or use target numpy"
        )


def run_script(source: str, inputs: Arrays, weights: Arrays) -> dict[str, np.ndarray]:
    """Run the script in a process of its own; returns its outputs.

    Brian2's progress goes to standard error. UnsupportedError with the script's last words if it fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / SCRIPT).write_text(source, encoding="utf-8")
        save_npz(folder / "inputs.npz", inputs)
        save_npz(folder / "weights.npz", weights)
        arguments = ["inputs.npz", "-o", "outputs.npz", "--weights", "weights.npz"]
        # Brian2 keeps its log and C++ in a temporary folder, which it leaves when it is ended
        environment = {**os.environ, "TMPDIR": name}
        with running([sys.executable, SCRIPT, *arguments], folder, environment) as process:
            words = _watched(process)
        if process.returncode != 0:
            raise UnsupportedError(f"the Brian2 network failed: {words}")
        with np.load(folder / "outputs.npz", allow_pickle=False) as outputs:
            return dict(outputs)


def _watched(process: subprocess.Popen[str]) -> str:
    """The last line that a process writes to standard error; lines on progress are passed on."""
    last = ""
    assert process.stderr is not None
    for line in process.stderr:
        if "% complete" in line or "% simulated" in line:
            sys.stderr.write(line)
        last = line.strip() or last
    process.wait()
    return last


def load_simulate(source: str) -> Callable[..., Any]:
    """The `simulate` function of an emitted script, in this process.

    Only ever called on text that cortico emitted. It sets Brian2's device, preferences and clock.
    """
    namespace: dict[str, Any] = {"__name__": "attention_brian2", "__file__": SCRIPT}
    exec(compile(source, SCRIPT, "exec"), namespace)
    simulate: Callable[..., Any] = namespace["simulate"]
    return simulate
