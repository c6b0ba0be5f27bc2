"""How circuits run in time: options of the reference, in ms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cortico.ir import SpecError
from cortico.ir.options import OptionSet, number

_TIME = number(1e-6, 1e9, "a positive number of ms")
#: Of a step, by which a time may miss a whole number of them.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Options(OptionSet):
    """How a circuit runs in time. Times in ms; SpecError for what cannot be.

    `tau` is one membrane time constant for all cells, 0 for cells that are at once what they hear makes them;
    by default each class has its own (`cell_types.csv`). With `token_ms` the first axis of inputs is time: each
    stimulus stays so long, and `duration` is that of all. A circuit has settled when no rate moves by more than
    `tolerance` of the largest that its population had, in the last tenth of a run (of its last stimulus) and in
    the longest delay.
    """

    owner = "backend reference"

    duration: Annotated[float, _TIME] | None = None
    dt: Annotated[float, _TIME] = 0.1
    tau: Annotated[float, number(0.0, 1e9, "0 or a positive number of ms")] | None = None
    prospective: bool = False
    token_ms: Annotated[float, _TIME] | None = None
    tolerance: Annotated[float, number(1e-15, 1.0, "a number from 1e-15 to 1")] = 1e-9

    def steps(self, name: str) -> int:
        """A time in steps. SpecError where it is no whole number of them."""
        time = float(getattr(self, name))
        steps = round(time / self.dt)
        if steps < 1 or abs(time / self.dt - steps) > ROUNDING:
            raise SpecError(
                f"{name} = {time:g} ms is no whole number of steps of dt = {self.dt:g} ms"
            )
        return steps


@dataclass(frozen=True)
class Course(Options):
    """The same, and rates kept `every` so many ms: at about each ms by default."""

    owner = "run in time"

    every: Annotated[float, _TIME] | None = None
