"""What a user may choose of a NEST simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortico.backends.script_options import named, require_number


@dataclass(frozen=True)
class Options:
    """How a network is run. Times in ms; SpecError for what cannot be.

    `tau` is the time constant of all units but those that are divided. A stage runs until its units lack
    no more than the part `tolerance` of their way.
    """

    dt: float = 1.0
    tau: float = 0.3
    tolerance: float = 1e-15
    threads: int = 1

    def __post_init__(self) -> None:
        require_number("nest", "dt", self.dt, 1e-3, 1e3)
        require_number("nest", "tau", self.tau, 1e-6, 1e6)
        require_number("nest", "tolerance", self.tolerance, 1e-16, 0.1)
        require_number("nest", "threads", self.threads, 1, 1024, whole=True)

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Options:
        """Options by name. SpecError for a name that is none."""
        return cls(**named("nest", cls, given))
