"""prune-across: what is silent, or unheard, goes through the wires."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from cortico.ir import Circuit, CircuitError, Population, Role, Weight
from cortico.ir.analysis.axes import output_axes, read_alike
from cortico.ir.network import Network, Node, Port, Wire, network
from cortico.ir.paths import prefix
from cortico.ir.rewrite import joined_axes, map_populations, readings
from cortico.passes.base import NetworkPass, last
from cortico.passes.dead_indices import cut, may_cut, silent_along, unheard_along
from cortico.passes.naming import named_apart
from cortico.passes.prune_dead import NOTHING, silent_populations, without_effectless
from cortico.passes.sharing import Sharing


@dataclass(frozen=True)
class PruneAcross(NetworkPass):
    """Remove through wires what is exactly zero, and what reaches no output.

        x + Σ_h W_O[h] … with W_O = 0   ->   x          and the area, and the norm in front of it, are gone
        x[m] = 0, or W[a,m] = 0 in all that hear x      ->   one m less in every block of the stream

    An input that a block feeds with zeros goes, and one that a block does nothing with; then blocks from which
    no path leads to an output. A feature of a stream goes from all its blocks when all cells that have it
    are silent, and none has a transfer function, or when no synapse that leaves it has a weight: a mean
    that is subtracted brings it back, and a pool of squares hears it unless it is silent. Streams that the
    network gives or is given keep their width, as do those with a table of positions. Scales such as 1/√d
    keep their value.
    """

    name = "prune-across"

    def run(self, network: Network) -> Network:
        return last(network, self.stages(network))

    def stages(self, network: Network) -> Iterator[Network]:
        changed = True
        while changed:
            changed = False
            for smaller in (_without_effectless, *_cuts(network)):
                result = smaller(network)
                if result is not network:
                    yield result
                    network, changed = result, True
                    break  # streams have other axes now


# ---- inputs and blocks ---------------------------------------------------------------------------


def _without_effectless(given: Network) -> Network:
    """The network without inputs that bring nothing or do nothing, and without blocks that nothing hears."""
    zero = {port for node in given.nodes for port in _silent_ports(node)}
    circuits: dict[str, Circuit] = {}
    for node in given.nodes:
        names = {t.name for t in node.whole.inputs}
        quiet = {name for name in names if given.source_of[Port(name, node.path)] in zero}
        circuits[node.path] = _without_inputs(node.whole, quiet)
    wires = [w for w in given.wires if w.target.name in _inputs(circuits[w.target.path])]
    heard = _heard(given, wires)
    if len(wires) == len(given.wires) and len(heard) == len(given.nodes):
        return given
    return _with_circuits(given, {p: c for p, c in circuits.items() if p in heard}, wires)


def _silent_ports(node: Node) -> Iterator[Port]:
    quiet = silent_populations(node.whole)
    return (Port(o.name, node.path) for o in node.whole.outputs if o.source.name in quiet)


def _inputs(circuit: Circuit) -> set[str]:
    return {tensor.name for tensor in circuit.inputs}


def _without_inputs(circuit: Circuit, quiet: Collection[str]) -> Circuit:
    """The circuit without inputs that are zero, and those that then lead to no output.

    Itself where there are none, or where nothing would say how many tokens there are.
    """
    rest = without_effectless(_unfed(circuit, quiet) if quiet else circuit)
    read = {ref.name for ref in readings(rest)} - set(quiet)
    inputs = tuple(tensor for tensor in circuit.inputs if tensor.name in read)
    sides = {side for tensor in inputs for side in tensor.shape}
    lost = len(inputs) < len(circuit.inputs) and set(rest.symbols) <= sides
    return replace(rest, inputs=inputs) if lost else circuit


def _unfed(circuit: Circuit, names: Collection[str]) -> Circuit:
    """The circuit without drives that read some inputs."""

    def fed(weight: Weight) -> bool:
        return weight.tensor is None or weight.tensor.name not in names

    def without(population: Population) -> Population:
        parts = []
        for part in population.compartments:
            kept = tuple(filter(fed, part.drive))
            heard = circuit.projections_onto(population.name, part.name)
            parts.append(replace(part, drive=kept if kept or heard else (NOTHING,)))
        return replace(population, compartments=tuple(parts))

    return map_populations(circuit, without)


def _heard(given: Network, wires: Collection[Wire]) -> set[str]:
    """The paths from which wires lead to an output."""
    found = {output.source.path for output in given.outputs}
    waiting = list(found)
    while waiting:
        here = waiting.pop()
        new = {w.source.path for w in wires if w.target.path == here} - {*found, ""}
        found |= new
        waiting += new
    return found


def _with_circuits(
    given: Network, circuits: Mapping[str, Circuit], wires: Collection[Wire]
) -> Network:
    """The network of other circuits, at paths that stay."""
    shared = Sharing()
    nodes = [shared.node(n, circuits[n.path]) for n in given.nodes if n.path in circuits]
    kept = [w for w in wires if w.target.path in circuits]
    return network(given.name, given.inputs, nodes, kept, given.outputs)


# ---- features of streams -------------------------------------------------------------------------


#: Which indices of an axis are dead.
_Dead = Callable[[Circuit, str], np.ndarray]


def _cuts(given: Network) -> Iterator[Callable[[Network], Network]]:
    """A rewrite for each stream that may be cut: of what is silent in it, and of what nobody hears."""
    flat, seen = given.flatten(), set[str]()
    for axis in flat.axes:
        if axis.name in seen or axis.role not in (Role.MODEL, Role.FEATURE):
            continue
        stream = read_alike(flat, axis.name)
        seen |= stream
        if len(stream) > 1 and not stream & output_axes(flat):
            yield from (partial(_cut, stream=stream, dead=d) for d in (silent_along, unheard_along))


def _cut(given: Network, stream: Collection[str], dead: _Dead) -> Network:
    """The network without the dead indices of a stream, the axes of the flat circuit that are one."""
    kept = _kept(given.flatten(), stream, dead)
    if kept is None:
        return given
    circuits = {}
    for node in given.nodes:
        circuits[node.path] = node.whole
        for own in (a.name for a in node.circuit.axes if prefix(node.path) + a.name in stream):
            smaller = cut(circuits[node.path], own, (), kept)
            circuits[node.path] = named_apart(node.whole, smaller)
    return _with_circuits(given, circuits, given.wires)


def _kept(flat: Circuit, stream: Collection[str], dead: _Dead) -> np.ndarray | None:
    """The indices of a stream that stay; None where it may not be cut, where all do, and where none do."""
    (axis, *_) = stream
    try:
        joined = joined_axes(flat, stream, axis)
    except CircuitError:
        return None
    if not may_cut(joined, axis):
        return None
    gone = dead(joined, axis)
    return np.flatnonzero(~gone) if 0 < gone.sum() < len(gone) else None
