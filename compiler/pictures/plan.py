"""What the picture of a network has: which block stands in which row, what wires join, levels that are drawn once.

A stack of levels is a column; what has no number stands in the column that feeds it. Rows run from the inputs
down to the outputs, the same in all columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import groupby
from typing import NamedTuple

from cortico.ir.circuit import Circuit
from cortico.ir.network import Network, Port
from cortico.ir.paths import level_of
from cortico.ir.population import Effect
from cortico.pictures.repeats import runs
from cortico.pictures.style import Kind, on_top


class Place(NamedTuple):
    """Where an input, a block or an output stands."""

    column: int
    row: int
    slot: int  #: from the left, of those in the row of its column


class Net(NamedTuple):
    """What goes out from an input or a block, and does the same where it ends."""

    source: str
    kind: Kind


@dataclass(frozen=True)
class Frame:
    """Levels around rows of a column."""

    levels: tuple[str, ...]  #: all that are drawn here
    times: int  #: how many groups of them are drawn as one
    column: int
    first: int
    last: int

    @property
    def is_outer(self) -> bool:
        """Whether there are frames in it: of levels that take turns."""
        return 1 < self.times < len(self.levels)


class Plan:
    """Places by key: `in.tokens`, the path of a block, `out.logits`."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.runs = list(runs(network))
        self.drawn = {node.path: node.path for node in network.nodes}
        self.drawn |= {path: first for run in self.runs for path, first in run.drawn.items()}
        self.places, self.frames = dict[str, Place](), list[Frame]()
        self._place()

    @cached_property
    def paths(self) -> list[str]:
        """The blocks that are drawn, in order."""
        return list(dict.fromkeys(self.drawn.values()))

    @cached_property
    def wires(self) -> list[tuple[Net, str]]:
        """Each net and where it goes, once for levels that are drawn once."""
        return list(dict.fromkeys(self._wires()))

    @property
    def rows(self) -> int:
        return 1 + max(place.row for place in self.places.values())

    @property
    def columns(self) -> int:
        return 1 + max(place.column for place in self.places.values())

    def row(self, column: int, row: int) -> list[str]:
        """What stands in a row of a column, from the left."""
        here = [(p.slot, key) for key, p in self.places.items() if p[:2] == (column, row)]
        return [key for _, key in sorted(here)]

    # ---- wires -----------------------------------------------------------------------------------

    def _wires(self) -> Iterator[tuple[Net, str]]:
        firsts = {path for run in self.runs for path in run.groups[0].names}
        folded = {path for run in self.runs for path in run.drawn} - firsts
        for wire in self.network.wires:
            if wire.target.path not in folded:
                circuit = self.network[wire.target.path].circuit
                net = Net(self._key(wire.source), _kind(circuit, wire.target.name))
                yield net, wire.target.path
        for output in self.network.outputs:
            yield Net(self._key(output.source), Kind.DRIVER), f"out.{output.name}"

    def _key(self, source: Port) -> str:
        return self.drawn[source.path] if source.path else f"in.{source.name}"

    # ---- columns ---------------------------------------------------------------------------------

    @cached_property
    def _column(self) -> dict[str, int]:
        """The column of each block that is drawn."""
        stacks = list(dict.fromkeys(_stack(level.path) for level in self.network.levels))
        found = {p: stacks.index(_stack(p)) for p in self.paths if _stack(p) in stacks}
        for path in self._ordered:  # those that hear a column, then those that a column hears
            found.setdefault(path, self._first(found, self._before[path]))
        for path in reversed(self._ordered):
            if found[path] < 0:
                after = [p for p in self._ordered if path in self._before[p]]
                found[path] = max(self._first(found, after), 0)
        return found

    @staticmethod
    def _first(columns: dict[str, int], paths: Iterable[str]) -> int:
        return next((columns[p] for p in paths if columns.get(p, -1) >= 0), -1)

    @cached_property
    def _before(self) -> dict[str, list[str]]:
        """The drawn blocks that each hears."""
        found: dict[str, list[str]] = {path: [] for path in self.paths}
        for net, target in self.wires:
            if target in found and net.source in found and net.source not in found[target]:
                found[target].append(net.source)
        return found

    @cached_property
    def _ordered(self) -> list[str]:
        return list(TopologicalSorter(self._before).static_order())

    # ---- rows ------------------------------------------------------------------------------------

    def _place(self) -> None:
        rows: dict[str, int] = {}
        columns = dict(self._column)
        for column in dict.fromkeys(columns.values()):
            last = 0
            for level, paths in self._segments(column):
                self._place_segment(rows, paths, last)
                if level is not None:
                    ends = last + 1, max(rows[path] for path in paths)
                    self.frames.append(Frame((level,), 1, column, *ends))
                last = max(rows[path] for path in paths)
        self._join_frames()
        for tensor in self.network.inputs:
            key = f"in.{tensor.name}"
            heard = next((t for net, t in self.wires if net.source == key), None)
            rows[key], columns[key] = 0, columns[heard] if heard else 0
        last = max(rows.values(), default=0) + 1
        for output in self.network.outputs:
            key = f"out.{output.name}"
            rows[key], columns[key] = last, columns[self._key(output.source)]
        self._give_slots(rows, columns)

    def _join_frames(self) -> None:
        """Frames of runs in place of, or around, those of their levels."""
        alone, self.frames = {f.levels[0]: f for f in self.frames}, []
        for run in self.runs:
            inner = [alone[level.path] for level in run.groups[0].levels if level.path in alone]
            if inner:
                ends = min(f.first for f in inner), max(f.last for f in inner)
                self.frames.append(Frame(run.levels, len(run.groups), inner[0].column, *ends))
                self.frames += inner if self.frames[-1].is_outer else []

    def _place_segment(self, rows: dict[str, int], paths: Sequence[str], last: int) -> None:
        """Each a row below the lowest of those that it hears."""
        for path in paths:
            above = [rows[p] for p in self._before[path] if p in paths]
            rows[path] = 1 + max([last, *above])

    def _give_slots(self, rows: dict[str, int], columns: dict[str, int]) -> None:
        """What goes straight down stands in the middle, other inputs at the left of it."""
        straight = {n.source for n, t in self.wires if t in rows and rows[t] == rows[n.source] + 1}
        order = [*(k for k in rows if k not in straight), *(k for k in rows if k in straight)]
        taken: Counter[tuple[int, int]] = Counter()
        for key in order:
            where = (columns[key], rows[key])
            self.places[key] = Place(*where, taken[where])
            taken[where] += 1

    def _segments(self, column: int) -> list[tuple[str | None, list[str]]]:
        """Levels, and what stands between them, one below the other; blocks in the order in which they run."""
        here = [path for path in self._ordered if self._column[path] == column]
        parts: dict[str, list[str]] = {}
        for path in here:
            parts.setdefault(level_of(path) or path, []).append(path)
        before = {
            part: {level_of(b) or b for p in paths for b in self._before[p] if b in here} - {part}
            for part, paths in parts.items()
        }
        try:
            order = list(TopologicalSorter(before).static_order())
        except CycleError:  # a block hears a level, and the level it: there are no frames
            return [(None, here)]
        return [
            segment
            for is_level, those in groupby(order, key=lambda part: part == level_of(part))
            for segment in _joined(is_level, [(part, parts[part]) for part in those])
        ]


def _joined(
    are_levels: bool, segments: list[tuple[str, list[str]]]
) -> list[tuple[str | None, list[str]]]:
    """Each level by itself, but blocks between two levels together."""
    return (
        [*segments] if are_levels else [(None, [path for _, paths in segments for path in paths])]
    )


def _stack(path: str) -> str:
    """What a path has before its level, or before its last name."""
    return (level_of(path) or path).rpartition(".")[0]


def _kind(circuit: Circuit, name: str) -> Kind:
    """What an input does to the cells of a block: drives them, where it drives any."""
    read = [
        compartment
        for population in circuit.populations
        for compartment in population.compartments
        if any(w.tensor is not None and w.tensor.name == name for w in compartment.drive)
    ]
    if any(c.effect is Effect.MULTIPLIES and not on_top(c.name) for c in read) or not read:
        return Kind.DRIVER
    return Kind.GAIN if any(c.effect is Effect.MULTIPLIES for c in read) else Kind.INHIBITION
