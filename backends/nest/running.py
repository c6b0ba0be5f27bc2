"""Runs an emitted NEST script in a process of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cortico.backends.script_running import run_in_folder

Arrays = Mapping[str, np.ndarray]


def run_script(source: str, inputs: Arrays, weights: Arrays) -> dict[str, np.ndarray]:
    """Run the script; returns its outputs."""
    with tempfile.TemporaryDirectory() as name:
        return run_in_folder(source, inputs, weights, Path(name), "the NEST network")
