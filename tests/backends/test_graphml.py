"""GraphML read back by networkx is the graph that was written, at both levels."""

import dataclasses

import networkx as nx
import pytest

from cortico import SpecError, UnsupportedError, compile_attention, export_circuit, lower
from cortico.backends import get_backend
from cortico.backends.graphml import plain_graph
from cortico.ir.text.parser import parse_circuit
from cortico.spec import AttentionSpec
from cortico.spec.weights import random_weights
from tests.cases import CASES
from tests.covering import every_pair

CASE = {case.name: case for case in CASES}
SIZES = {"n": 4, "n_context": 3}


def read(folder, **options):
    return nx.read_graphml(folder / "circuit.graphml", force_multigraph=True, **options)


def same(one, other):
    assert dict(one.nodes(data=True)) == dict(other.nodes(data=True))
    assert {(a, b, k): d for a, b, k, d in one.edges(keys=True, data=True)} == {
        (a, b, k): d for a, b, k, d in other.edges(keys=True, data=True)
    }


@pytest.mark.parametrize("case", every_pair())
def test_populations(case, tmp_path):
    circuit = lower(case.spec, case.weights)
    export_circuit(circuit, "graphml", tmp_path)
    found = read(tmp_path)
    same(found, plain_graph(circuit, "population"))
    assert list(found) == [p.name for p in circuit.populations]
    edges = {k: (a, b, d["compartment"]) for a, b, k, d in found.edges(keys=True, data=True)}
    assert edges == {p.name: (p.pre, p.post, p.compartment) for p in circuit.projections}
    counts = circuit.counts()
    for population in circuit.populations:
        assert str(found.nodes[population.name]["neurons"]) == str(
            counts.neurons_of[population.name]
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["everything", "llama", "cross_padded", "linear-mask_none"])
def test_neurons(name, tmp_path):
    case = CASE.get(name) or next(c for c in CASES if c.name.startswith(name))
    circuit = lower(case.spec, case.weights)
    circuit = circuit.bind(**{s: SIZES[s] for s in circuit.symbols})
    backend = get_backend("graphml", level="neuron")
    export_circuit(circuit, backend, tmp_path)
    found = read(tmp_path, node_type=int)
    same(found, plain_graph(circuit, "neuron"))
    view, blocks = circuit.neurons(), list(circuit.neurons().synapses())
    assert [found.nodes[k]["name"] for k in range(view.size)] == [
        view.name_of(k) for k in range(view.size)
    ]
    expected = sorted(
        (pre, post, block.projection.name, weight)
        for block in blocks
        for pre, post, weight in zip(block.pre, block.post, block.weight, strict=True)
    )
    assert expected == sorted(
        (a, b, d["projection"], d["weight"]) for a, b, d in found.edges(data=True)
    )
    ids = [key for *_, key in found.edges(keys=True)]
    assert len(set(ids)) == len(ids)


def test_drives_are_text():
    spec = AttentionSpec(
        model=2, heads=1, tokens=2, bias=dataclasses.replace(AttentionSpec(2).bias, query=True)
    )
    weights = random_weights(spec, 0)
    graph = plain_graph(lower(spec, weights), "neuron")
    relays = [d for _, d in graph.nodes(data=True) if d["population"] == "matrix_query"]
    assert [d["drive"] for d in relays] == [
        f"driver x[{i}, {m}]" for i in range(2) for m in range(2)
    ]
    cells = [d["drive"] for _, d in graph.nodes(data=True) if d["population"] == "superficial"]
    assert cells[:2] == [f"basal {b!r}" for b in weights["b_Q"][0].tolist()]


def test_a_gain_is_in_the_text():
    circuit = lower(AttentionSpec(model=2, tokens=2))
    text = str(circuit).replace("driver multiplies x[i, m]", "driver multiplies 0.5 * x[i, m]")
    graph = plain_graph(parse_circuit(text), "neuron")
    assert graph.nodes[0]["drive"] == "driver 0.5 * x[0, 0]"


def test_a_hostile_title(tmp_path):
    spec = AttentionSpec(model=2, tokens=2, name='</graph>&"\x01]]><b>\n')
    export_circuit(lower(spec), "graphml", tmp_path)
    assert read(tmp_path).graph["name"] == '</graph>&" ]]><b> '


def test_symbolic_weights_are_left_out():
    graph = plain_graph(lower(AttentionSpec(model=2, tokens=2)), "neuron")
    weights = {d["projection"]: "weight" in d for *_, d in graph.edges(data=True)}
    assert weights["key"] is False and weights["gate"] is True


def test_what_is_refused():
    spec = AttentionSpec(model=8, heads=2, tokens=9)
    neuron = get_backend("graphml", level="neuron", limit=50)
    with pytest.raises(UnsupportedError) as caught:
        compile_attention(spec, passes="none", backend=neuron)
    circuit = lower(spec)
    counts = circuit.counts()
    at_most = get_backend("graphml", level="neuron", limit=counts.synapses)
    assert at_most.unsupported(circuit) == []
    at_most.limit -= 1
    assert len(at_most.unsupported(circuit)) == 1
    assert f"{counts.synapses:,} synapses, more than the limit of 50: raise it" in str(caught.value)
    assert f"{counts.neurons:,} neurons" in str(caught.value)
    assert get_backend("graphml", level="neuron").unsupported(lower(AttentionSpec(4))) == [
        "size 'n' has no number (compile with --tokens)"
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"level": "neurons"},
            "option level of backend graphml must be population or neuron, found 'neurons' "
            r"\(did you mean 'neuron'\?\)",
        ),
        ({"level": 3}, "must be population or neuron, found 3"),
        ({"limit": 0}, "option limit of backend graphml must be a positive integer, found 0"),
        (
            {"limit": "all"},
            "option limit of backend graphml must be a positive integer, found 'all'",
        ),
    ],
)
def test_options(options, message):
    with pytest.raises(SpecError, match=message):
        get_backend("graphml", **options)
