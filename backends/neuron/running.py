"""Compiles the mechanisms of an emitted script and runs it, in processes of its own."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cortico.ir import UnsupportedError

Arrays = Mapping[str, np.ndarray]


def require_neuron(ranks: int) -> None:
    """UnsupportedError, in one line, when NEURON or what it needs is missing."""
    if importlib.util.find_spec("neuron") is None:
        raise UnsupportedError("backend 'neuron' needs NEURON: pip install 'cortico[neuron]'")
    if not any(map(shutil.which, ("g++", "clang++", "c++"))):
        raise UnsupportedError("backend 'neuron' needs a C++ compiler (g++) for its mechanisms")
    if ranks > 1 and shutil.which("mpiexec") is None:
        raise UnsupportedError("ranks > 1 of backend 'neuron' needs mpiexec: install OpenMPI or MPICH")


@functools.cache
def compiled(mechanisms: tuple[tuple[str, str], ...]) -> Path:
    """A folder with these MOD files (name, text), compiled by nrnivmodl; gone when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="cortico-neuron-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, text in mechanisms:
        (folder / name).write_text(text, encoding="utf-8")
    beside = Path(sys.executable).with_name("nrnivmodl")
    _run([str(beside) if beside.exists() else "nrnivmodl", "."], folder, "nrnivmodl")
    return folder


def run_script(
    source: str, mechanisms: Mapping[str, str], inputs: Arrays, weights: Arrays, ranks: int
) -> dict[str, np.ndarray]:
    """Run the script on so many MPI ranks; returns its outputs."""
    home = compiled(tuple(mechanisms.items()))
    with tempfile.TemporaryDirectory() as name:
        script, given, numbers, found = (
            Path(name) / file for file in ("script.py", "inputs.npz", "weights.npz", "outputs.npz")
        )
        script.write_text(source, encoding="utf-8")
        np.savez(given, allow_pickle=False, **inputs)
        np.savez(numbers, allow_pickle=False, **weights)
        start = ["mpiexec", "-n", str(ranks)] if ranks > 1 else []
        files = [str(script), str(given), "-o", str(found), "--weights", str(numbers)]
        _run([*start, sys.executable, *files], home, "the NEURON network")
        with np.load(found, allow_pickle=False) as outputs:
            return dict(outputs)


def _run(command: Sequence[str], folder: Path, what: str) -> None:
    """UnsupportedError with the last words of a command that fails. NEURON loads what lies in `folder`."""
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True)
    if done.returncode != 0:
        words = [line.strip() for line in (done.stderr + done.stdout).splitlines() if re.search(r"\w", line)]
        raise UnsupportedError(f"{what} failed: {words[-1] if words else 'it said nothing'}")


def _environment() -> dict[str, str]:
    """This process's, in which the tools of its Python are found."""
    tools = Path(sys.executable).parent
    return {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"}
