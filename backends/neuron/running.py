"""Compiles the mechanisms of an emitted script and runs it, in processes of its own."""

from __future__ import annotations

import atexit
import functools
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cortico.backends.extras import require_extra
from cortico.backends.script_running import require_mpiexec, run_command, run_in_folder
from cortico.ir import UnsupportedError

Arrays = Mapping[str, np.ndarray]


def require_neuron(ranks: int) -> None:
    """UnsupportedError, in one line, when NEURON or what it needs is missing."""
    require_extra("neuron", "neuron", "NEURON")
    if not any(map(shutil.which, ("g++", "clang++", "c++"))):
        raise UnsupportedError("backend 'neuron' needs a C++ compiler (g++) for its mechanisms")
    if ranks > 1:
        require_mpiexec("neuron")


@functools.cache
def compiled(mechanisms: tuple[tuple[str, str], ...]) -> Path:
    """A folder with these MOD files (name, text), compiled by nrnivmodl; gone when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="cortico-neuron-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, text in mechanisms:
        (folder / name).write_text(text, encoding="utf-8")
    beside = Path(sys.executable).with_name("nrnivmodl")
    run_command([str(beside) if beside.exists() else "nrnivmodl", "."], folder, "nrnivmodl")
    return folder


def run_script(
    files: Mapping[str, str], script: str, inputs: Arrays, weights: Arrays, ranks: int
) -> dict[str, np.ndarray]:
    """Run the `script` among emitted files on so many MPI ranks; returns the outputs.

    NEURON loads what the folder has.
    """
    mechanisms = dict(files)
    source = mechanisms.pop(script)
    folder = compiled(tuple(mechanisms.items()))
    start = ["mpiexec", "-n", str(ranks)] if ranks > 1 else []
    return run_in_folder(source, inputs, weights, folder, "the NEURON network", start)
