"""Circuits as networkx graphs: of populations (any circuit) or of neurons (small ones)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from cortico.ir.circuit import Circuit
from cortico.ir.errors import CircuitError, near_name
from cortico.ir.neurons import NeuronBlock, NeuronView, SynapseBlock, WeightReader, require_small
from cortico.ir.population import Compartment, Population, Projection
from cortico.ir.tensors import Weight

if TYPE_CHECKING:
    import networkx as nx

#: The most synapses (and neurons) that a graph of neurons may have.
LIMIT = 1_000_000


def to_networkx(
    circuit: Circuit, level: str = "population", limit: int = LIMIT
) -> nx.MultiDiGraph[Any]:
    """The circuit as a `networkx.MultiDiGraph`; edge keys are the names of projections.

    `level="population"`: nodes are names of populations, with region, cell_class, axes, transfer,
    domain, compartments and neurons (their number); edges have compartment, weight (text), domain,
    synapses (their number) and, from a population read at other axes, these (at). Sizes may be symbols.
    What lives in time has `integrates` and `delay` as text, at either level.

    `level="neuron"`: nodes are neuron ids, with name, population, transfer, compartments (pairs of
    name and effect) and drive (compartment to a list of what it gets from outside: a number, or
    (tensor, index, gain) for an input or a symbolic parameter). Edges have compartment, weight
    (None while symbolic) and projection. CircuitError above `limit` synapses or neurons.
    """
    if level not in LEVELS:
        raise CircuitError(
            f"no graph level {level!r}{near_name(level, LEVELS)}: expected {' or '.join(LEVELS)}"
        )
    return LEVELS[level](circuit, limit)


def _of_populations(circuit: Circuit, limit: int) -> nx.MultiDiGraph[Any]:
    import networkx as nx

    counts = circuit.counts()
    graph: nx.MultiDiGraph[Any] = nx.MultiDiGraph(name=circuit.name)
    for population in circuit.populations:
        graph.add_node(population.name, **_describe(circuit, population))
        graph.nodes[population.name]["neurons"] = counts.neurons_of[population.name]
    for projection in circuit.projections:
        graph.add_edge(
            projection.pre,
            projection.post,
            key=projection.name,
            compartment=projection.compartment,
            weight=str(projection.weight),
            domain=" and ".join(map(str, projection.domain)),
            **({"at": projection.at} if projection.at else {}),
            **_delay(projection),
            synapses=counts.synapses_of[projection.name],
        )
    return graph


def _describe(circuit: Circuit, population: Population) -> dict[str, Any]:
    return {
        "region": population.region.value,
        "cell_class": population.cell_class.value,
        "axes": population.axes,
        "transfer": population.transfer,
        "domain": " and ".join(map(str, population.domain)),
        "compartments": _effects(population),
        **_integrates(population),
    }


def _integrates(population: Population) -> dict[str, str]:
    return {"integrates": str(population.integrates)} if population.integrates else {}


def _delay(projection: Projection) -> dict[str, str]:
    return {"delay": str(projection.delay)} if projection.delay else {}


def _effects(population: Population) -> tuple[tuple[str, str], ...]:
    return tuple((c.name, c.effect.value) for c in population.compartments)


def _of_neurons(circuit: Circuit, limit: int) -> nx.MultiDiGraph[Any]:
    import networkx as nx

    require_small(circuit, limit)
    view = circuit.neurons()
    graph: nx.MultiDiGraph[Any] = nx.MultiDiGraph(name=circuit.name)
    for block in view.neurons():
        graph.add_nodes_from(_nodes(view, block))
    for synapses in view.synapses():
        for pre, post, attributes in _edges(synapses):
            graph.add_edge(pre, post, key=synapses.projection.name, **attributes)
    return graph


def _nodes(view: NeuronView, block: NeuronBlock) -> Iterator[tuple[int, dict[str, Any]]]:
    population = block.population
    drives = [_drives(view.circuit, compartment, block) for compartment in population.compartments]
    names = [compartment.name for compartment in population.compartments]
    effects = _effects(population)
    for place, (neuron, name) in enumerate(zip(block.ids.tolist(), view.names(block), strict=True)):
        drive = {c: [d[place] for d in of] for c, of in zip(names, drives, strict=True) if of}
        yield (
            neuron,
            {
                "name": name,
                "population": population.name,
                "transfer": population.transfer,
                "compartments": effects,
                "drive": drive,
                **_integrates(population),
            },
        )


def _drives(circuit: Circuit, compartment: Compartment, block: NeuronBlock) -> list[list[Any]]:
    """For each drive of a compartment, its entry for each neuron of a block."""
    return [_entries(circuit, drive, block) for drive in compartment.drive]


def _entries(circuit: Circuit, drive: Weight, block: NeuronBlock) -> list[Any]:
    numbers = WeightReader(circuit, drive).values(block.indices, len(block.ids))
    if numbers is not None:
        return list(numbers.tolist())
    assert drive.tensor is not None
    gain = drive.gain.value(circuit.sizes())
    # The name of the axis stands where the index is the presentation step.
    columns = [block.indices.get(axis, np.array(axis)) for axis in drive.tensor.axes]
    rows = [np.broadcast_to(column, block.ids.shape).tolist() for column in columns]
    indices = list(zip(*rows, strict=True)) if rows else [()] * len(block.ids)
    return [(drive.tensor.name, index, gain) for index in indices]


def _edges(synapses: SynapseBlock) -> Iterator[tuple[int, int, dict[str, Any]]]:
    projection, weight = synapses.projection, synapses.weight
    pre, post = synapses.pre.tolist(), synapses.post.tolist()
    weights = [None] * len(pre) if weight is None else weight.tolist()
    for source, target, number in zip(pre, post, weights, strict=True):
        attributes = {"compartment": projection.compartment, "weight": number}
        yield source, target, {**attributes, "projection": projection.name, **_delay(projection)}


#: Level to the function that makes the graph.
LEVELS: Mapping[str, Callable[[Circuit, int], nx.MultiDiGraph[Any]]] = MappingProxyType(
    {"population": _of_populations, "neuron": _of_neurons}
)
