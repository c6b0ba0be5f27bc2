"""Graphs of circuits; a graph of neurons computes attention when walked by somebody else's code."""

import math
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings

from cortico.ir import CircuitError, Compartment, Gain
from cortico.ir.graph import to_networkx
from tests.ir.circuits import attention, sampler, tensor
from tests.strategies import circuits

PHI = {"identity": lambda x: x, "exp": math.exp, "sqrt": math.sqrt, "tanh": math.tanh}


def walk(graph, inputs):
    """The rate of every neuron, from the graph alone: plain Python, one neuron at a time."""
    rates = {}
    for neuron in nx.topological_sort(graph):
        node = graph.nodes[neuron]
        currents = dict.fromkeys((name for name, _ in node["compartments"]), 0.0)
        for compartment, entries in node["drive"].items():
            for entry in entries:
                if isinstance(entry, tuple):
                    tensor, index, gain = entry
                    entry = gain * inputs[tensor][index]
                currents[compartment] += entry
        for pre, _, edge in graph.in_edges(neuron, data=True):
            currents[edge["compartment"]] += edge["weight"] * rates[pre]
        numerator = denominator = 1.0
        for name, effect in node["compartments"]:
            if effect == "multiplies":
                numerator *= currents[name]
            else:
                denominator *= currents[name]
        rates[neuron] = PHI[node["transfer"]](numerator / denominator if denominator else 0.0)
    return rates


def textbook(circuit, x, causal, softmax):
    """y_i = Σ_h W_O[h] Σ_j s_ij v_j with s = k·q, or its softmax over j at half the temperature."""
    W = {p.name: p.values for p in circuit.parameters}
    n, y = len(x), np.zeros_like(x)
    for h in range(len(W["W_Q"])):
        q, k, v = (x @ W[name][h].T for name in ("W_Q", "W_K", "W_V"))
        scores = np.exp(0.5 * (q @ k.T)) if softmax else q @ k.T
        if causal:
            scores = np.where(np.tri(n, dtype=bool), scores, 0)
        if softmax:
            scores = scores / scores.sum(axis=1, keepdims=True)
        y += scores @ v @ W["W_O"][h].T
    return y


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_the_graph_of_neurons_computes_attention(causal, softmax):
    circuit = attention(tokens=4, causal=causal, softmax=softmax)
    x = np.random.default_rng(1).normal(size=(4, 3))
    rates = walk(circuit.to_networkx("neuron"), {"x": x})
    view = circuit.neurons()
    ids = [
        [view.id_of(f"thalamus.higher_order.relay[{i},{m}]") for m in range(3)] for i in range(4)
    ]
    y = np.array([[rates[neuron] for neuron in row] for row in ids])
    np.testing.assert_allclose(y, textbook(circuit, x, causal, softmax), rtol=1e-12)


@settings(max_examples=25)
@given(circuits(symbolic=False))
def test_the_graph_of_neurons_has_every_neuron_and_synapse(circuit):
    graph = circuit.to_networkx("neuron")
    assert sorted(graph) == list(range(circuit.counts().neurons))
    assert graph.number_of_edges() == circuit.counts().synapses
    assert all(graph.nodes[n]["name"] == circuit.neurons().name_of(n) for n in graph)
    for _, _, key, edge in graph.edges(keys=True, data=True):
        assert edge["projection"] == key


@settings(max_examples=25)
@given(circuits())
def test_the_graph_of_populations_mirrors_the_circuit(circuit):
    graph = circuit.to_networkx()
    assert list(graph) == [p.name for p in circuit.populations]
    assert {key for *_, key in graph.edges(keys=True)} == {p.name for p in circuit.projections}
    for p in circuit.projections:
        edge = graph.edges[p.pre, p.post, p.name]
        assert edge["compartment"] == p.compartment
        assert edge.get("at", ()) == p.at
        assert edge["synapses"] == circuit.counts().synapses_of[p.name]


def test_attributes_of_a_population():
    node = sampler().to_networkx().nodes["cell"]
    assert str(node.pop("neurons")) == "48*n"
    assert node == {
        "region": "cortex.L2/3",
        "cell_class": "pyramidal_it",
        "axes": ("g", "h", "i", "t", "p", "u"),
        "transfer": "tanh",
        "domain": "i - t <= 3 and t - i <= 0",
        "compartments": (("apical", "multiplies"), ("keep", "multiplies"), ("shunt", "divides")),
    }
    edge = sampler().to_networkx().edges["cell", "sum", "gather"]
    assert edge["weight"] == "0.1 * size(p)^-1/2 * size(i)^-1 * W[g, h, p]"
    assert edge["domain"] == "t - i <= -1"


def test_drive_names_inputs_and_gives_numbers():
    circuit = sampler().bind(n=3)
    graph, view = circuit.to_networkx("neuron"), circuit.neurons()
    core = graph.nodes[view.id_of("thalamus.core.core[2,1]")]
    assert core["drive"] == {"driver": [("x", ("t", 2, 1), 1.0), -0.25]}
    cell = graph.nodes[view.id_of("cortex.area[1,2].column[1].L2/3.cell[3,0]")]
    assert cell["drive"] == {"apical": [1.0], "keep": [("keep", (1,), 1.0)], "shunt": [2.0]}


def test_drive_carries_its_gain():
    circuit = attention()
    driver = Compartment("driver", drive=(tensor("x", "jm", Gain(3.0)),))
    core = replace(circuit.population("core"), compartments=(driver,))
    circuit = replace(circuit, populations=(core, *circuit.populations[1:]))
    assert circuit.to_networkx("neuron").nodes[4]["drive"] == {"driver": [("x", (1, 1), 3.0)]}


def test_large_graphs_of_neurons_are_refused_with_the_count():
    huge = attention(tokens=10**12, weights=False)
    with pytest.raises(CircuitError, match=f"{huge.counts().synapses} synapses"):
        huge.to_networkx("neuron")
    assert huge.to_networkx("population").number_of_nodes() == 5
    small = attention()
    with pytest.raises(CircuitError, match="limit of 10"):
        to_networkx(small, "neuron", limit=10)


def test_unknown_level():
    with pytest.raises(
        CircuitError, match=r"'neurons' \(did you mean 'neuron'\?\): expected population or neuron"
    ):
        attention().to_networkx("neurons")


def test_graphs_of_symbolic_circuits_need_numbers_for_neurons():
    with pytest.raises(CircuitError, match=r"bind\(n=16\)"):
        sampler().to_networkx("neuron")
