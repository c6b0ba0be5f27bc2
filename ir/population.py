"""Populations and projections: the two nouns of a circuit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from cortico.ir.domain import EVERYWHERE, Domain
from cortico.ir.regions import CellClass, Region
from cortico.ir.tensors import TensorRef, Weight


class Effect(StrEnum):
    """How a compartment acts on its neuron's rate."""

    MULTIPLIES = "multiplies"
    DIVIDES = "divides"


@dataclass(frozen=True)
class Compartment:
    """A dendritic compartment: `I = Σ drive + Σ over its synapses of weight · presynaptic rate`.

    `drive` holds what does not come from neurons of the circuit: constants, biases (parameters) and
    external inputs, each over axes of the population.
    """

    name: str
    effect: Effect = Effect.MULTIPLIES
    drive: tuple[Weight, ...] = ()


@dataclass(frozen=True)
class Integration:
    """Cells that integrate: `dr/dt = rate · φ(I)`, from `start` on; φ(I) is what they would fire else.

    `rate` is a number per ms. At rest their I is where φ is 0, whatever they were before.
    """

    rate: float
    start: float = 0.0

    def __str__(self) -> str:
        return f"{self.rate} per ms{f' from {self.start}' if self.start else ''}"


class DelayUnit(StrEnum):
    """What a delay is counted in."""

    MS = "ms"
    STEPS = "steps"  #: of the clock of a run, one at least


@dataclass(frozen=True)
class Delay:
    """How long a spike travels: what a cell hears is what its source handed on that long before."""

    amount: float
    unit: DelayUnit = DelayUnit.MS

    def __str__(self) -> str:
        number = int(self.amount) if self.unit is DelayUnit.STEPS else self.amount
        return f"{number} {self.unit}"


@dataclass(frozen=True)
class Population:
    """Neurons of one cell class in one region, one per index tuple of `axes` inside `domain`.

    `rate = transfer(Π multiplying compartments / Π dividing compartments)`. Division by zero gives
    zero, so that factors and divisors may be applied in any order.

    With `integrates` the cells integrate what would be their rate.

    `path` is that of the block of a network to which it belongs, such as `layer[3].attention`.
    """

    name: str
    axes: tuple[str, ...]
    region: Region
    cell_class: CellClass
    compartments: tuple[Compartment, ...]
    transfer: str = "identity"
    domain: Domain = EVERYWHERE
    path: str = ""
    integrates: Integration | None = None

    def compartment(self, name: str) -> Compartment:
        """The compartment called `name`. KeyError when there is none."""
        for compartment in self.compartments:
            if compartment.name == name:
                return compartment
        raise KeyError(name)


@dataclass(frozen=True)
class Projection:
    """Synapses from one population onto one compartment of another, as an index relation.

    A synapse joins every pair of neurons that agree on the axes both populations have and lie in
    `domain`. Axes that only `pre` has are summed (convergence), axes that only `post` has are
    broadcast (divergence).

    `at` are the axes that `pre` is read at, in the order of its own: `relay` over [i, m] read at (j, m)
    is relay[j, m], keys of source tokens. Empty: its own. `Circuit.heard` is the population so read.

    `delay` is how long a signal takes; None is the shortest time that a run knows.
    """

    name: str
    pre: str
    post: str
    compartment: str
    weight: Weight = Weight()
    domain: Domain = EVERYWHERE
    at: tuple[str, ...] = ()
    delay: Delay | None = None

    def plain(self, pre: Population) -> Projection:
        """The same, without the axes that it reads `pre` at where they are its own."""
        return replace(self, at=()) if self.at == pre.axes else self

    @property
    def source(self) -> str:
        """What it reads, as the text form says it: `relay`, or `relay[j, m]` at other axes."""
        return str(TensorRef(self.pre, self.at)) if self.at else self.pre
