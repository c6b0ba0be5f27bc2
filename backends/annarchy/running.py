"""Runs an emitted ANNarchy script in a process of its own."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cortico.backends.extras import require_extra
from cortico.backends.script_running import run_in_folder
from cortico.ir import UnsupportedError

Arrays = Mapping[str, np.ndarray]


def require_annarchy() -> None:
    """UnsupportedError, in one line, when ANNarchy or what it compiles with is missing."""
    require_extra("annarchy", "ANNarchy")
    missing = [tool for tool in ("g++", "cmake", "make") if shutil.which(tool) is None]
    if missing:
        raise UnsupportedError(
            f"backend 'annarchy' needs {' and '.join(missing)} to compile networks"
        )


@functools.cache
def folder_of(source: str) -> Path:
    """Where this script runs and its network is compiled; gone when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="cortico-annarchy-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def run_script(source: str, inputs: Arrays, weights: Arrays) -> dict[str, np.ndarray]:
    """Run the script; returns its outputs. A script that ran before finds its network compiled.

    UnsupportedError with what the compiler said first when it fails.
    """
    folder = folder_of(source)
    try:
        return run_in_folder(source, inputs, weights, folder, "the ANNarchy network")
    except UnsupportedError as failed:
        said = compiler_error(folder)
        raise UnsupportedError(f"{failed} {said}" if said else str(failed)) from None


def compiler_error(folder: Path) -> str:
    """The first line in which CMake or a compiler names an error; empty when there is none."""
    for log in folder.glob("annarchy/build/*/compile_stderr.log"):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if "error" in line.lower():
                return line.strip()
    return ""
