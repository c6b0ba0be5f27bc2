"""What a user may choose of an ANNarchy simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortico.backends.script_options import named, require_number

#: Where ANNarchy makes its folder: the current one, as it does without being told.
FOLDER = "."


@dataclass(frozen=True)
class Options:
    """How a network is integrated (exponential Euler). Times in ms; SpecError for what cannot be.

    `tau` replaces all membrane time constants by one. The network runs until no rate is further from
    rest than `tolerance`, over the largest of its population.
    """

    dt: float = 0.5
    tau: float | None = None
    tolerance: float = 1e-10
    threads: int = 1

    def __post_init__(self) -> None:
        require_number("annarchy", "dt", self.dt, 1e-6, 1e8)
        if self.tau is not None:
            require_number("annarchy", "tau", self.tau, 1e-6, 1e9)
        require_number("annarchy", "tolerance", self.tolerance, 1e-13, 1)
        require_number("annarchy", "threads", self.threads, 1, 1024, whole=True)

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Options:
        """Options by name. SpecError for a name that is none."""
        return cls(**named("annarchy", cls, given))

    def of_script(self) -> dict[str, object]:
        """What the script takes as arguments, with its defaults."""
        return {**vars(self), "folder": FOLDER}
