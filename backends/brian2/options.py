"""What a user may choose of a Brian2 simulation: defaults of the emitted script and of its flags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from cortico.ir import SpecError
from cortico.ir.errors import near_name

TARGETS = ("numpy", "cython", "cpp_standalone")
METHODS = ("euler", "exponential_euler", "rk2", "rk4", "heun")


@dataclass(frozen=True)
class Options:
    """How a network is integrated. Times in ms; SpecError for what cannot be.

    `tau` replaces all membrane time constants by one; with `method="euler"` and `dt` equal to it a step
    is one synchronous update of all cells. Without `duration` the network runs until no rate moves by
    more than `tolerance` (relative to the largest).
    """

    target: str = "numpy"
    method: str = "exponential_euler"
    dt: float = 0.5
    tau: float | None = None
    tolerance: float = 1e-9
    duration: float | None = None

    def __post_init__(self) -> None:
        for name, choices in (("target", TARGETS), ("method", METHODS)):
            found = getattr(self, name)
            if found not in choices:
                raise SpecError(
                    f"option {name} of backend brian2 must be one of {', '.join(choices)}, "
                    f"found {found!r}{near_name(str(found), choices)}"
                )
        for name in ("dt", "tau", "tolerance", "duration"):
            found = getattr(self, name)
            if found is None and name in ("tau", "duration"):
                continue
            if not isinstance(found, int | float) or isinstance(found, bool) or not 0 < found < 1e9:
                raise SpecError(
                    f"option {name} of backend brian2 must be a positive number, found {found!r}"
                )

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Options:
        """Options by name. SpecError for a name that is none."""
        names = [field.name for field in fields(cls)]
        for name in given:
            if name not in names:
                raise SpecError(
                    f"backend brian2 has no option {name!r}{near_name(name, names)}; "
                    f"it has: {', '.join(names)}"
                )
        return cls(**given)  # type: ignore[arg-type]  # checked after

    def of_script(self) -> dict[str, object]:
        """What the script takes as arguments, with its defaults."""
        return dict(vars(self))
