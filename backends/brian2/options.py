"""What a user may choose of a Brian2 simulation: defaults of the emitted script and of its flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from cortico.backends.cells.timed import TimedOptions
from cortico.ir import SpecError
from cortico.ir.options import Help, Only, hints, marks, number, whole

Method = Literal["euler", "exponential_euler", "rk2", "rk4", "heun"]

_SPIKING = Only("cells", "lif")
_POSITIVE = number(1e-12, 1e9, "a positive number")


@dataclass(frozen=True)
class Options(TimedOptions):
    """How a network is integrated. Times in ms; SpecError for what cannot be.

    `tau` replaces all membrane time constants by one; with `method="euler"` and `dt` equal to it a step
    is one synchronous update of all cells. Without `duration` the network runs until no rate moves by
    more than `tolerance` (relative to the largest). A circuit with axes in time takes no `duration`: each
    token stays for `token_ms`, or until what it drives has settled.

    `form="synapses"` makes each synapse, `"fast"` takes products of arrays instead. With
    `precision="float32"` synapses hold their weights in 4 bytes: nothing is lost of weights that are stored so.

    `cells="lif"` puts `neurons` leaky integrate-and-fire cells in place of each rate unit. They fire at up
    to `peak` Hz, their synapses decay in `synapse` ms, and they run for `duration` ms (1000 when not
    given); rates are averaged over the second half. `seed` draws where in their cycle they start.
    """

    owner = "backend brian2"

    target: Literal["numpy", "cython", "cpp_standalone"] = "numpy"
    method: Annotated[Method, Help("how rates are integrated")] = "exponential_euler"
    dt: Annotated[float, _POSITIVE, Help("time step in ms")] = 0.5
    tau: Annotated[float, _POSITIVE, Help("one membrane time constant, in ms, for all")] | None = (
        None
    )
    tolerance: Annotated[float, _POSITIVE, Help("stop when nothing moves more")] = 1e-9
    form: Literal["synapses", "fast"] = "synapses"
    precision: Literal["float64", "float32"] = "float64"
    cells: Literal["rate", "lif"] = "rate"
    neurons: Annotated[
        int,
        whole(1, 10**6, "a number from 1 on"),
        _SPIKING,
        Help("spiking cells for each rate"),
    ] = 100
    peak: Annotated[float, _POSITIVE, _SPIKING, Help("highest firing rate in Hz")] = 100.0
    synapse: Annotated[float, _POSITIVE, _SPIKING, Help("synaptic decay in ms (placeholder)")] = (
        50.0
    )
    seed: Annotated[
        int,
        whole(0, 2**32 - 1, "a number from 0 to 2^32 - 1"),
        _SPIKING,
        Help("draws where in their cycle cells start"),
    ] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.form == "fast" and self.target == "cpp_standalone":
            raise SpecError("form=fast of backend brian2 runs on target numpy or cython, not C++")
        if self.cells == "lif" and self.method != "exponential_euler":
            raise SpecError("cells=lif of backend brian2 is integrated by exponential_euler only")
        if self.cells == "lif" and self.target == "cpp_standalone":
            raise SpecError("cells=lif of backend brian2 runs on target numpy or cython, not C++")

    @property
    def spiking(self) -> bool:
        return self.cells == "lif"

    @property
    def to_spike(self) -> str:
        return "cells=lif has spikes"

    @property
    def compiles(self) -> bool:
        """Whether the network can be a C++ program, which no Python function takes part in."""
        return self.form == "synapses" and self.cells == "rate"

    @property
    def targets(self) -> list[str]:
        """The targets that the script can be told to run on."""
        every = get_args(hints(Options)["target"])
        return [each for each in every if self.compiles or each != "cpp_standalone"]

    def of_script(self, presented: bool) -> dict[str, object]:
        """What the script takes as arguments, with its defaults."""
        left_out = {
            "form",
            "precision",
            "cells",
            *hints(TimedOptions),
            *(() if self.cells == "lif" else marks(Options, Only)),
        }
        found: dict[str, object] = {}
        for name, value in vars(self).items():
            if name not in left_out:
                found[name] = value
            if name == "tolerance":
                timed = ("token_ms", "prospective") if presented else ("duration",)
                found |= {option: vars(self)[option] for option in timed}
        return found
