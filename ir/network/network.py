"""The network: circuits at paths, joined by wires. A frozen value, as circuits are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from cortico.ir.circuit import Circuit
from cortico.ir.errors import CircuitError, clipped, near_name, shown
from cortico.ir.paths import NAME, level_of
from cortico.ir.rewrite import fresh, with_values
from cortico.ir.tensors import Input, equal_arrays, memory

if TYPE_CHECKING:
    from cortico.ir.atlas import Area
    from cortico.ir.counts import Count, Counts
    from cortico.ir.population import Population

#: Characters of a list of paths in an error.
_LONGEST = 1000


@dataclass(frozen=True)
class Node:
    """A block of a network: a circuit and, where it has numbers, its set of weights.

    Equal blocks share one circuit, and what numbers it has, such as the frequencies of rotary embedding.
    `values` (parameter name to array) are of the parameters that it leaves open, for this node alone.
    Two nodes are equal when path and circuit are and the arrays are.
    """

    path: str
    circuit: Circuit
    values: Mapping[str, np.ndarray] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, hash=False, repr=False
    )

    @cached_property
    def open(self) -> tuple[str, ...]:
        """The parameters of the circuit that have neither values nor a formula there."""
        plain = (p for p in self.circuit.parameters if p.formula is None)
        return tuple(p.name for p in plain if p.values is None)

    @cached_property
    def whole(self) -> Circuit:
        """Its circuit with all numbers that it has."""
        return with_values(self.circuit, self.values) if self.values else self.circuit

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        same = (self.path, self.circuit) == (other.path, other.circuit)
        same = same and self.values.keys() == other.values.keys()
        return same and all(equal_arrays(v, other.values[n]) for n, v in self.values.items())

    def __hash__(self) -> int:
        return hash((self.path, self.circuit))


@dataclass(frozen=True)
class Port:
    """An input or an output of the node at `path`; of the network itself where there is no path."""

    name: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.path}.{self.name}" if self.path else self.name


@dataclass(frozen=True)
class Wire:
    """What feeds an input of a node: an output of another, or an input of the network."""

    source: Port
    target: Port

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


@dataclass(frozen=True)
class NetworkOutput:
    """An output of a node, given to the outside as the tensor `name`."""

    name: str
    source: Port


@dataclass(frozen=True)
class Level:
    """The blocks under one number of a hierarchy, such as `layer[3]`."""

    network: Network
    path: str

    @property
    def nodes(self) -> tuple[Node, ...]:
        return tuple(n for n in self.network.nodes if level_of(n.path) == self.path)

    def __getitem__(self, name: str) -> Node:
        """The node called `name` within the level. CircuitError where there is none."""
        return _found({n.path.removeprefix(f"{self.path}."): n for n in self.nodes}, name)

    @property
    def populations(self) -> tuple[Population, ...]:
        """Those of its blocks, in the flat circuit."""
        paths = {node.path for node in self.nodes}
        return tuple(p for p in self.network.flatten().populations if p.path in paths)

    @property
    def areas(self) -> tuple[Area, ...]:
        """The cortical areas of its blocks, in the flat circuit."""
        cortical = dict.fromkeys(p.path for p in self.populations if p.region.in_cortex)
        flat = self.network.flatten()
        return tuple(area for path in cortical for area in flat.areas_at(path))

    @property
    def neurons(self) -> Count:
        """Their number, in closed form."""
        return self.network.counts().neurons_in(self.populations)

    @property
    def synapses(self) -> Count:
        """The number of synapses onto its cells, those of wires from elsewhere included."""
        own = {p.name for p in self.populations}
        flat = self.network.flatten()
        return self.network.counts().synapses_in(p for p in flat.projections if p.post in own)


@dataclass(frozen=True)
class Network:
    """Circuits at paths, joined by wires: what runs is `flatten()`, one circuit of all of them.

    Make one with `network`, which checks it. `docs/ir.md` explains what it means.
    """

    name: str
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    wires: tuple[Wire, ...]
    outputs: tuple[NetworkOutput, ...]

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return {node.path: node for node in self.nodes}

    def __getitem__(self, path: str) -> Node:
        """The node at a path. CircuitError where there is none."""
        return _found(self._nodes, path)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    @cached_property
    def source_of(self) -> dict[Port, Port]:
        """The input of a node to what feeds it."""
        return {wire.target: wire.source for wire in self.wires}

    @cached_property
    def order(self) -> tuple[Node, ...]:
        """Nodes so that each comes after all that feed it. CircuitError on a cycle."""
        before: dict[str, list[str]] = {node.path: [] for node in self.nodes}
        for wire in self.wires:
            if wire.source.path:
                before[wire.target.path].append(wire.source.path)
        try:
            return tuple(self._nodes[path] for path in TopologicalSorter(before).static_order())
        except CycleError as error:
            loop = clipped(" -> ".join(error.args[1]), _LONGEST)
            raise CircuitError(f"network {shown(self.name)} has a cycle: {loop}") from None

    @cached_property
    def blocks(self) -> dict[Circuit, tuple[Node, ...]]:
        """Each distinct circuit to the nodes that share it, in the order in which they are met."""
        found: dict[Circuit, list[Node]] = {}
        for node in self.nodes:
            found.setdefault(node.circuit, []).append(node)
        return {circuit: tuple(nodes) for circuit, nodes in found.items()}

    @cached_property
    def block_names(self) -> dict[Circuit, str]:
        """Each distinct circuit to what it is called: its title where that is a free name, else as its first node."""
        names: dict[Circuit, str] = {}
        for circuit, nodes in self.blocks.items():
            last = nodes[0].path.rpartition(".")[2].partition("[")[0]
            is_free = NAME.fullmatch(circuit.name) and circuit.name not in names.values()
            names[circuit] = circuit.name if is_free else fresh(last, names.values())
        return names

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The levels of the hierarchy, in order: `layer[0]`, `layer[1]`, …; nodes without a number are in none."""
        paths = dict.fromkeys(level_of(node.path) for node in self.nodes)
        return tuple(Level(self, path) for path in paths if path is not None)

    @cached_property
    def _flat(self) -> Circuit:
        from cortico.ir.network.flattening import flatten

        return flatten(self)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Sizes that are known when it runs."""
        return self.flatten().symbols

    def bind(self, /, **symbols: int) -> Network:
        """The same network with symbolic sizes of its inputs replaced by numbers. CircuitError as `Circuit.bind` has it."""
        return replace(self, inputs=self.flatten().bind(**symbols).inputs) if symbols else self

    def in_float64(self) -> Network:
        """The same numbers of nodes in float64: where no input is a rate, these decide in which precision it runs."""
        made: dict[object, np.ndarray] = {}  # what is one array stays one

        def wide(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            for array in values.values():
                made.setdefault(memory(array), np.asarray(array, np.float64))
            return {name: made[memory(array)] for name, array in values.items()}

        return replace(self, nodes=tuple(replace(n, values=wide(n.values)) for n in self.nodes))

    def flatten(self) -> Circuit:
        """One circuit of all nodes: what one hears from another are synapses. Made once."""
        return self._flat

    def counts(self) -> Counts:
        """Exact numbers of neurons, synapses and parameters, in closed form, wires included."""
        return self._flat.counts()

    def __str__(self) -> str:
        from cortico.ir.text import print_network

        return print_network(self)


def _found(table: Mapping[str, Node], path: str) -> Node:
    try:
        return table[path]
    except KeyError:
        there = clipped(", ".join(table), _LONGEST) or "none"
        raise CircuitError(
            f"no node at {shown(path)}{near_name(path, list(table))}; there are: {there}"
        ) from None
