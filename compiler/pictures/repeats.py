"""Which levels of a network are equal and follow each other: they are drawn once.

Two groups of levels are equal when the same blocks stand at the same places in them and hear the same, but for
what the group before gives. A group is one level, or several where kinds of levels take turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cortico.ir import Circuit
from cortico.ir.network import Network, Node, Port, Wire
from cortico.ir.paths import level_of

#: So many kinds of levels may take turns.
_MOST_KINDS = 12


#: What feeds an input: `own` or `before`, with the port as that group calls it, or the port itself.
_Source = tuple[str, str]


class _Wires:
    """The wires of a network by the block that they end at, and who hears a block."""

    def __init__(self, network: Network) -> None:
        self.onto: dict[str, list[Wire]] = {}
        self.readers: dict[str, set[str]] = {}
        for wire in network.wires:
            self.onto.setdefault(wire.target.path, []).append(wire)
            self.readers.setdefault(wire.source.path, set()).add(wire.target.path)
        for output in network.outputs:
            self.readers.setdefault(output.source.path, set()).add("")


class Members(NamedTuple):
    """A level by its path, and its blocks."""

    path: str
    nodes: list[Node]


@dataclass(frozen=True)
class Group:
    """Some levels that follow each other; blocks are called by the number of the level in it."""

    levels: tuple[Members, ...]

    @cached_property
    def names(self) -> dict[str, str]:
        """The path of each block to what it is called in the group."""
        return {
            node.path: f"{k}{node.path.removeprefix(path)}"
            for k, (path, nodes) in enumerate(self.levels)
            for node in nodes
        }

    @cached_property
    def blocks(self) -> list[tuple[str, Circuit]]:
        """What stands where."""
        nodes = (node for level in self.levels for node in level.nodes)
        return [(self.names[node.path], node.circuit) for node in nodes]

    def hears(self, wires: _Wires, before: Group | None) -> dict[str, _Source]:
        """What feeds each input of each block."""
        own = (wire for path in self.names for wire in wires.onto.get(path, ()))
        return {self._called(wire.target): self._source(wire.source, before) for wire in own}

    def _source(self, port: Port, before: Group | None) -> _Source:
        if port.path in self.names:
            return "own", self._called(port)
        if before is not None and port.path in before.names:
            return "before", before._called(port)
        return "outside", str(port)

    def _called(self, port: Port) -> str:
        return f"{self.names[port.path]}.{port.name}"

    def feeds_only(self, wires: _Wires, after: Group) -> bool:
        """Whether nothing else hears it, nor is it an output of the network."""
        heard = (path for own in self.names for path in wires.readers.get(own, ()))
        return all(path in self.names or path in after.names for path in heard)


@dataclass(frozen=True)
class Run:
    """Equal groups of levels that follow each other; one group where none equals it."""

    groups: tuple[Group, ...]

    @property
    def levels(self) -> tuple[str, ...]:
        """The paths of all levels."""
        return tuple(level.path for group in self.groups for level in group.levels)

    @cached_property
    def drawn(self) -> dict[str, str]:
        """The path of each block to that of the one in the first group, which is drawn for it."""
        firsts = {name: path for path, name in self.groups[0].names.items()}
        return {path: firsts[name] for group in self.groups for path, name in group.names.items()}


def runs(network: Network) -> Iterator[Run]:
    """All levels of a network, in order, with as many as can be in runs."""
    wires = _Wires(network)
    for levels in _stacks(network):
        while levels:
            periods = range(1, min(len(levels) // 2, _MOST_KINDS) + 1)
            found = [_longest(wires, levels, period) for period in periods]
            alone = Run((Group(levels[:1]),))
            best = max([alone, *found], key=lambda run: len(run.levels) - len(run.groups[0].levels))
            yield best
            levels = levels[len(best.levels) :]


def _stacks(network: Network) -> Iterator[tuple[Members, ...]]:
    """Levels under one name: `layer`, or `encoder.layer` and `decoder.layer`."""
    stacks: dict[str, dict[str, Members]] = {}
    for node in network.nodes:
        path = level_of(node.path)
        if path is not None:
            stack = stacks.setdefault(path.rpartition("[")[0], {})
            stack.setdefault(path, Members(path, [])).nodes.append(node)
    for levels in stacks.values():
        yield tuple(levels.values())


def _longest(wires: _Wires, levels: Sequence[Members], period: int) -> Run:
    """The run of groups of so many levels that begins here."""
    groups = [Group(tuple(levels[:period]))]
    for start in range(period, len(levels) - period + 1, period):
        groups.append(Group(tuple(levels[start : start + period])))
        if not _goes_on(wires, groups):
            return Run(tuple(groups[:-1]))
    return Run(tuple(groups))


def _goes_on(wires: _Wires, groups: Sequence[Group]) -> bool:
    """Whether the last group is equal to those before it."""
    *others, last, following = groups
    if last.blocks != following.blocks or not last.feeds_only(wires, following):
        return False
    theirs = following.hears(wires, last)
    if others:
        return last.hears(wires, others[-1]) == theirs
    return _as_first(last.hears(wires, None), theirs)


def _as_first(first: dict[str, _Source], second: dict[str, _Source]) -> bool:
    """Whether the second group hears as the first one does, from the first what that hears from outside."""
    if first.keys() != second.keys():
        return False
    stands_for: dict[_Source, _Source] = {}
    for target, theirs in second.items():
        ours = first[target]
        is_handed_on = theirs[0] == "before" and ours[0] == "outside"
        if not (ours == theirs or is_handed_on) or stands_for.setdefault(ours, theirs) != theirs:
            return False
    return True
