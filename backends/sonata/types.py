"""What SONATA keeps as text: the configuration, and tables of node and edge types.

A node type is a population (its region, layer and cell class); an edge type is a projection, the pathway
from one population onto a compartment of another. The tables are separated by spaces, as SONATA has them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

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
    nodes = (_node_type(k, p) for k, p in enumerate(circuit.populations))
    edges = (_edge_type(circuit, k, p) for k, p in enumerate(circuit.projections))
    _write_csv(folder / NODE_TYPES, _NODE_HEADER, nodes)
    _write_csv(folder / EDGE_TYPES, _EDGE_HEADER, edges)
    text = json.dumps(_config(), indent=2) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")


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


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=" ", lineterminator="\n")
        writer.writerow(header)
        writer.writerows([cell if cell != "" else _NOTHING for cell in row] for row in rows)
