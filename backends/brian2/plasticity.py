"""What learns in a network, and how: the plain facts that a script with plastic synapses is made of.

Every set of synapses that reads a tensor that learns changes by one product:

    dw/dt = -gain · (rate that the synapse brings) · (rate of the partner of its postsynaptic cell) / tau_w

The partner of a cell is the error neuron of the compartment that the synapse ends on; that of an error
neuron is the cell whose rate the synapse forwards brings. Both are joined one to one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from cortico.backends.brian2.options import Method
from cortico.ir import Gain, TensorRef, Weight
from cortico.ir.options import Help, OptionSet


@dataclass(frozen=True)
class Course(OptionSet):
    """How a script presents examples: its options, with their defaults. Times in ms."""

    owner = "learning in brian2"

    learning_rate: Annotated[float, Help("of one presentation")] = 0.01
    epochs: Annotated[int, Help("how often each example comes")] = 10
    seed: Annotated[int, Help("of the order of examples")] = 0
    window: Annotated[float, Help("ms in which weights change")] = 20.0
    settling: Annotated[float, Help("ms before (default: by depth)")] | None = None
    tolerance: Annotated[float, Help("how near it settles")] = 1e-3
    target: Annotated[Literal["numpy", "cython"], Help("what runs the network")] = "numpy"
    method: Annotated[Method, Help("how rates are integrated")] = "exponential_euler"
    dt: Annotated[float, Help("time step in ms")] = 1.0
    tau: Annotated[float, Help("one membrane time constant, in ms, for all")] | None = None


@dataclass(frozen=True)
class Reading:
    """Synapses that read a tensor that learns; without `projection`, a bias of a compartment."""

    weight: Weight  #: a gain times the tensor
    population: str  #: the postsynaptic cells
    compartment: str
    projection: str | None
    partner: str | None  #: population whose rates are brought here one to one; None: no error comes
    gain: Gain  #: of the rule
    own: bool  #: whether the changes of these synapses are the gradient; else they are copies
    distance: TensorRef | None = None  #: what a slope is multiplied with, at each cell


@dataclass(frozen=True)
class PlasticTensor:
    """A tensor that learns, and all that read it."""

    name: str
    readings: tuple[Reading, ...]
    decay: float
    shared: bool  #: whether several synapses have one entry, so that their changes must be added up

    def changes(self, reading: Reading) -> bool:
        """Whether synapses change by themselves; else they get the tensor's entries after each step."""
        return reading.own or not self.shared


@dataclass(frozen=True)
class Plasticity:
    """All that learns in a circuit."""

    tensors: tuple[PlasticTensor, ...]
    output_error: str  #: the population that fires output - target
    samples: str  #: the axis in time along which examples are presented

    @property
    def projections(self) -> frozenset[str]:
        """The projections that are plastic."""
        readings = (reading for tensor in self.tensors for reading in tensor.readings)
        return frozenset(r.projection for r in readings if r.projection is not None)

    def readings(self, population: str) -> list[tuple[PlasticTensor, Reading]]:
        """What learns at the cells of a population."""
        pairs = ((tensor, reading) for tensor in self.tensors for reading in tensor.readings)
        return [(t, r) for t, r in pairs if r.population == population]
