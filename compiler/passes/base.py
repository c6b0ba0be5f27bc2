"""What a pass is: a valid circuit in, a valid circuit out; or a network, where it looks across wires."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self, TypeVar

from cortico.ir import Circuit
from cortico.ir.counts import Count
from cortico.ir.network import Network
from cortico.ir.options import OptionSet

_Stage = TypeVar("_Stage", bound=Circuit | Network)

#: Size assumed for a symbolic axis when a pass weighs costs.
NOMINAL_SIZE = 1024


@dataclass(frozen=True)
class AnyPass(OptionSet):
    """A rewrite. Its fields are its options; its docstring states its equation.

    An exact pass keeps every output for every input. An approximate one states and measures its
    error. `run` returns the very same object when there was nothing to do.
    """

    name: ClassVar[str]  #: the file's name with dashes, and the name on the command line
    exact: ClassVar[bool] = True
    #: Passes that must come earlier in a pipeline that has both.
    after: ClassVar[tuple[str, ...]] = ()
    #: Whether it keeps the whole way of a circuit that lives in time: no cell more on the way to an output.
    in_time: ClassVar[bool] = False
    #: Whether a named pipeline brought it: where it does not hold it is then left out, else refused.
    of_pipeline: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        cls.owner = f"pass {getattr(cls, 'name', '')}"

    def __str__(self) -> str:
        options = ", ".join(f"{f.name}={getattr(self, f.name)}" for f in fields(self))
        return f"{self.name}({options})" if options else self.name

    def in_pipeline(self) -> Self:
        """The same pass, brought by a named pipeline."""
        member = copy.copy(self)
        object.__setattr__(member, "of_pipeline", True)  # no option: it is equal to the pass
        return member


@dataclass(frozen=True)
class Pass(AnyPass):
    """A rewrite of circuits; of a network, of each block."""

    def run(self, circuit: Circuit) -> Circuit:
        """The rewritten circuit, or `circuit` itself."""
        raise NotImplementedError

    def stages(self, circuit: Circuit) -> Iterator[Circuit]:
        """The circuit after each small step of `run`, the last being what it returns.

        Small steps are easier to validate: a pass that makes several yields them one by one.
        """
        yield self.run(circuit)

    def cost(self, circuit: Circuit) -> Count:
        """What this pass never makes larger; by default the number of synapses."""
        return circuit.counts().synapses

    def error_bound(self, before: Circuit, after: Circuit) -> float:
        """How far an approximate pass may have moved what its docstring says; 0 for exact ones."""
        return 0.0


@dataclass(frozen=True)
class NetworkPass(AnyPass):
    """A rewrite of networks that looks across their wires. Exact; comes before all passes of blocks.

    Paths, inputs and outputs of the network stay, but for blocks that go.
    """

    def run(self, network: Network) -> Network:
        """The rewritten network, or `network` itself."""
        raise NotImplementedError

    def stages(self, network: Network) -> Iterator[Network]:
        """The network after each small step of `run`, the last being what it returns."""
        yield self.run(network)

    def left_alone(self, network: Network) -> Mapping[str, str]:
        """Where it finds what it is for, but does nothing: path to the reason."""
        return {}


def last(given: _Stage, stages: Iterator[_Stage]) -> _Stage:
    """The last of several stages of a circuit or a network; `given` itself when there are none."""
    return deque([given, *stages], maxlen=1).pop()


def nominal(circuit: Circuit) -> Circuit:
    """`circuit` with every symbolic size set to `NOMINAL_SIZE`, for comparing costs as numbers."""
    return (
        circuit.bind(**dict.fromkeys(circuit.symbols, NOMINAL_SIZE)) if circuit.symbols else circuit
    )
