"""What a user may choose of a Brian2 simulation: defaults of the emitted script and of its flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortico.backends.script_options import named, require_apart
from cortico.ir import SpecError
from cortico.ir.errors import near_name, shown

TARGETS = ("numpy", "cython", "cpp_standalone")
METHODS = ("euler", "exponential_euler", "rk2", "rk4", "heun")
CELLS = ("rate", "lif")
FORMS = ("synapses", "fast")

#: Options of spiking cells only.
_SPIKING = ("neurons", "peak", "synapse", "seed")


@dataclass(frozen=True)
class Options:
    """How a network is integrated. Times in ms; SpecError for what cannot be.

    `tau` replaces all membrane time constants by one; with `method="euler"` and `dt` equal to it a step
    is one synchronous update of all cells. Without `duration` the network runs until no rate moves by
    more than `tolerance` (relative to the largest). A circuit with axes in time takes no `duration`: each
    token stays until what it drives has settled.

    `form="synapses"` makes each synapse, `"fast"` takes products of arrays instead.

    `cells="lif"` puts `neurons` leaky integrate-and-fire cells in place of each rate unit. They fire at up
    to `peak` Hz, their synapses decay in `synapse` ms, and they run for `duration` ms (1000 when not
    given); rates are averaged over the second half. `seed` draws where in their cycle they start.
    """

    target: str = "numpy"
    method: str = "exponential_euler"
    dt: float = 0.5
    tau: float | None = None
    tolerance: float = 1e-9
    duration: float | None = None
    form: str = "synapses"
    cells: str = "rate"
    neurons: int = 100
    peak: float = 100.0
    synapse: float = 50.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, choices in (
            ("target", TARGETS),
            ("method", METHODS),
            ("cells", CELLS),
            ("form", FORMS),
        ):
            found = getattr(self, name)
            if found not in choices:
                raise SpecError(
                    f"option {name} of backend brian2 must be one of {', '.join(choices)}, "
                    f"found {shown(found)}{near_name(str(found), choices)}"
                )
        for name in ("dt", "tau", "tolerance", "duration", "peak", "synapse"):
            if getattr(self, name) is not None or name not in ("tau", "duration"):
                self._require(name, 1e-12, 1e9, "a positive number", (int, float))
        self._require("neurons", 1, 10**6, "a number from 1 on", (int,))
        self._require("seed", 0, 2**32 - 1, "a number from 0 to 2^32 - 1", (int,))
        if self.form == "fast" and self.target == "cpp_standalone":
            raise SpecError("form=fast of backend brian2 runs on target numpy or cython, not C++")
        if self.cells == "lif" and self.method != "exponential_euler":
            raise SpecError("cells=lif of backend brian2 is integrated by exponential_euler only")
        if self.cells == "lif" and self.target == "cpp_standalone":
            raise SpecError("cells=lif of backend brian2 runs on target numpy or cython, not C++")

    def _require(
        self, name: str, low: float, high: float, what: str, kinds: tuple[type, ...]
    ) -> None:
        found = getattr(self, name)
        fits = isinstance(found, kinds) and not isinstance(found, bool)
        if not fits or not low <= float(found) <= high:
            raise SpecError(f"option {name} of backend brian2 must be {what}, found {shown(found)}")

    @property
    def compiles(self) -> bool:
        """Whether the network can be a C++ program, which no Python function takes part in."""
        return self.form == "synapses" and self.cells == "rate"

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Options:
        """Options by name. SpecError for a name that is none."""
        options = cls(**named("brian2", cls, given))
        if options.cells != "lif":
            require_apart("brian2", given, _SPIKING, "cells=lif")
        return options

    def of_script(self, in_time: bool) -> dict[str, object]:
        """What the script takes as arguments, with its defaults."""
        left_out = {"form", "cells", *(() if self.cells == "lif" else _SPIKING)}
        left_out |= {"duration"} if in_time else set()
        return {name: value for name, value in vars(self).items() if name not in left_out}
