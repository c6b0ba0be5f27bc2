"""Populations are neurons and synapses: each case, walked neuron by neuron on a plain networkx graph."""

import numpy as np
import pytest

from cortico.lowering import lower
from cortico.spec import AttentionSpec
from tests.cases import CASES
from tests.conformance.test_backends import expected_output, relative_error
from tests.covering import every_case
from tests.ir.test_graph import walk

# A neuron has one rate per presentation step, which a graph of neurons does not show.
IN_SPACE = [c for c in CASES if not lower(c.spec).presents_tokens]


@pytest.mark.parametrize("case", every_case(IN_SPACE))
def test_the_graph_of_neurons_equals_the_textbook(case):
    example = {name: array[1] for name, array in case.inputs.items()}
    circuit = lower(case.spec, case.weights)
    sizes = {"n": len(example["x"]), "n_context": len(example.get("context", ()))}
    circuit = circuit.bind(**{symbol: sizes[symbol] for symbol in circuit.symbols})
    graph = circuit.to_networkx("neuron")
    assert graph.number_of_nodes() == circuit.counts().neurons
    assert graph.number_of_edges() == circuit.counts().synapses
    rates = walk(graph, {name: array.astype(float) for name, array in example.items()})
    first = circuit.neurons().offset_of["relay"]
    expected = expected_output(case)[1]
    found = np.array([rates[first + k] for k in range(expected.size)]).reshape(expected.shape)
    assert relative_error(found, expected) < 1e-12


@pytest.mark.parametrize("tokens", [1, 2, 5, 9])
@pytest.mark.parametrize("mask", ["none", "causal", "window"])
def test_counts_of_the_mask_circuit_by_hand(tokens, mask):
    """d_k + d_v cells per microcolumn, a mask cell each; n(n+1)/2 columns when causal."""
    window = 3 if mask == "window" else None
    spec = AttentionSpec(model=6, heads=2, tokens=tokens, mask=mask_of(mask), window=window)
    counts = lower(spec).counts()
    pairs = sum(1 for i in range(tokens) for j in range(tokens) if seen(i, j, mask))
    assert counts.neurons_of["superficial"] == 2 * pairs * 3
    assert counts.neurons_of["deep"] == 2 * pairs * 3
    assert counts.neurons_of["mask"] == 2 * pairs
    assert counts.neurons_of["pool"] == 2 * tokens
    assert counts.synapses_of["key"] == 2 * pairs * 3 * 6
    assert counts.synapses_of["output"] == 2 * pairs * 3 * 6
    assert counts.synapses_of["score"] == 2 * pairs * 3


def mask_of(name):
    from cortico.spec import Mask

    return Mask(name)


def seen(i, j, mask):
    return mask == "none" or (j <= i and (mask == "causal" or i - j < 3))
