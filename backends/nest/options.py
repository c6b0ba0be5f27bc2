"""What a user may choose of a NEST simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cortico.backends.cells.timed import TimedOptions
from cortico.ir.options import Help, number, whole


@dataclass(frozen=True)
class Options(TimedOptions):
    """How a network is run. Times in ms; SpecError for what cannot be.

    `tau` is the time constant of all units but those that are divided. A stage runs until its units lack
    no more than the part `tolerance` of their way.
    """

    owner = "backend nest"

    dt: Annotated[float, number(1e-3, 1e3), Help("time step in ms")] = 1.0
    tau: Annotated[float, number(1e-6, 1e6), Help("time constant of all units in ms")] = 0.3
    tolerance: Annotated[
        float, number(1e-16, 0.1), Help("part of its way that a stage may lack")
    ] = 1e-15
    threads: Annotated[int, whole(1, 1024), Help("threads of NEST")] = 1
