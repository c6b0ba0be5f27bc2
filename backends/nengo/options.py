"""What a user may choose of a Nengo simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cortico.backends.cells.timed import TimedOptions
from cortico.ir.options import Help, Only, number, whole

_SPIKING = Only("neurons", "lif")


@dataclass(frozen=True)
class Options(TimedOptions):
    """How a model is run. Times in seconds, as Nengo has them; SpecError for what cannot be.

    `neurons="direct"` computes exactly, in one step. `"lif"` represents the compartments of each cell by
    `neurons_per_dimension` leaky integrate-and-fire neurons a compartment, whose synapses decay in
    `synapse`, runs for `time` and averages over the second half. The other options are those of `"lif"`, and `dt` that of
    models that run in time, too.
    """

    owner = "backend nengo"

    neurons: Annotated[Literal["direct", "lif"], Help("exact, or spiking")] = "direct"
    neurons_per_dimension: Annotated[
        int, whole(1, 10**6), _SPIKING, Help("LIF neurons per compartment")
    ] = 200
    synapse: Annotated[
        float, number(1e-6, 10), _SPIKING, Help("time constant of synapses in s")
    ] = 0.02
    time: Annotated[
        float, number(1e-3, 1e4), _SPIKING, Help("time to run spiking neurons, in s")
    ] = 1.0
    dt: Annotated[float, number(1e-6, 0.1), Help("time step in s")] = 0.001
    seed: Annotated[int, whole(0, 2**31 - 1), _SPIKING, Help("seed of the neurons")] = 0

    @property
    def spiking(self) -> bool:
        return self.neurons == "lif"

    @property
    def to_spike(self) -> str:
        return "neurons=lif has spikes"

    @property
    def step_ms(self) -> float:
        return 1e3 * self.dt
