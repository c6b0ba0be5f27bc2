"""The SONATA index from a target neuron to its edges, written while the edges stream past.

Synapses of a projection come in the order of their targets, unless a bound ties an axis of the target to
a summed axis that stands behind others. Then a target's edges are one run per projection, and its runs
have a place known beforehand. Otherwise the index is left out: sorting 10^9 edges is not cheap. So is the
index by source; where there is none, libsonata's `EdgePopulation.write_indices` makes both, in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cortico.backends.sonata.hdf5 import array
from cortico.ir import Circuit, Projection
from cortico.ir.domain import Domain, coupled_axes, restrict

if TYPE_CHECKING:
    import h5py

    from cortico.ir.neurons import SynapseBlock


def indexable(circuit: Circuit) -> bool:
    """Whether the synapses of every projection come in the order of their targets."""
    return all(_sorted(circuit, projection) for projection in circuit.projections)


def _sorted(circuit: Circuit, projection: Projection) -> bool:
    post = circuit.population(projection.post)
    targets = _order(circuit, post.axes, post.domain)
    synapses = _order(circuit, circuit.synapse_axes(projection), circuit.synapse_domain(projection))
    return synapses[: len(targets)] == targets


def _order(circuit: Circuit, axes: Sequence[str], domain: Domain) -> list[str]:
    """The axes in space, slowest first, as `IndexSpace` numbers their tuples."""
    groups = coupled_axes(restrict(domain, axes), axes)
    return [axis for group in groups for axis in group if not circuit.axis(axis).in_time]


class TargetIndex:
    """`indices/target_to_source`: for each neuron its ranges, for each range its edges.

    A neuron of a population onto which k projections lead has k ranges, some of which may be empty.
    """

    def __init__(self, circuit: Circuit, edges: h5py.Group) -> None:
        self._circuit = circuit
        self._first_id = circuit.neurons().offset_of
        neurons, self._onto = circuit.counts().neurons_of, {}
        self._first_range: dict[str, int] = {}
        ranges = 0
        for population in circuit.populations:
            onto = [p.name for p in circuit.projections_onto(population.name)]
            self._onto[population.name] = onto
            self._first_range[population.name] = ranges
            ranges += int(neurons[population.name]) * len(onto)
        group = edges.create_group("indices/target_to_source")
        self._nodes = array(group, "node_id_to_ranges", int(sum(neurons.values())), np.uint64, 2)
        self._ranges = array(group, "range_to_edge_id", ranges, np.uint64, 2)
        self._open = ("", -1, 0)  # projection, target and first edge of the range that may go on

    def add_neurons(self, population: str, ids: np.ndarray) -> None:
        """Where the ranges of a block of neurons stand."""
        many = len(self._onto[population])
        starts = self._first_range[population] + many * (ids - self._first_id[population])
        self._nodes[ids[0] : ids[-1] + 1] = np.stack([starts, starts + many], 1)

    def add_synapses(self, part: SynapseBlock, first: int) -> None:
        """The ranges of a block of edges, the first of which has the number `first`."""
        projection = part.projection
        targets = part.post - self._first_id[projection.post]
        begins = np.flatnonzero(np.diff(targets, prepend=-1))
        edges = first + np.append(begins, len(targets))
        found, (name, target, start) = targets[begins], self._open
        if (name, target) == (projection.name, found[0]):
            edges[0] = start
        rows = np.zeros((found[-1] - found[0] + 1, 2), np.int64)
        rows[found - found[0]] = np.stack([edges[:-1], edges[1:]], 1)
        self._put(projection, int(found[0]), rows)
        self._open = (projection.name, int(found[-1]), int(edges[-2]))

    def _put(self, projection: Projection, target: int, rows: np.ndarray) -> None:
        """Ranges of consecutive targets; those of one target stand side by side."""
        onto = self._onto[projection.post]
        place = self._first_range[projection.post] + target * len(onto)
        place += onto.index(projection.name)
        self._ranges[place : place + (len(rows) - 1) * len(onto) + 1 : len(onto)] = rows
