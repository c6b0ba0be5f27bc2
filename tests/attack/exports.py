"""Random circuits, with names that trouble files, written for other tools and read by those tools' libraries.

networkx reads GraphML, libsonata SONATA, nir NIR. What they find is held against what the interpreter's own
circuit says of itself: names, numbers of cells and synapses, the sum of all weights.
"""

from __future__ import annotations

import random
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np

from cortico import AttentionSpec, export_circuit, freeze, get_backend, lower
from cortico.backends.sonata.reading import read_sonata
from cortico.ir import Circuit, UnsupportedError
from cortico.spec import Kernel
from cortico.spec.weights import random_weights
from tests.attack.circuits_on_backends import drawn, words
from tests.attack.trial import Trial
from tests.random_circuits import numbers
from tests.renaming import renamed

#: Cells and synapses of a circuit that is written.
_MOST = 20_000

#: Trials that pytest makes.
IN_TESTS = 8

_AFFINE = AttentionSpec(4, 2, key_features=3, kernel=Kernel.LINEAR, cross=True, context=5)


def trial(seed: int) -> Trial:
    """One circuit, written in one format."""
    rng = random.Random(seed)
    circuit, how = drawn(rng)
    tokens = rng.choice((1, 2, 3))
    circuit = circuit.bind(**dict.fromkeys(circuit.symbols, tokens))
    counts = circuit.counts()
    if counts.neurons + counts.synapses > _MOST:
        return Trial("large", wrong=False, detail=how)
    name, check = rng.choice(FORMATS)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        try:
            wrong = check(circuit, Path(folder), seed)
        except UnsupportedError as error:
            named = name in str(error)
            return Trial("refused", not named, f"{name}: {how}: {error}")
        except Exception as error:
            return Trial("stops", True, f"{name}: {how}: {type(error).__name__}: {error}")
    return Trial("differs" if wrong else "agrees", bool(wrong), f"{name}: {how}: {wrong}")


# ---- formats -------------------------------------------------------------------------------------


def _populations(circuit: Circuit, folder: Path, seed: int) -> str:
    export_circuit(circuit, "graphml", folder)
    graph = nx.read_graphml(folder / "circuit.graphml", force_multigraph=True)
    edges = {k: (a, b) for a, b, k in graph.edges(keys=True)}
    if list(graph) != [p.name for p in circuit.populations]:
        return f"nodes {list(graph)}"
    expected = {p.name: (p.pre, p.post) for p in circuit.projections}
    return "" if edges == expected else f"edges {edges}, not {expected}"


def _neurons(circuit: Circuit, folder: Path, seed: int) -> str:
    export_circuit(circuit, get_backend("graphml", level="neuron"), folder)
    graph = nx.read_graphml(folder / "circuit.graphml", node_type=int, force_multigraph=True)
    view = circuit.neurons()
    names = [graph.nodes[k]["name"] for k in sorted(graph)]
    if names != [view.name_of(k) for k in range(view.size)]:
        return "names of neurons"
    found = Counter(d["projection"] for _, _, d in graph.edges(data=True))
    expected = {name: int(n) for name, n in circuit.counts().synapses_of.items() if n}
    return "" if found == expected else f"synapses {dict(found)}, not {expected}"


def _sonata(circuit: Circuit, folder: Path, seed: int) -> str:
    import libsonata

    _, weights = numbers(seed, circuit, 1, ())
    stored = (replace(p, values=weights.get(p.name, p.values)) for p in circuit.parameters)
    circuit = replace(circuit, parameters=tuple(stored))
    export_circuit(circuit, get_backend("sonata", block=97), folder)
    read_sonata(folder)
    config = libsonata.CircuitConfig.from_file(str(folder / "circuit_config.json"))
    nodes, edges = (
        config.node_population("neurons"),
        config.edge_population("neurons_to_neurons"),
    )
    counts = circuit.counts()
    if (nodes.size, edges.size) != (counts.neurons, counts.synapses):
        return f"{nodes.size} nodes, {edges.size} edges"
    of = Counter(nodes.get_attribute("population", nodes.select_all()))
    expected = {name: int(n) for name, n in counts.neurons_of.items() if n}
    if of != expected:
        return f"cells {dict(of)}, not {expected}"
    if not edges.size:
        return ""  # libsonata has no empty selection
    given = edges.get_attribute("syn_weight", edges.select_all())
    blocks = [block.weight for block in circuit.neurons().synapses()]
    return "" if np.array_equal(given, np.concatenate([[], *blocks]), equal_nan=True) else "weights"


def _nir(circuit: Circuit, folder: Path, seed: int) -> str:
    """Linear attention with a frozen memory under other names: next to nothing else is an affine map."""
    import nir

    rng = random.Random(seed)
    plain = lower(_AFFINE, random_weights(_AFFINE, seed))
    source = renamed(rng, plain, words(plain), rng.choice((0.1, 0.3, 1.0)))
    given, _ = numbers(seed, source, 3, ())
    (held,) = (name for name, array in given.items() if array.shape[-1] == _AFFINE.context)
    export_circuit(freeze(source, {held: given[held]}), get_backend("nir", dtype="float64"), folder)
    graph = nir.read(folder / "attention.nir")
    kinds = Counter(type(node).__name__ for node in graph.nodes.values())
    inputs, outputs = kinds["Input"], kinds["Output"]
    return "" if (inputs, outputs) == (1, 1) else f"{inputs} inputs, {outputs} outputs"


FORMATS: tuple[tuple[str, Callable[[Circuit, Path, int], str]], ...] = (
    ("graphml", _populations),
    ("graphml", _neurons),
    ("sonata", _sonata),
    ("nir", _nir),
)
