"""Runs emitted source on MPI ranks, in processes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from cortico.backends.extras import require_library
from cortico.backends.linking import link
from cortico.backends.script_running import require_mpiexec, run_in_folder
from cortico.ir.options import OptionSet, whole

Arrays = Mapping[str, np.ndarray]

_TEMPLATE = "cortico.backends.numpy.template.on_ranks"
_MAIN = '\nif __name__ == "__main__":\n    main()\n'


@dataclass(frozen=True)
class Options(OptionSet):
    """How emitted code is run: `ranks` is the number of MPI processes, 1 is this process.

    A file for more than one takes a communicator, of any number of ranks.
    """

    owner = "backend numpy"

    ranks: Annotated[int, whole(1, 10**6)] = 1


def require_mpi() -> None:
    """UnsupportedError, in one line, when what many ranks need is missing."""
    require_library("ranks > 1 of backend 'numpy'", "mpi4py", "mpi")
    require_mpiexec("numpy")


def script_for(source: str) -> str:
    """An emitted file as a script for mpiexec."""
    return link(source + _MAIN, _TEMPLATE)


def run_on_ranks(source: str, inputs: Arrays, weights: Arrays, ranks: int) -> list[np.ndarray]:
    """What `attention` of emitted source gives on so many ranks: its outputs, in their order."""
    start = ["mpiexec", "-n", str(ranks)]
    what = f"emitted code on {ranks} ranks"
    outputs = run_in_folder(script_for(source), inputs, weights, Path.cwd(), what, start)
    return [outputs[f"arr_{k}"] for k in range(len(outputs))]
