"""Along what rates and currents differ: never less than is seen when circuits run, and no more by hand."""

import numpy as np
import pytest

from cortico.backends.reference import currents
from cortico.ir.analysis import dependence
from cortico.ir.analysis.axes import bounded_axes, output_axes
from cortico.ir.domain import mask
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Bias, Mask
from tests.ir.many import CIRCUITS, SMALL, rates
from tests.passes.test_own_axes import circuit_with_constant_cells
from tests.random_circuits import numbers

TOKENS = 3


def differs_along(array, axes, inside):
    """The axes along which an array differs within a domain."""
    array, inside = np.broadcast_arrays(array, inside)
    return {axis for k, axis in enumerate(axes) if _differs(array, inside, k)}


def _differs(array, inside, side):
    most = np.max(np.where(inside, array, -np.inf), axis=side)
    least = np.min(np.where(inside, array, np.inf), axis=side)
    there = inside.any(axis=side)
    return bool((most[there] - least[there] > 1e-9 * (1 + np.abs(most[there]))).any())


def of_all(circuit, seed):
    """Each population with its rates and where it exists, rates that are no numbers left out."""
    sizes = circuit.sizes(dict.fromkeys(circuit.symbols, TOKENS))
    for name, array in rates(circuit, seed, TOKENS).items():
        population = circuit.population(name)
        if np.isfinite(array).all():
            yield population, array, mask(population.domain, population.axes, sizes)


def test_rates_differ_only_along_the_axes_that_are_said():
    for seed, circuit in enumerate(SMALL):
        said = dependence.rate_axes(circuit)
        assert set(said) == {p.name for p in circuit.populations}
        for population, array, inside in of_all(circuit, seed):
            assert differs_along(array, population.axes, inside) <= said[population.name]


@pytest.mark.slow
def test_currents_differ_only_along_the_axes_that_are_said():
    for seed, circuit in enumerate(SMALL):
        found = rates(circuit, seed, TOKENS)
        if not all(np.isfinite(array).all() for array in found.values()):
            continue
        inputs, weights = numbers(seed, circuit, TOKENS)
        for population, _, inside in of_all(circuit, seed):
            arrays = currents(circuit, found, population, inputs, weights)
            for part in population.compartments:
                said = dependence.current_axes(circuit, population, part)
                assert differs_along(arrays[part.name], population.axes, inside) <= said
                assert said <= dependence.own_axes(circuit, population, part)


def test_by_hand():
    circuit = lower(AttentionSpec(model=4, heads=2, mask=Mask.CAUSAL, bias=Bias(key=True)))
    assert dependence.rate_axes(circuit)["core_source"] == {"j", "m"}
    superficial = circuit.population("superficial")
    said = {
        c.name: dependence.current_axes(circuit, superficial, c) for c in superficial.compartments
    }
    assert said == {"apical": {"h", "j", "a"}, "basal": {"h", "i", "a"}}
    by_name = {p.name: p for p in circuit.projections}
    assert dependence.term_axes(circuit, by_name["gate"]) == {"h", "i", "j"}
    assert dependence.term_axes(circuit, by_name["shunt"]) == {"h", "i"}


def test_rates_of_constant_cells_differ_along_no_axis():
    circuit = circuit_with_constant_cells()
    assert dependence.rate_axes(circuit)["alike"] == set()
    deep = circuit.population("deep")
    apical = deep.compartment("apical")
    assert dependence.current_axes(circuit, deep, apical) == set()
    assert dependence.own_axes(circuit, deep, apical) == {"i", "j"}


def test_what_is_heard_counts_among_the_axes_that_cells_need():
    """An axis along which all is alike is needed: without it the synapses would sum along it."""
    circuit = lower(AttentionSpec(model=4, heads=2))
    relay = circuit.population("relay")
    (part,) = relay.compartments
    assert dependence.own_axes(circuit, relay, part) == {"i", "m"}


def test_extra_bounds_are_those_that_the_target_does_not_imply():
    for circuit in CIRCUITS:
        sizes = circuit.sizes(dict.fromkeys(circuit.symbols, 5))
        for p in circuit.projections:
            axes = circuit.synapse_axes(p)
            extra = dependence.extra_bounds(circuit, p)
            with_target = (*extra, *circuit.population(p.post).domain)
            exists = mask(circuit.synapse_domain(p), axes, sizes)
            assert np.array_equal(mask(with_target, axes, sizes), exists)
            assert not set(extra) & set(circuit.population(p.post).domain)


def test_axes_of_bounds_and_of_outputs():
    circuit = lower(AttentionSpec(model=4, heads=2, mask=Mask.CAUSAL))
    assert bounded_axes(circuit) == {"i", "j"}
    assert output_axes(circuit) == {"i", "m"}
    assert bounded_axes(lower(AttentionSpec(model=4))) == set()
