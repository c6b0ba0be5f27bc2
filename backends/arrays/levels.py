"""What the code of a network is, before it is text: calls of blocks, level by level, and which levels are alike.

Levels that do the same to what they are given are one function, and several of them in a row are a loop.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from cortico.ir.network import Network, Node, Port
from cortico.ir.paths import level_of


@dataclass(frozen=True)
class Group:
    """The blocks of one level that run one after another, or those between two levels.

    `heard` is what they are given from outside, `given` what others hear of them or is an output.
    """

    path: str  #: of the level; empty between levels
    nodes: tuple[Node, ...]
    heard: tuple[Port, ...]
    given: tuple[Port, ...]

    def name(self, node: Node) -> str:
        """Its path within the level."""
        return node.path.removeprefix(f"{self.path}.") if self.path else node.path

    def relative(self, port: Port) -> tuple[str, str]:
        """A port of one of its blocks, within the level."""
        return port.path.removeprefix(f"{self.path}."), port.name


@dataclass(frozen=True)
class Run:
    """Groups that are alike, in a row. `carried`: which of `heard` is which of `given` of the one before."""

    groups: tuple[Group, ...]
    carried: Mapping[int, int]

    @property
    def first(self) -> Group:
        return self.groups[0]

    @property
    def last(self) -> Group:
        return self.groups[-1]


class Levels:
    """The program of a network: its runs."""

    def __init__(self, network: Network, apart: Collection[str] = ()) -> None:
        """Nodes at the paths `apart` hear no others: they come first, and are in no group with others."""
        self.network, self._apart = network, apart

    @cached_property
    def order(self) -> tuple[Node, ...]:
        """Those apart, then all others: as they are declared, where that is an order in which they can run."""
        place = {node.path: k for k, node in enumerate(self.network.nodes)}
        wires = (w for w in self.network.wires if w.source.path)
        runs = all(place[w.source.path] < place[w.target.path] for w in wires)
        order = self.network.nodes if runs else self.network.order
        return tuple(sorted(order, key=lambda node: node.path not in self._apart))

    def source(self, node: Node, name: str) -> Port:
        """What feeds an input of a block."""
        return self.network.source_of[Port(name, node.path)]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """All groups in their order."""
        found = [
            (path or "", tuple(nodes))
            for (path, _), nodes in groupby(
                self.order, key=lambda node: (level_of(node.path), node.path in self._apart)
            )
        ]
        return tuple(self._group(path, nodes) for path, nodes in found)

    def _group(self, path: str, nodes: tuple[Node, ...]) -> Group:
        own = {node.path for node in nodes}
        sources = [self.source(node, t.name) for node in nodes for t in node.circuit.inputs]
        heard = dict.fromkeys(port for port in sources if port.path not in own)
        made = (Port(o.name, node.path) for node in nodes for o in node.circuit.outputs)
        given = (port for port in made if port in self._read_by(own))
        return Group(path, nodes, tuple(heard), tuple(given))

    def _read_by(self, own: set[str]) -> set[Port]:
        """What others than the blocks at `own` read."""
        wires = {w.source for w in self.network.wires if w.target.path not in own}
        return wires | {output.source for output in self.network.outputs}

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Groups with those that follow and are alike."""
        return tuple(self._runs())

    def _runs(self) -> Iterator[Run]:
        left = list(self.groups)
        while left:
            count, carried = 1, dict[int, int]()
            while count < len(left):
                found = self._carried(left[count - 1], left[count])
                if found is None or (count > 1 and found != carried):
                    break
                if self._is_heard_later(left[count - 1], left[count]):
                    break
                count, carried = count + 1, found
            yield Run(tuple(left[:count]), carried)
            left = left[count:]

    def _carried(self, one: Group, other: Group) -> dict[int, int] | None:
        """Which of what the second hears is given by the first; None when they are not alike."""
        if not one.path or not other.path or self.spelled(one) != self.spelled(other):
            return None
        places = {port: k for k, port in enumerate(one.given)}
        carried = {k: places[port] for k, port in enumerate(other.heard) if port in places}
        same = (k in carried or one.heard[k] == port for k, port in enumerate(other.heard))
        return carried if all(same) else None

    def _is_heard_later(self, one: Group, other: Group) -> bool:
        """Whether something other than the next group hears a group: then it cannot be overwritten."""
        own = {node.path for node in (*one.nodes, *other.nodes)}
        return any(port in self._read_by(own) for port in one.given)

    def spelled(self, group: Group) -> object:
        """What a group does, but for its path: equal for groups that are alike."""
        heard = {port: k for k, port in enumerate(group.heard)}

        def place(port: Port) -> object:
            return heard[port] if port in heard else group.relative(port)

        calls = [
            (
                group.name(node),
                self.network.block_names[node.circuit],
                [place(self.source(node, tensor.name)) for tensor in node.circuit.inputs],
            )
            for node in group.nodes
        ]
        return calls, [group.relative(port) for port in group.given], _stem(group.path)


def _stem(path: str) -> str:
    """The path of a level without its number."""
    return path.rpartition("[")[0]


@dataclass(frozen=True)
class Call:
    """`results = block(arguments)`: a block of a group, with variables for what it hears and gives."""

    node: Node
    arguments: Mapping[str, str]  #: of its inputs
    results: Mapping[str, str]  #: of its outputs


def calls(
    levels: Levels, nodes: Sequence[Node], variables: dict[Port, str], kept: Collection[Port]
) -> Iterator[Call]:
    """The calls of some blocks, and in `variables` what each port is called; those `kept` are read later.

    A result takes the name of the first thing that its block hears and nobody hears after it: what goes
    through the network keeps the name `x`.
    """
    last = {
        levels.source(node, tensor.name): k
        for k, node in enumerate(nodes)
        for tensor in node.circuit.inputs
    }
    for k, node in enumerate(nodes):
        sources = {t.name: levels.source(node, t.name) for t in node.circuit.inputs}
        arguments = {name: variables[port] for name, port in sources.items()}
        live = {p for p in variables if not p.path or p in kept or last.get(p, -1) > k}
        done = dict.fromkeys(port for port in sources.values() if port not in live)
        free = [variables[port] for port in done]
        results: dict[str, str] = {}
        for output in node.circuit.outputs:
            port = Port(output.name, node.path)
            name = free.pop(0) if free else letter({variables[p] for p in live})
            results[output.name] = variables[port] = name
            live.add(port)
        yield Call(node, arguments, results)


def letter(taken: Collection[str]) -> str:
    """A letter that is not taken, with a number where there are many."""
    numbered = (f"{letter}{number}" for number in itertools.count(2) for letter in "xyz")
    return next(each for each in itertools.chain("xyz", numbered) if each not in taken)
