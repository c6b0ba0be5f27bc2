"""Which levels of a network are equal and follow each other: they are drawn once.

Two groups of levels are equal when the same blocks stand at the same places in them and hear the same, but for
what the group before gives. A group is one level, or several where kinds of levels take turns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from cortico.ir import Circuit
from cortico.ir.network import Level, Network, Port

#: What feeds an input: `own` or `before`, with the port as that group calls it, or the port itself.
_Source = tuple[str, str]


@dataclass(frozen=True)
class Group:
    """Some levels that follow each other; blocks are called by the number of the level in it."""

    network: Network
    levels: tuple[Level, ...]

    @cached_property
    def names(self) -> dict[str, str]:
        """The path of each block to what it is called in the group."""
        return {
            node.path: f"{k}{node.path.removeprefix(level.path)}"
            for k, level in enumerate(self.levels)
            for node in level.nodes
        }

    @cached_property
    def blocks(self) -> list[tuple[str, Circuit]]:
        """What stands where."""
        return [(name, self.network[path].circuit) for path, name in self.names.items()]

    def hears(self, before: Group | None) -> dict[str, _Source]:
        """What feeds each input of each block."""
        return {
            self._called(wire.target): self._source(wire.source, before)
            for wire in self.network.wires
            if wire.target.path in self.names
        }

    def _source(self, port: Port, before: Group | None) -> _Source:
        if port.path in self.names:
            return "own", self._called(port)
        if before is not None and port.path in before.names:
            return "before", before._called(port)
        return "outside", str(port)

    def _called(self, port: Port) -> str:
        return f"{self.names[port.path]}.{port.name}"

    def feeds_only(self, after: Group) -> bool:
        """Whether nothing else hears it."""
        heard = (w.target.path for w in self.network.wires if w.source.path in self.names)
        read = any(output.source.path in self.names for output in self.network.outputs)
        return not read and all(path in self.names or path in after.names for path in heard)


@dataclass(frozen=True)
class Run:
    """Equal groups of levels that follow each other; one group where none equals it."""

    groups: tuple[Group, ...]

    @property
    def levels(self) -> tuple[Level, ...]:
        return tuple(level for group in self.groups for level in group.levels)

    @cached_property
    def drawn(self) -> dict[str, str]:
        """The path of each block to that of the one in the first group, which is drawn for it."""
        firsts = {name: path for path, name in self.groups[0].names.items()}
        return {path: firsts[name] for group in self.groups for path, name in group.names.items()}


def runs(network: Network) -> Iterator[Run]:
    """All levels of a network, in order, with as many as can be in runs."""
    for levels in _stacks(network):
        while levels:
            found = [_longest(network, levels, p) for p in range(1, len(levels) // 2 + 1)]
            found = found or [Run((Group(network, levels[:1]),))]
            best = max(found, key=lambda run: len(run.levels) - len(run.groups[0].levels))
            if len(best.groups) == 1:
                best = Run((Group(network, levels[:1]),))
            yield best
            levels = levels[len(best.levels) :]


def _stacks(network: Network) -> Iterator[tuple[Level, ...]]:
    """Levels under one name: `layer`, or `encoder.layer` and `decoder.layer`."""
    stacks: dict[str, list[Level]] = {}
    for level in network.levels:
        stacks.setdefault(level.path.rpartition("[")[0], []).append(level)
    yield from map(tuple, stacks.values())


def _longest(network: Network, levels: Sequence[Level], period: int) -> Run:
    """The run of groups of so many levels that begins here."""
    starts = range(0, len(levels) - period + 1, period)
    groups = [Group(network, tuple(levels[k : k + period])) for k in starts]
    count = 1
    while count < len(groups) and _goes_on(groups, count):
        count += 1
    return Run(tuple(groups[:count]))


def _goes_on(groups: Sequence[Group], count: int) -> bool:
    """Whether the group after the first `count` is equal to them."""
    *_, last, following = groups[: count + 1]
    if last.blocks != following.blocks or not last.feeds_only(following):
        return False
    ours = last.hears(groups[count - 2] if count > 1 else None)
    theirs = following.hears(last)
    return _as_first(ours, theirs) if count == 1 else ours == theirs


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
