"""Emitted ANNarchy scripts, each run in a process of its own; compiled quickly, all in one folder."""

import atexit
import functools
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import pytest

from cortico.backends.annarchy import Options, emit_script
from cortico.backends.script_running import run_in_folder

TOOLS = ("g++", "cmake", "make")
MISSING = [
    *(["ANNarchy"] if importlib.util.find_spec("ANNarchy") is None else []),
    *(tool for tool in TOOLS if shutil.which(tool) is None),
]
needs_annarchy = pytest.mark.skipif(bool(MISSING), reason=f"{' and '.join(MISSING)} not installed")

#: A step brings each rate to rest.
SYNCHRONOUS = {"dt": 1e8}


@functools.cache
def folder():
    """Where networks are compiled, one after another: what does not depend on them is compiled once."""
    made = Path(tempfile.mkdtemp(prefix="cortico-annarchy-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    compiler = made / "tools" / "g++"
    compiler.parent.mkdir()
    compiler.write_text(f'#!/bin/sh\nexec {shutil.which("g++")} "$@" -O0\n', encoding="utf-8")
    compiler.chmod(0o755)
    return made


def without_optimisation():
    """The PATH on which g++ is called with -O0: compiling takes half of the time."""
    return f"{folder() / 'tools'}{os.pathsep}{os.environ['PATH']}"


def simulate(circuit, inputs, weights=None, **options):
    """Outputs of a batch; `options` are the backend's."""
    known = {p.name: p.values for p in circuit.parameters if p.values is not None}
    source = emit_script(circuit, Options(**options))
    with mock.patch.dict(os.environ, PATH=without_optimisation()):
        return run_in_folder(
            source, inputs, {**known, **(weights or {})}, folder(), "the ANNarchy network"
        )
