"""What is a known number and what is zero, held against circuits that run, and arrays written out."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from cortico.ir import TRANSFERS, Formula, Gain, Parameter, TensorRef, Weight
from cortico.ir.analysis import constants, zeros
from cortico.ir.rewrite import map_weights, readings, weights_of, with_values
from cortico.ir.tensors import rotation
from cortico.lowering import lower
from cortico.spec import AttentionSpec
from cortico.spec.weights import random_weights
from tests.cases import CASES
from tests.ir.circuits import attention, sampler
from tests.ir.many import CIRCUITS, SMALL, rates
from tests.passes.test_own_axes import circuit_with_constant_cells


def with_numbers(circuit, seed=0):
    """The circuit with sizes, and small whole numbers in all plain parameters: many are zero."""
    rng = np.random.default_rng(seed)
    bound = circuit.bind(**dict.fromkeys(circuit.symbols, 3))
    plain = [p for p in bound.parameters if p.formula is None]
    return with_values(bound, {p.name: rng.integers(-1, 2, p.shape) / 2 for p in plain})


def test_constant_populations_fire_the_same_whatever_arrives():
    found = 0
    for circuit in map(with_numbers, SMALL):
        constant = constants.constant_populations(circuit)
        first, second = (rates(circuit, seed) for seed in (0, 1))
        assert all(np.array_equal(first[n], second[n], equal_nan=True) for n in constant)
        found += len(constant)
    assert found > 20


def test_what_no_input_reaches_is_constant_once_it_has_numbers():
    for circuit in CIRCUITS:
        known = with_numbers(circuit)
        inputs = {t.name for t in circuit.inputs}
        reached = set()
        for p in known.order:
            onto = known.projections_onto(p.name)
            driven = any(
                w.tensor and w.tensor.name in inputs for c in p.compartments for w in c.drive
            )
            if driven or any(q.pre in reached for q in onto):
                reached.add(p.name)
        names = {p.name for p in known.populations}
        assert constants.constant_populations(known) == names - reached
        if any(p.values is None and p.formula is None for p in circuit.parameters):
            assert constants.constant_populations(circuit) <= names - reached


def test_cells_without_number_are_not_constant():
    circuit = circuit_with_constant_cells()
    assert constants.constant_populations(circuit) == set()
    assert constants.constant_populations(circuit.bind(n=3)) == {"alike"}


def test_weights_are_known_when_sizes_and_numbers_are():
    circuit = sampler()
    for weight in weights_of(circuit):
        axes = {*weight.axes, *(axis for axis, _ in weight.gain.sizes)}
        sized = constants.has_numbers(circuit, axes)
        assert sized == all(isinstance(circuit.axis(a).extent, int) for a in axes)
        stored = constants.stored_of(circuit, weight)
        has_values = stored is None or constants.values_of(circuit, stored.name) is not None
        assert constants.is_known(circuit, weight) == (sized and has_values)
    power = Weight(gain=Gain(1.0, (("i", Fraction(1)),)))
    symbolic = lower(AttentionSpec(model=4))
    assert not constants.is_known(symbolic, power)
    assert constants.is_known(symbolic.bind(n=3), power)
    assert not constants.is_known(symbolic.bind(n=3), Weight(TensorRef("x", ("i", "m"))))


def test_gains_are_numbers_when_their_sizes_are():
    circuit = lower(AttentionSpec(model=4, heads=2))
    power = Fraction(-1, 2)
    assert constants.number_of(circuit, Gain(3.0)) == 3.0
    assert constants.number_of(circuit, Gain(3.0, (("m", power),))) == 1.5
    assert constants.number_of(circuit, Gain(3.0, (("m", power), ("i", power)))) is None
    assert constants.number_of(circuit.bind(n=9), Gain(3.0, (("m", power), ("i", power)))) == 0.5


def test_arrays_of_formulas_are_written_out():
    circuit = lower(next(c.spec for c in CASES if c.spec.rotary))
    turned = next(p for p in circuit.parameters if p.formula)
    (argument,) = turned.formula.arguments
    assert constants.array_of(circuit, turned.name) is None
    assert constants.array_of(circuit, circuit.inputs[0].name) is None
    known = circuit.bind(n=3)
    frequencies = constants.values_of(known, argument)
    expected = rotation((3, *turned.shape[1:]), frequencies)
    np.testing.assert_array_equal(constants.array_of(known, turned.name), expected)
    np.testing.assert_array_equal(constants.array_of(known, argument), frequencies)


def test_what_formulas_are_made_of():
    circuit = sampler()
    assert constants.stored_of(circuit, Weight()) is None
    plain = Parameter("slopes", (2,)), Parameter("f", (4,))
    made = (
        Parameter("D", (2, "n", "n"), None, Formula("distance", ("slopes",))),
        Parameter("T", ("n", 4, 2, 2), None, Formula("rotation", ("f",))),
    )
    circuit = replace(circuit, parameters=(*circuit.parameters, *plain, *made))
    of = lambda name, axes: constants.stored_of(circuit, Weight(TensorRef(name, tuple(axes))))  # noqa: E731
    assert of("D", "hij") == TensorRef("slopes", ("h",))
    assert of("T", "jpqr") == TensorRef("f", ("p",))
    assert of("slopes", "h") == TensorRef("slopes", ("h",))


# ---- zeros -------------------------------------------------------------------------------------------


def test_where_weights_are_live():
    """Never less than where the array is not zero; exactly there for plain parameters."""
    for seed, circuit in enumerate(SMALL):
        known = with_numbers(circuit, seed)
        for weight in weights_of(known):
            if weight.tensor is None:
                assert zeros.is_zero(known, weight) == (weight.gain.coefficient == 0)
                continue
            array = constants.array_of(known, weight.tensor.name)
            for axes in ((), weight.axes[:1], weight.axes[::-1], weight.axes[1:]):
                found = zeros.live_along(known, weight, axes)
                assert found.shape == tuple(known.axis(axis).extent for axis in axes)
                if array is None:
                    assert found.all() or weight.gain.coefficient == 0
                    continue
                live = np.einsum(
                    (array != 0) * (weight.gain.coefficient != 0) * 1.0,
                    [known.axes.index(known.axis(a)) for a in weight.axes],
                    [known.axes.index(known.axis(a)) for a in axes],
                )
                plain = constants.values_of(known, weight.tensor.name) is not None
                assert np.array_equal(found, live > 0) if plain else (found >= (live > 0)).all()


def test_symbols_are_never_zero():
    circuit = attention(weights=False)
    assert not any(zeros.is_zero(circuit, weight) for weight in weights_of(circuit))
    nothing = map_weights(circuit, lambda w: replace(w, gain=Gain(0.0)))
    assert all(zeros.is_zero(nothing, weight) for weight in weights_of(nothing))


def test_a_bias_by_distance_is_dead_where_its_slope_is():
    spec = next(c.spec for c in CASES if c.name == "alibi")
    circuit = lower(spec, random_weights(spec, 0)).bind(n=3)
    (distance,) = (p for p in circuit.parameters if p.formula)
    bias = next(reading for reading in readings(circuit) if reading.name == distance.name)
    (slopes,) = distance.formula.arguments
    values = np.array(constants.values_of(circuit, slopes))
    values[0] = 0
    dead = with_values(circuit, {slopes: values})
    found = zeros.live_along(dead, Weight(bias), bias.axes[:1])
    assert found.tolist() == (values != 0).tolist()


@pytest.mark.parametrize("name", TRANSFERS)
def test_which_neurons_keep_silent(name):
    population = replace(attention().populations[0], transfer=name)
    with np.errstate(divide="ignore"):
        assert zeros.keeps_zero(population) == (float(TRANSFERS[name].evaluate(0.0)) == 0.0)
