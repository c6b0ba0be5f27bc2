"""Passes over networks: across wires, then each block by itself; blocks that come out alike share a circuit again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cortico.ir import Circuit, CircuitError, PassError, Unfold
from cortico.ir.errors import clipped
from cortico.ir.network import Network, Node, changed_parts, check_network
from cortico.ir.tensors import memory
from cortico.passes.base import NetworkPass, Pass
from cortico.passes.manager import MeaningCheck, Step, run_passes
from cortico.passes.sharing import Sharing, with_nodes

#: Characters of a list of names in an error.
_LONGEST = 1000


@dataclass(frozen=True)
class NetworkStep:
    """One pass across wires that ran, or a small step of it: the networks before and after, and the time it took in seconds.

    `left` says where the pass found what it is for, and why it did nothing there: path to reason.
    """

    name: str
    before: Network
    after: Network
    seconds: float
    left: Mapping[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return self.after is not self.before


# ---- across wires --------------------------------------------------------------------------------


def run_across(
    given: Network,
    passes: Sequence[NetworkPass],
    progress: Callable[[str], None] = lambda stage: None,
) -> tuple[Network, list[NetworkStep]]:
    """The network after all passes across its wires, and every step taken.

    PassError when a pass broke the network, or changed more than nodes. That it kept what they give is proved
    by `cortico.verify.composition.across`, which runs them, too.
    """
    steps = list[NetworkStep]()
    for each in passes:
        _require_holds(each, given)
        progress(f"running {each.name} across wires")
        steps += _steps(each, given)
        given = steps[-1].after
    return given, steps


def _require_holds(each: NetworkPass, given: Network) -> None:
    """PassError where a block lives in time, and the pass does not hold for such."""
    living = next((c for c in given.blocks if c.lives_in_time), None)
    if living is not None and not each.in_time:
        path, parts = given.blocks[living][0].path, ", ".join(living.living_in_time)
        raise PassError(
            f"pass {each.name} does not hold for {path}, which lives in time: {clipped(parts, _LONGEST)}"
        )


def _steps(each: NetworkPass, before: Network) -> Iterator[NetworkStep]:
    """The small steps of a pass; a step that changes nothing where there are none."""
    left, start = each.left_alone(before), time.perf_counter()
    for after in list(each.stages(before)) or [before]:
        if after is not before:
            _require_whole(each, before, after)
        yield NetworkStep(str(each), before, after, time.perf_counter() - start, left)
        before, left, start = after, {}, time.perf_counter()


def _require_whole(each: NetworkPass, before: Network, after: Network) -> None:
    try:
        check_network(after)
        deque(changed_parts(before, after), maxlen=0)
    except CircuitError as error:
        raise PassError(f"pass {each.name} is at fault: {error}") from None


# ---- block by block ------------------------------------------------------------------------------


def run_on_blocks(
    given: Network,
    passes: Sequence[Pass],
    meaning: MeaningCheck | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> tuple[Network, dict[str, list[Step]]]:
    """The network after all passes on each of its blocks with its numbers; and every step, by path.

    A block goes through them once for all nodes that have it with the same arrays, or with none: what
    nodes shared before (ALBERT's levels) they share after. PassError as `run_passes` has it, and where a pass
    puts tokens in time which the stream has in space.
    """
    work = _Work(passes, meaning)
    nodes = []
    for node in given.nodes:
        progress(f"running passes on {node.path}")
        nodes.append(work.after(node))
    made = with_nodes(given, nodes)
    _require_joined(made, work.steps)
    return made, work.steps


def _require_joined(made: Network, steps: Mapping[str, Sequence[Step]]) -> None:
    """Refuse a block with axes in time whose wires do not have them there."""
    unfolded = ((path, step) for path, taken in steps.items() for step in taken if _unfolds(step))
    path, step = next(unfolded, ("", None))
    if step is None:
        return
    try:
        made.flatten()
    except CircuitError:
        raise PassError(
            f"pass {step.name} has no place here: it puts tokens of {path} in time, the stream's are in space"
        ) from None


def _unfolds(step: Step) -> bool:
    return any(
        axis.unfold is Unfold.TIME for axis in step.after.axes if axis not in step.before.axes
    )


@dataclass
class _Work:
    passes: Sequence[Pass]
    meaning: MeaningCheck | None
    steps: dict[str, list[Step]] = field(default_factory=dict)
    _done: dict[object, tuple[Node, Circuit, list[Step]]] = field(default_factory=dict)
    _shared: Sharing = field(default_factory=Sharing)

    def after(self, node: Node) -> Node:
        """The node after all passes."""
        key = node.circuit, frozenset((name, memory(array)) for name, array in node.values.items())
        if key not in self._done:
            self._done[key] = (node, *run_passes(node.whole, self.passes, self.meaning))
        first, circuit, self.steps[node.path] = self._done[key]
        if circuit is first.whole:
            return node
        return self._shared.node(node, circuit) if node.values else Node(node.path, circuit)
