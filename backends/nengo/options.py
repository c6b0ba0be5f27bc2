"""What a user may choose of a Nengo simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from cortico.backends.script_options import named, require_apart, require_choice, require_number

NEURONS = ("direct", "lif")


@dataclass(frozen=True)
class Options:
    """How a model is run. Times in seconds, as Nengo has them; SpecError for what cannot be.

    `neurons="direct"` computes exactly, in one step. `"lif"` represents the compartments of each cell by
    `neurons_per_dimension` leaky integrate-and-fire neurons a compartment, whose synapses decay in
    `synapse`, runs for `time` and averages over the second half. The other options are those of `"lif"`.
    """

    neurons: str = "direct"
    neurons_per_dimension: int = 200
    synapse: float = 0.02
    time: float = 1.0
    dt: float = 0.001
    seed: int = 0

    def __post_init__(self) -> None:
        require_choice("nengo", "neurons", self.neurons, NEURONS)
        number = self.neurons_per_dimension
        require_number("nengo", "neurons_per_dimension", number, 1, 1e6, whole=True)
        require_number("nengo", "synapse", self.synapse, 1e-6, 10)
        require_number("nengo", "time", self.time, 1e-3, 1e4)
        require_number("nengo", "dt", self.dt, 1e-6, 0.1)
        require_number("nengo", "seed", self.seed, 0, 2**31 - 1, whole=True)

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Options:
        """Options by name. SpecError for a name that is none."""
        options = cls(**named("nengo", cls, given))
        if options.neurons != "lif":
            others = [field.name for field in fields(cls) if field.name != "neurons"]
            require_apart("nengo", given, others, "neurons=lif")
        return options
