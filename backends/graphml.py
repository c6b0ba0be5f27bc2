"""The GraphML backend: the circuit as a graph of populations, or of single neurons, for graph tools.

GraphML (Brandes et al. 2002, doi 10.1007/3-540-45848-4_59) has numbers and texts as attributes, and ids
that are unique in a file. So lists become texts, and edges of the neuron graph are numbered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cortico.ir import Circuit
from cortico.ir.graph import to_networkx
from cortico.ir.limits import SIZE
from cortico.ir.options import OptionSet, whole

if TYPE_CHECKING:
    import networkx as nx

#: Neurons or synapses in a file, at most, where the user does not say: about 30 MB of text.
LIMIT = 100_000


@dataclass(frozen=True)
class Options(OptionSet):
    """What is in the file: the graph of populations or of neurons, of at most `limit` neurons or synapses."""

    owner = "backend graphml"

    level: Literal["population", "neuron"] = "population"
    limit: Annotated[int, whole(1, SIZE, "a positive integer")] = LIMIT


class GraphmlBackend:
    """Emits `circuit.graphml`."""

    name = "graphml"
    in_time = True
    summary = "a GraphML file: a graph of populations, or of neurons (level=neuron)"

    def __init__(self, **options: object) -> None:
        chosen = Options.of(options)
        self.level, self.limit = chosen.level, chosen.limit

    def unsupported(self, circuit: Circuit) -> list[str]:
        if self.level == "population":
            return []
        if circuit.symbols:
            return [f"size {s!r} has no number (compile with --tokens)" for s in circuit.symbols]
        counts = circuit.counts()
        return [
            f"{count:,} {noun}, more than the limit of {self.limit:,}: raise it with --option limit=N, "
            "or write them with --backend sonata"
            for count, noun in ((counts.synapses, "synapses"), (counts.neurons, "neurons"))
            if count > self.limit
        ]

    def emit(self, circuit: Circuit) -> Mapping[str, str]:
        import networkx as nx

        graph = plain_graph(circuit, self.level, self.limit)
        return {"circuit.graphml": "\n".join(nx.generate_graphml(graph)) + "\n"}


def plain_graph(circuit: Circuit, level: str, limit: int = LIMIT) -> nx.MultiDiGraph[Any]:
    """`circuit.to_networkx(level)` with numbers and texts as attributes, and no edge key twice.

    What is None, such as a symbolic weight, is left out.
    """
    import networkx as nx

    graph = to_networkx(circuit, level, limit)
    plain: nx.MultiDiGraph[Any] = nx.MultiDiGraph(name=_text(circuit.name))
    for node, attributes in graph.nodes(data=True):
        plain.add_node(node, **_plain(attributes))
    for number, (pre, post, key, attributes) in enumerate(graph.edges(keys=True, data=True)):
        unique = key if level == "population" else f"{key}.{number}"
        plain.add_edge(pre, post, key=unique, **_plain(attributes))
    return plain


def _plain(attributes: Mapping[str, Any]) -> dict[str, int | float | str]:
    return {name: _value(value) for name, value in attributes.items() if value is not None}


def _value(value: Any) -> int | float | str:
    """A number as it is, anything else as text."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple):
        return ", ".join(map(_item, value))
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {' + '.join(map(_item, drives))}" for key, drives in value.items())
    return _text(str(value))


def _item(item: Any) -> str:
    """`apical multiplies` for a compartment, `0.5 * x[2, 0]` for what is read off a tensor."""
    match item:
        case (str(tensor), tuple(index), gain):
            read = f"{tensor}[{', '.join(map(str, index))}]"
            return read if gain == 1 else f"{gain} * {read}"
        case (str(name), str(effect)):
            return f"{name} {effect}"
        case _:
            return str(item)


def _text(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(c if c.isprintable() else " " for c in text)
