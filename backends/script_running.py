"""Runs commands and emitted scripts in processes of their own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from cortico.backends.array_files import save_npz
from cortico.ir import UnsupportedError

Arrays = Mapping[str, np.ndarray]

_PATIENCE = 3  #: seconds that a command gets to end by itself


def require_mpiexec(backend: str) -> None:
    """UnsupportedError when no MPI is there to start ranks."""
    if shutil.which("mpiexec") is None:
        raise UnsupportedError(
            f"ranks > 1 of backend {backend!r} needs mpiexec: install OpenMPI or MPICH"
        )


def run_in_folder(
    source: str, inputs: Arrays, weights: Arrays, folder: Path, what: str, start: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Run a script with its inputs and weights, `folder` being current; returns its outputs.

    `start` goes before the command, as `mpiexec -n 2`.
    """
    return run_and_listen(source, inputs, weights, what, folder, start)[0]


def run_and_listen(
    source: str,
    inputs: Arrays,
    weights: Arrays,
    what: str,
    folder: Path | None = None,
    start: Sequence[str] = (),
    progress: str | None = None,
) -> tuple[dict[str, np.ndarray], str]:
    """As `run_in_folder`, in a folder of its own if none is given; also returns what the script prints.

    Lines on standard error that match `progress` are passed on as they come.
    """
    with tempfile.TemporaryDirectory() as name:
        script, given, numbers, found = (
            Path(name) / file for file in ("script.py", "inputs.npz", "weights.npz", "outputs.npz")
        )
        script.write_text(source, encoding="utf-8")
        save_npz(given, inputs)
        save_npz(numbers, weights)
        files = [str(script), str(given), "-o", str(found), "--weights", str(numbers)]
        command = [*start, sys.executable, *files]
        # what libraries keep in a temporary folder goes with that of the script
        temporary = {} if folder else {"TMPDIR": name}
        said = run_command(command, folder or Path(name), what, progress, temporary)
        with np.load(found, allow_pickle=False) as outputs:
            return dict(outputs), said


def run_command(
    command: Sequence[str],
    folder: Path,
    what: str,
    progress: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What a command prints. UnsupportedError with the last words of one that fails."""
    known = {**_environment(), **(environment or {})}
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as printed,
        running(command, folder, known, stdout=printed) as process,
    ):
        errors = [*_passed_on(process, progress)]
        process.wait()
        printed.seek(0)
        said = printed.read()
    if process.returncode != 0:
        lines = "".join(errors).strip() or said
        words = [line.strip() for line in lines.splitlines() if re.search(r"\w", line)]
        raise UnsupportedError(f"{what} failed: {words[-1] if words else 'it said nothing'}")
    return said


def _passed_on(process: subprocess.Popen[str], progress: str | None) -> Iterator[str]:
    """The lines of a process on standard error; those on progress go to this one's at once."""
    assert process.stderr is not None
    for line in process.stderr:
        if progress and re.search(progress, line):
            sys.stderr.write(line)
        yield line


@contextmanager
def running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """A command and what it starts, all of which end with the block, with what it says as text.

    They are a process group: a signal that ends this process does not leave a simulator running.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        **options,
    ) as process:
        try:
            yield process
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[str]) -> None:
    """Ask a process group to end, and end it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
        os.killpg(process.pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """This process's, in which the tools beside its Python are found."""
    tools = Path(sys.executable).parent
    return {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"}
