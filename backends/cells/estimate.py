"""What a network takes in a simulator, counted before anything is built, and whether it fits the memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cortico.ir import Circuit, UnsupportedError
from cortico.ir.options import OptionSet

_GB = 1e9


@dataclass(frozen=True)
class SizedOptions(OptionSet):
    """Options of a simulator. `size="any"` builds a network also where memory would seem not to hold it."""

    size: Literal["checked", "any"] = "checked"


@dataclass(frozen=True)
class Pace:
    """Seconds of one processor: before the first step, to build a neuron and a synapse, of a step and what it does."""

    start: float
    neuron: float = 0.0
    synapse: float = 0.0
    step: float = 0.0
    neuron_step: float = 0.0
    synapse_step: float = 0.0

    def seconds(self, neurons: float, synapses: float, steps: float) -> float:
        """Of a network that is built and runs for so many steps."""
        built = self.start + self.neuron * neurons + self.synapse * synapses
        step = self.step + self.neuron_step * neurons + self.synapse_step * synapses
        return built + steps * step


@dataclass(frozen=True)
class Cost:
    """Bytes of a process without a network, of a neuron and of a synapse; and seconds.

    `pair` is of a pair of dendrites in one population; `making` of a synapse of the largest object of synapses,
    while that is made. `code` are bytes and seconds of a compiler for each projection.
    """

    process: float
    neuron: float
    synapse: float
    pace: Pace
    pair: float = 0.0
    making: float = 0.0
    code: tuple[float, float] = (0.0, 0.0)


#: By simulator, and by target of Brian2. NEURON, NEST and ANNarchy: `python benchmarks/simulator_scale.py`, two equations
#: for neurons and synapses each; Brian2 and Nengo: `python benchmarks/simulator_memory.py brian2 nengo`, paces of
#: Brian2 `python benchmarks/brian2_speed.py`. A synapse of Brian2 has two numbers of cells and a weight (16 bytes, 12
#: with precision=float32), and `connect` takes 36 more while it makes those of a Synapses; in C++ Python and the
#: program hold 90 together. A population of Nengo is one ensemble with as many dimensions as dendrites, and holds a square matrix of
#: these, beside which the rest is lost. A neuron is several units of NEST (23 to 34 kB) and sections of NEURON.
#: The compiler of ANNarchy's networks takes most: 4.4 GB and 100 s without optimisation for 79 projections, once seen.
COSTS: Mapping[str, Cost] = {
    "brian2 numpy": Cost(151e6, 250.0, 16.0, Pace(3.0, 1e-6, 9e-8, 5e-3, 5e-8, 9e-9), making=36.0),
    "brian2 cython": Cost(
        200e6, 250.0, 16.0, Pace(90.0, 1e-6, 9e-8, 2e-3, 5e-8, 3e-9), making=36.0
    ),
    "brian2 cpp_standalone": Cost(150e6, 250.0, 90.0, Pace(60.0, 1e-6, 2e-7, 1e-4, 5e-8, 3e-9)),
    "brian2 fast": Cost(151e6, 250.0, 0.0, Pace(3.0, 1e-6, 0.0, 5e-3, 5e-8, 1e-9)),
    "neuron": Cost(100e6, 7.5e3, 774.0, Pace(10.0, 6e-5, 7e-6, 0.0, 6e-7, 7e-8)),
    "nest": Cost(97e6, 27e3, 70.0, Pace(1.0, 1.5e-4, 3e-7, 0.0, 2.2e-6, 1.8e-8)),
    "annarchy": Cost(100e6, 311.0, 54.0, Pace(5.0, 0.0, 4e-6, 0.0, 3e-9, 9e-10), code=(55e6, 2.4)),
    "nengo": Cost(85e6, 0.0, 0.0, Pace(1.0, 0.0, 2e-6), pair=13.0),
}


@dataclass(frozen=True)
class Estimate:
    """The size of a network in a simulator: exact counts; bytes, and seconds of one processor, to an order of magnitude.

    `seconds` is None where it is not known how long the network runs.
    """

    title: str  #: the simulator's
    neurons: int
    synapses: int
    bytes: float
    seconds: float | None = field(default=None)

    def __str__(self) -> str:
        return (
            f"{in_words(self.neurons)} neurons, {in_words(self.synapses)} synapses, "
            f"about {self._takes()}"
        )

    def _takes(self) -> str:
        """`21 GB and 12 min`."""
        held = gigabytes(self.bytes)
        return held if self.seconds is None else f"{held} and {time_in_words(self.seconds)}"

    def require_room(self, free: float) -> None:
        """UnsupportedError when the network takes more than the `free` bytes."""
        if self.bytes > free:
            raise UnsupportedError(
                f"the {self.title} network would have {in_words(self.neurons)} neurons and "
                f"{in_words(self.synapses)} synapses and need about {self._takes()}, "
                f"{gigabytes(free)} are free; fewer tokens, a smaller vocabulary (restrict_vocabulary) or "
                "only some layers (--layers) make it smaller, option size=any builds it all the same"
            )


def estimate(
    cost: Cost,
    title: str,
    circuit: Circuit,
    steps: float | None,
    cells: int = 1,
    largest: int = 0,
) -> Estimate:
    """The size of a circuit, whose sizes are numbers, in a simulator of this cost, and how long so many steps take.

    A neuron of the circuit is `cells` of the simulator; its largest object of synapses holds so many. Nothing is
    listed: counts are closed forms.
    """
    counts = circuit.counts()
    neurons, synapses = cells * int(counts.neurons), int(counts.synapses)
    pairs = sum(
        (len(p.compartments) * int(counts.neurons_of[p.name])) ** 2 for p in circuit.populations
    )
    held = cost.process + cost.neuron * neurons + cost.synapse * synapses
    held += cost.pair * pairs + cost.making * largest
    compiler, compiling = (each * len(circuit.projections) for each in cost.code)
    held = max(held, compiler)
    seconds = None if steps is None else compiling + cost.pace.seconds(neurons, synapses, steps)
    return Estimate(title, neurons, synapses, held, seconds)


def free_memory() -> float:
    """Bytes that a process can take now: what Linux says is available, else what is free."""
    told = Path("/proc/meminfo")
    if told.is_file():
        for line in told.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def in_words(number: int) -> str:
    """`6,010`, or `117 million`."""
    return f"{number:,}" if number < 10**6 else f"{number / 10**6:,.3g} million"


def gigabytes(number: float) -> str:
    """`0.15 GB`, `21 GB`, or `1,600 GB`."""
    return f"{float(f'{number / _GB:.2g}'):,g} GB"


def time_in_words(seconds: float) -> str:
    """`40 s`, `12 min`, or `3.2 h`."""
    units = ((3600.0, "h"), (60.0, "min"))
    size, unit = next(((s, u) for s, u in units if seconds >= 2 * s), (1.0, "s"))
    return f"{float(f'{max(seconds / size, 1):.2g}'):,g} {unit}"
