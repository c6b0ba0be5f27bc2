"""Runs emitted source on MPI ranks, in processes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np

from cortico.backends.extras import require_library
from cortico.backends.script_running import require_mpiexec, run_in_folder
from cortico.ir.options import OptionSet, whole

Arrays = Mapping[str, np.ndarray]

#: What turns an emitted file into a script for mpiexec. A rank that fails ends all others.
MAIN = """

if __name__ == "__main__":
    import sys
    import traceback
    from mpi4py import MPI

    def numbers(path):
        return dict(np.load(path, allow_pickle=False))

    _, given, _, found, _, stored_weights = sys.argv
    try:
        result = attention(**numbers(given), weights=numbers(stored_weights), comm=MPI.COMM_WORLD)
    except BaseException:
        traceback.print_exc()
        MPI.COMM_WORLD.Abort(1)
    if MPI.COMM_WORLD.Get_rank() == 0:
        np.savez(found, *(result if isinstance(result, tuple) else (result,)))
"""


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


def run_on_ranks(source: str, inputs: Arrays, weights: Arrays, ranks: int) -> list[np.ndarray]:
    """What `attention` of emitted source gives on so many ranks: its outputs, in their order."""
    start = ["mpiexec", "-n", str(ranks)]
    what = f"emitted code on {ranks} ranks"
    outputs = run_in_folder(source + MAIN, inputs, weights, Path.cwd(), what, start)
    return [outputs[f"arr_{k}"] for k in range(len(outputs))]
