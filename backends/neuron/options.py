"""What a user may choose of a NEURON simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortico.backends.script_options import named, require_number


@dataclass(frozen=True)
class Options:
    """How a network is integrated (backward Euler). Times in ms; SpecError for what cannot be.

    `tau` replaces all membrane time constants by one. The network runs until no compartment is further
    from rest than `tolerance`, over the largest voltage of its kind. `ranks` is the number of MPI
    processes of a run.
    """

    dt: float = 0.5
    tau: float | None = None
    tolerance: float = 1e-10
    ranks: int = 1

    def __post_init__(self) -> None:
        require_number("neuron", "dt", self.dt, 1e-6, 1e8)
        if self.tau is not None:
            require_number("neuron", "tau", self.tau, 1e-6, 1e9)
        require_number("neuron", "tolerance", self.tolerance, 1e-13, 1)
        require_number("neuron", "ranks", self.ranks, 1, 10**6, whole=True)

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Options:
        """Options by name. SpecError for a name that is none."""
        return cls(**named("neuron", cls, given))

    def of_script(self) -> dict[str, object]:
        """What the script takes as arguments, with its defaults."""
        return {"dt": self.dt, "tau": self.tau, "tolerance": self.tolerance}
