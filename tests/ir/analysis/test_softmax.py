"""Which exponentials may be shifted: decided by how rates scale, and refused where it is not sure."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Effect,
    Output,
    Region,
    Role,
    TensorRef,
    Weight,
)
from cortico.ir.analysis.softmax import shift_groups
from cortico.ir.invariants import check
from cortico.learning import differentiate, gradient_circuit
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel
from cortico.spec.weights import random_weights
from tests.covering import every_case


def softmax_circuit(**options):
    return lower(AttentionSpec(model=4, heads=2, **options))


@pytest.mark.parametrize("case", every_case())
def test_every_softmax_of_the_table_is_found(case):
    groups = shift_groups(lower(case.spec))
    members = {"mask"} | ({"sink"} if case.spec.sink else set())
    members |= {"extra_mask"} if case.spec.extra_source else set()
    assert set(groups) == (members if case.spec.kernel is Kernel.SOFTMAX else set())


def with_population(circuit, name, change):
    populations = [change(p) if p.name == name else p for p in circuit.populations]
    changed = replace(circuit, populations=tuple(populations))
    check(changed)
    return changed


def with_drive(circuit, population, compartment):
    """A constant drive on one compartment."""

    def change(p):
        parts = [
            replace(c, drive=(Weight(),)) if c.name == compartment else c for c in p.compartments
        ]
        return replace(p, compartments=tuple(parts))

    return with_population(circuit, population, change)


def test_a_constant_in_the_pool_stops_the_shift():
    assert shift_groups(with_drive(softmax_circuit(), "pool", "soma")) == {}


def test_a_constant_beside_the_pool_goes_with_the_shift():
    groups = shift_groups(softmax_circuit(semi_saturation=0.5, extra_source=True))
    for group in groups.values():
        assert set(group.raised) == {("deep", "shunt"), ("extra_deep", "shunt")}
    assert groups and not any(g.raised for g in shift_groups(softmax_circuit()).values())


def test_a_drive_beside_the_pool_that_is_no_constant_stops_the_shift():
    def change(p):
        parts = [
            replace(c, drive=(Weight(TensorRef("b_V", ("h", "c"))),)) if c.name == "shunt" else c
            for c in p.compartments
        ]
        return replace(p, compartments=tuple(parts))

    circuit = softmax_circuit(bias={"value": True})
    assert shift_groups(with_population(circuit, "deep", change)) == {}


def test_a_constant_in_the_mask_of_the_deep_cells_stops_the_shift():
    assert shift_groups(with_drive(softmax_circuit(), "deep", "apical")) == {}


def test_a_constant_in_the_exponent_does_not():
    assert set(shift_groups(with_drive(softmax_circuit(), "mask", "basal"))) == {"mask"}


def test_a_transfer_function_between_stops_the_shift():
    circuit = with_population(softmax_circuit(), "pool", lambda p: replace(p, transfer="sqrt"))
    assert shift_groups(circuit) == {}


def test_exponentials_before_the_nearest_ones_are_not_shifted():
    circuit = with_population(
        softmax_circuit(), "core_source", lambda p: replace(p, transfer="exp")
    )
    assert {group.members for group in shift_groups(circuit).values()} == {("mask",)}


def test_an_output_that_is_not_normalised_stops_the_shift():
    circuit = softmax_circuit()
    extra = Output("pool", TensorRef("pool", circuit.population("pool").axes))
    assert shift_groups(replace(circuit, outputs=(*circuit.outputs, extra))) == {}


def test_a_pool_that_multiplies_stops_the_shift():
    def multiply(p):
        parts = [replace(c, effect=Effect.MULTIPLIES) for c in p.compartments]
        return replace(p, compartments=tuple(parts))

    assert shift_groups(with_population(softmax_circuit(), "deep", multiply)) == {}


def test_a_pool_over_all_queries_stops_the_shift():
    """The shift differs from query to query; a pool that sums over queries does not see one shift."""
    circuit = with_population(softmax_circuit(), "pool", lambda p: replace(p, axes=p.axes[:1]))
    groups = shift_groups(circuit)
    # still one softmax, over queries and sources together: the shift may vary over heads alone
    assert {group.axes for group in groups.values()} == {("h",)}


def test_a_numerator_summed_over_queries_stops_the_shift():
    """Σ_i e[i,j] / Σ_j e[i,j]: numerator and pool see different shifts."""
    b = CircuitBuilder("mixed")
    i, j = b.axis("i", Role.COLUMN, "n"), b.axis("j", Role.COLUMN, "n")
    b.input("x", ("n",))
    drives = [Compartment(axis, drive=(Weight(TensorRef("x", (axis,))),)) for axis in (i, j)]
    b.population("e", (i, j), Region.L23, CellClass.IT, drives, transfer="exp")
    b.population("pool", (i,), Region.L5, CellClass.PV, [Compartment("soma")])
    b.population("summed", (j,), Region.L5, CellClass.IT, [Compartment("basal")])
    parts = [Compartment("basal"), Compartment("shunt", Effect.DIVIDES)]
    b.population("y", (i, j), Region.L5, CellClass.PT, parts)
    b.project("to_pool", "e", "pool", "soma")
    b.project("to_summed", "e", "summed", "basal")
    b.project("numerator", "summed", "y", "basal")
    b.project("divisor", "pool", "y", "shunt")
    b.output("y", "y", (i, j))
    assert shift_groups(b.build()) == {}


@pytest.mark.parametrize("learning", [False, True], ids=["attention", "gradients"])
def test_a_token_that_does_not_exist_does_not_set_the_shift(learning):
    """Its score is above 1000, so that all others would vanish; error cells hear keep from afar."""
    spec = AttentionSpec(model=4, heads=2, cross=True, key_padding=True)
    circuit = lower(spec, random_weights(spec))
    x = np.random.default_rng(0).standard_normal((7, 3, 4))
    inputs = {"x": x[0]} | ({"target": x[1]} if learning else {})
    circuit = gradient_circuit(differentiate(circuit)) if learning else circuit
    context = np.concatenate([x[2], 1e4 * x[3, :1], 1e4 * x[4, :1]])
    found = get_backend("numpy").run(
        circuit, {**inputs, "context": context, "keep": np.array([1, 1, 1, 0, 0], bool)}
    )
    expected = get_backend("numpy").run(circuit, {**inputs, "context": x[2]})
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-12, atol=1e-12)
