"""What a user may choose of an ANNarchy simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cortico.backends.cells.timed import TimedOptions
from cortico.ir.options import Help, number, whole


@dataclass(frozen=True)
class Options(TimedOptions):
    """How a network is integrated (exponential Euler). Times in ms; SpecError for what cannot be.

    `tau` replaces all membrane time constants by one. The network runs until no rate is further from
    rest than `tolerance`, over the largest of its population.
    """

    owner = "backend annarchy"

    dt: Annotated[float, number(1e-6, 1e8), Help("time step in ms")] = 0.5
    tau: (
        Annotated[float, number(1e-6, 1e9), Help("one membrane time constant, in ms, for all")]
        | None
    ) = None
    tolerance: Annotated[
        float, number(1e-13, 1), Help("stop when nothing is further from rest")
    ] = 1e-10
    threads: Annotated[int, whole(1, 1024), Help("threads of ANNarchy")] = 1
