"""What a network takes in a simulator, counted before anything is built, and whether it fits the memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
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
class Cost:
    """Bytes of a process without a network, of a neuron, of a synapse, and of a pair of dendrites in one population."""

    process: float
    neuron: float
    synapse: float
    pair: float = 0.0


#: By backend, as `python benchmarks/simulator_memory.py brian2 nest nengo` measured them. What neurons of Brian2 take is
#: lost beside their synapses; a neuron is several units of NEST. A population of Nengo is one ensemble with as many
#: dimensions as dendrites, and holds a square matrix of these: 12.6 and 13.4 bytes a pair were found at two sizes,
#: beside which the rest is lost. NEURON and ANNarchy are not measured yet, and not refused.
COSTS: Mapping[str, Cost] = {
    "brian2": Cost(151e6, 0.0, 39.0),
    "nest": Cost(97e6, 34e3, 10.0),
    "nengo": Cost(85e6, 0.0, 0.0, 13.0),
}


@dataclass(frozen=True)
class Estimate:
    """The size of a network in a simulator: exact counts, and bytes to an order of magnitude."""

    title: str  #: the simulator's
    neurons: int
    synapses: int
    bytes: float

    def __str__(self) -> str:
        return (
            f"{in_words(self.neurons)} neurons, {in_words(self.synapses)} synapses, "
            f"about {self.bytes / _GB:.2g} GB"
        )

    def require_room(self, free: float) -> None:
        """UnsupportedError when the network takes more than the `free` bytes."""
        if self.bytes > free:
            raise UnsupportedError(
                f"the {self.title} network would have {in_words(self.neurons)} neurons and "
                f"{in_words(self.synapses)} synapses and need about {self.bytes / _GB:.2g} GB, "
                f"{free / _GB:.2g} GB are free; fewer tokens, a smaller vocabulary (restrict_vocabulary) or "
                "only some layers (--layers) make it smaller, option size=any builds it all the same"
            )


def estimate(
    name: str, title: str, circuit: Circuit, symbols: Mapping[str, int], cells: int = 1
) -> Estimate | None:
    """The size of a circuit in the backend `name`, where its symbols have these sizes; None for one never measured.

    A neuron of the circuit is `cells` of the simulator. Nothing is listed: counts are closed forms.
    """
    cost = COSTS.get(name)
    if cost is None:
        return None
    counts = (circuit.bind(**symbols) if symbols else circuit).counts()
    neurons, synapses = int(counts.neurons), int(counts.synapses)
    pairs = sum(
        (len(p.compartments) * int(counts.neurons_of[p.name])) ** 2 for p in circuit.populations
    )
    held = cost.process + cost.neuron * cells * neurons + cost.synapse * synapses
    held += cost.pair * pairs
    return Estimate(title, neurons * cells, synapses, held)


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
