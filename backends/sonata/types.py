"""What SONATA keeps as text: the configuration, and tables of node and edge types.

A node type is a population (its region, layer and cell class); an edge type is a projection, the pathway
from one population onto a compartment of another. The tables are separated by spaces, as SONATA has them.
A circuit that lives in time has two more columns: `delay` of edge types, in ms as SONATA has it (NULL where a
projection has none), and `integrates` of node types.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from cortico.backends.clock import delay_in_ms
from cortico.ir import Circuit, Population, Projection

CONFIG, NODES, EDGES = "circuit_config.json", "nodes.h5", "edges.h5"
NODE_TYPES, EDGE_TYPES = "node_types.csv", "edge_types.csv"

#: The names of the SONATA populations that hold all nodes, and all edges.
NODE_POPULATION, EDGE_POPULATION = "neurons", "neurons_to_neurons"

#: What SONATA has for an empty field.
_NOTHING = "NULL"

_NODE_HEADER = (
    "node_type_id", "pop_name", "model_type", "model_template", "region", "layer", "cell_class", "ei",
    "transfer", "compartments", "drive", "axes", "domain",
)  # fmt: skip
_EDGE_HEADER = (
    "edge_type_id", "target_query", "source_query", "model_template", "dynamics_params", "projection",
    "pathway", "effect", "weight", "domain",
)  # fmt: skip


def write_tables(circuit: Circuit, folder: Path) -> None:
    """`node_types.csv`, `edge_types.csv` and `circuit_config.json`."""
    for name, text in tables(circuit).items():
        (folder / name).write_text(text, encoding="utf-8")
    text = json.dumps(_config(), indent=2) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")


def tables(circuit: Circuit) -> dict[str, str]:
    """`node_types.csv` and `edge_types.csv` by file name.

    SpecError for a delay in steps.
    """
    nodes: list[Sequence[object]] = [_NODE_HEADER]
    nodes += (_node_type(k, p) for k, p in enumerate(circuit.populations))
    edges: list[Sequence[object]] = [_EDGE_HEADER]
    edges += (_edge_type(circuit, k, p) for k, p in enumerate(circuit.projections))
    if circuit.lives_in_time:
        integrates = ["integrates", *(p.integrates or "" for p in circuit.populations)]
        delays = ["delay", *(delay_in_ms(p) or "" for p in circuit.projections)]
        nodes = [(*row, last) for row, last in zip(nodes, integrates, strict=True)]
        edges = [(*row, last) for row, last in zip(edges, delays, strict=True)]
    return {NODE_TYPES: _csv(nodes), EDGE_TYPES: _csv(edges)}


def _config() -> dict[str, object]:
    nodes = {
        "nodes_file": f"$NETWORK_DIR/{NODES}",
        "node_types_file": f"$NETWORK_DIR/{NODE_TYPES}",
        "populations": {NODE_POPULATION: {"type": "point_neuron"}},
    }
    edges = {
        "edges_file": f"$NETWORK_DIR/{EDGES}",
        "edge_types_file": f"$NETWORK_DIR/{EDGE_TYPES}",
        "populations": {EDGE_POPULATION: {"type": "chemical"}},
    }
    return {
        "version": 2.4,
        "manifest": {"$NETWORK_DIR": "."},
        "networks": {"nodes": [nodes], "edges": [edges]},
    }


def _node_type(number: int, population: Population) -> Sequence[object]:
    drives = {c.name: " + ".join(map(str, c.drive)) for c in population.compartments if c.drive}
    return (
        number,
        population.name,
        "point_neuron",
        _NOTHING,
        population.region.value,
        population.region.label,
        population.cell_class.value,
        "i" if population.cell_class.inhibitory else "e",
        population.transfer,
        "; ".join(f"{c.name} {c.effect.value}" for c in population.compartments),
        "; ".join(f"{name} {drive}" for name, drive in drives.items()),
        ", ".join(population.axes),
        " and ".join(map(str, population.domain)),
    )


def _edge_type(circuit: Circuit, number: int, projection: Projection) -> Sequence[object]:
    target = circuit.population(projection.post)
    return (
        number,
        f"pop_name=='{projection.post}'",
        f"pop_name=='{projection.pre}'",
        _NOTHING,
        _NOTHING,
        projection.name,
        f"{projection.source} -> {projection.post}.{projection.compartment}",
        target.compartment(projection.compartment).effect.value,
        str(projection.weight),
        " and ".join(map(str, projection.domain)),
    )


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=" ", lineterminator="\n")
    writer.writerows([cell if cell != "" else _NOTHING for cell in row] for row in rows)
    return text.getvalue()
