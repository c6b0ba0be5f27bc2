"""What a user may choose of a NEURON simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cortico.backends.cells.timed import TimedOptions
from cortico.ir.options import Help, number, whole


@dataclass(frozen=True)
class Options(TimedOptions):
    """How a network is integrated (backward Euler). Times in ms; SpecError for what cannot be.

    `tau` replaces all membrane time constants by one. The network runs until no compartment is further
    from rest than `tolerance`, over the largest voltage of its kind. With axes in time each token
    stays for `token_ms`, or until that holds. `ranks` is the number of MPI
    processes of a run.
    """

    owner = "backend neuron"

    dt: Annotated[float, number(1e-6, 1e8), Help("time step in ms")] = 0.5
    tau: (
        Annotated[float, number(1e-6, 1e9), Help("one membrane time constant, in ms, for all")]
        | None
    ) = None
    tolerance: Annotated[
        float, number(1e-13, 1), Help("stop when nothing is further from rest")
    ] = 1e-10
    ranks: Annotated[int, whole(1, 10**6)] = 1
