"""Readers, letters, signs and inputs."""

import re
from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import Gain, InputKind, SpecError, TensorRef, Weight
from cortico.ir.analysis.constants import array_of
from cortico.ir.analysis.inputs import all_live, bind_symbols, infinite_weights, stored_values
from cortico.ir.analysis.letters import axis_letters
from cortico.ir.analysis.readers import is_output, is_read_once
from cortico.ir.analysis.signs import Signs
from cortico.ir.rewrite import map_weights, rename, with_values
from cortico.ir.text import print_circuit
from cortico.lowering import lower
from cortico.spec import AttentionSpec
from tests.ir.circuits import attention
from tests.ir.many import CIRCUITS, SMALL, rates

# ---- readers -----------------------------------------------------------------------------------------


def test_a_tensor_is_read_once_when_the_text_has_it_once():
    for circuit in CIRCUITS:
        text = re.sub(r"^(input|parameter) \w+", "", print_circuit(circuit), flags=re.MULTILINE)
        words = re.findall(
            r"\w+", re.sub(r'"[^"]*"|^population.*|^projection \w+', "", text, flags=re.M)
        )
        names = {p.name for p in (*circuit.populations, *circuit.projections)}
        for tensor in circuit.inputs + circuit.parameters:
            if tensor.name not in names | {a.name for a in circuit.axes}:
                assert is_read_once(circuit, tensor.name) == (words.count(tensor.name) == 1)


def test_outputs():
    for circuit in CIRCUITS:
        read = {o.source.name for o in circuit.outputs}
        assert {p.name for p in circuit.populations if is_output(circuit, p.name)} == read


# ---- letters -----------------------------------------------------------------------------------------


def test_each_axis_has_a_letter_of_its_own():
    for circuit in CIRCUITS:
        letters = axis_letters(circuit)
        assert set(letters) == {axis.name for axis in circuit.axes}
        assert len(set(letters.values())) == len(letters)
        assert all(len(x) == 1 and x.isalpha() for x in letters.values())
        assert all(letters[a.name] == a.name for a in circuit.axes if len(a.name) == 1)


def test_letters_are_taken_from_the_name_where_they_are_free():
    circuit = rename(attention(), axes={"h": "head", "a": "him", "c": "_9"})
    letters = axis_letters(circuit)
    assert (letters["head"], letters["i"]) == ("h", "i")
    assert letters["him"] == "a"  # h, i and m are taken
    assert letters["_9"] == "b"


# ---- signs -------------------------------------------------------------------------------------------


def test_rates_said_to_be_positive_are():
    found = 0
    for seed, circuit in enumerate(SMALL):
        signs = Signs(circuit)
        for name, array in rates(circuit, seed).items():
            if name in signs.positive and np.isfinite(array).all():
                assert array.min() >= 0
                found += 1
    assert found > 50


def test_the_signs_of_weights():
    circuit = with_values(attention(), {"W_K": np.abs(attention().tensor("W_K").values)})
    signs = Signs(circuit)
    for projection in circuit.projections:
        weight = projection.weight
        values = array_of(circuit, weight.tensor.name) if weight.tensor else np.ones(())
        expected = set(np.sign(values[values != 0] * np.sign(weight.gain.coefficient)).tolist())
        assert signs.signs_of(weight) == expected
    unknown = attention(weights=False)
    assert Signs(unknown).signs_of(Weight(TensorRef("W_K", ("h", "a", "m")))) == {1, -1}


def test_masks_are_positive_and_inputs_are_not():
    circuit = lower(AttentionSpec(model=4, heads=2, key_padding=True))
    mask = {t.name for t in circuit.inputs if t.kind is InputKind.MASK}
    signs = Signs(circuit)
    for p in circuit.populations:
        drives = [w for c in p.compartments for w in c.drive if w.tensor]
        if len(drives) == 1 == len(p.compartments) and not circuit.projections_onto(p.name):
            assert (p.name in signs.positive) == (drives[0].tensor.name in mask)


def test_a_mask_times_a_negative_gain_is_not_positive():
    circuit = lower(AttentionSpec(model=4, heads=2, key_padding=True))
    minus = map_weights(circuit, lambda w: replace(w, gain=Gain(-1.0) * w.gain))
    masks = {t.name for t in circuit.inputs if t.kind is InputKind.MASK}
    driven = [
        (p.name, c)
        for p in circuit.populations
        for c in p.compartments
        if any(w.tensor and w.tensor.name in masks for w in c.drive)
    ]
    assert driven
    for name, part in driven:
        for each, expected in ((circuit, True), (minus, False)):
            population = each.population(name)
            current = Signs(each).current_is_positive(population, population.compartment(part.name))
            assert current == expected


# ---- inputs ------------------------------------------------------------------------------------------


def test_symbols_are_read_off_inputs():
    circuit = lower(AttentionSpec(model=4, key_padding=True))
    x = np.ones((7, 5, 4))
    assert bind_symbols(circuit, {"x": x}) == {"n": 5}
    live = all_live(circuit, {"x": x}, {"n": 5})
    (mask,) = (t.name for t in circuit.inputs if t.kind is InputKind.MASK)
    assert live["x"] is x
    assert live[mask].shape == (5,) and live[mask].all()
    with pytest.raises(SpecError, match=r"(?s)unknown input 'y'.*'x' is missing"):
        bind_symbols(circuit, {"y": x})
    with pytest.raises(SpecError, match="has shape"):
        bind_symbols(circuit, {"x": x, mask: np.ones(4)})


def test_numbers_of_parameters_are_given_stored_or_missed():
    circuit = attention()
    first, second = circuit.parameters[:2]
    found = stored_values(circuit, {}, {first.name: first.values + 1})
    assert np.array_equal(found[first.name], first.values + 1)
    assert found[second.name] is second.values
    with pytest.raises(SpecError, match="unknown parameter"):
        stored_values(circuit, {}, {"no such": np.ones(1)})
    with pytest.raises(SpecError, match="has no values"):
        stored_values(attention(weights=False), {})
    assert list(infinite_weights(circuit)) == []
    broken = with_values(circuit, {first.name: first.values * np.inf})
    assert [first.name in line for line in infinite_weights(broken)] == [True]
