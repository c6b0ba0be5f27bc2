import pytest
import sympy
from hypothesis import assume, given

from tests.ir.circuits import all_cells, all_synapses, attention, tied_in_time
from tests.strategies import circuits


@given(circuits(symbolic=False))
def test_counts_are_those_of_enumeration(circuit):
    counts = circuit.counts()
    for p in circuit.populations:
        if not tied_in_time(circuit, p.domain):
            assert counts.neurons_of[p.name] == len(all_cells(circuit, p.name))
    for q in circuit.projections:
        if not tied_in_time(circuit, circuit.synapse_domain(q)):
            assert counts.synapses_of[q.name] == len(all_synapses(circuit, q))


@pytest.mark.slow
@given(circuits())
def test_symbolic_counts_are_those_of_the_bound_circuit(circuit):
    assume(circuit.symbols)
    symbol = sympy.Symbol("n", integer=True, positive=True)
    for n in (1, 2, 4):
        bound = circuit.bind(n=n).counts()
        for name in ("neurons", "synapses", "parameters"):
            formula = sympy.sympify(getattr(circuit.counts(), name))
            assert formula.subs(symbol, n) == getattr(bound, name)


def test_a_causal_mask_halves_the_microcolumns():
    full, causal = attention(tokens=4).counts(), attention(tokens=4, causal=True).counts()
    assert full.neurons_of["deep"] == 2 * 16 * 2
    assert causal.neurons_of["deep"] == 2 * 10 * 2
    assert full.parameters == 4 * 2 * 2 * 3
    names = [p.name for p in attention().populations if p.region.in_cortex]
    in_cortex = [attention().population(name) for name in names]
    assert attention().counts().neurons_in(in_cortex) == 2 * 9 * 4


def test_axes_in_time_cost_no_neurons():
    serial = attention(tokens=4, causal=True, clock="i").counts()
    assert serial.neurons_of["deep"] == 2 * 4 * 2
    assert serial.neurons_of["relay"] == 3
