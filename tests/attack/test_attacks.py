"""A few trials of every attack, the same at each run; and the oracles of the attacks themselves.

`CORTICO_ATTACK_SEED=S` makes others. `make attack` makes many, with a new seed each time: what chance finds there
is no fault of the change that happens to be tested.
"""

import os
from dataclasses import fields, replace
from enum import StrEnum
from random import Random

import numpy as np
import pytest

from cortico.backends.reference import ReferenceBackend
from cortico.ir import Gain, Weight
from cortico.lowering import lower
from cortico.spec import AttentionSpec, NormOver
from cortico.spec.weights import random_weights
from tests.attack import attacks, trials_in_tests
from tests.attack.circuits import from_textbook
from tests.attack.differences import apart, drawn_inputs
from tests.attack.drawing import random_spec
from tests.attack.oracle import ROUNDOFF, Run
from tests.attack.places import with_compartment
from tests.attack.runner import attack, summary

SEED = "CORTICO_ATTACK_SEED"


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", attacks())
def test_attacks_find_nothing_wrong(name):
    seed = int(os.environ.get(SEED, "0"))
    found = attack(name, range(seed, seed + trials_in_tests(name)))
    assert not found.wrong, f"{SEED}={seed}\n{summary(found)}"


# ---- the oracles ---------------------------------------------------------------------------------


def subjects(count):
    """Specs with weights."""
    for seed in range(count):
        random = Random(seed)
        spec = random_spec(random)
        # what float64 cannot hold the reference interpreter cannot say
        spec = replace(spec, scale=spec.scale and min(spec.scale, 2.0))
        yield seed, spec, random_weights(spec, seed)


def test_every_field_of_a_spec_is_drawn():
    """A field that is new has to be met by attacks, and so have all choices: of circuits that do not live in time."""
    drawn = [random_spec(Random(seed)) for seed in range(600)]
    in_time = {"normalisation", "feedback"}
    for field in (f for f in fields(AttentionSpec) if f.name not in in_time):
        found = {getattr(spec, field.name) for spec in drawn}
        choices = {c for value in found if isinstance(value, StrEnum) for c in type(value)}
        assert field.name == "name" or len(found) > 1, field.name
        assert choices <= found, field.name
    norms = {spec.qk_norm.over for spec in drawn if spec.qk_norm}
    assert norms == {*NormOver} and any(spec.qk_norm and spec.rotary for spec in drawn)


@pytest.mark.filterwarnings("ignore")
def test_the_interpreter_of_attacks_is_the_reference():
    compared = 0
    for seed, spec, weights in subjects(60):
        circuit = lower(spec, weights)
        symbols = {symbol: 3 + k for k, symbol in enumerate(circuit.symbols)}
        inputs = drawn_inputs(circuit, symbols, np.random.default_rng(seed))
        plain = {p.name: p.values for p in circuit.parameters if p.formula is None}
        run = Run(circuit, circuit.sizes(symbols), {**inputs, **plain})
        found, expected = run.output("y"), ReferenceBackend().run(circuit, inputs)["y"]
        usable = np.isfinite(expected) & np.isfinite(found.scale) & np.isfinite(found.value)
        usable &= ~run.overflowed[:, None, None]
        bound = 64 * ROUNDOFF["float64"] * np.where(usable, found.scale, 0)
        assert (np.abs(found.value - expected)[usable] <= bound[usable]).all(), (seed, spec)
        compared += usable.sum()
    assert compared > 1000


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_textbook_of_attacks_is_what_is_lowered():
    for seed, spec, _ in subjects(12):
        found = from_textbook(Random(seed), spec, lower(spec), seed)
        assert found.agrees or found.covered < 1, (seed, spec, found)


@pytest.mark.filterwarnings("ignore")
def test_the_oracle_sees_what_is_wrong_and_no_rounding():
    seen = []
    for seed, spec, weights in subjects(30):
        circuit = lower(spec, weights)
        assert not apart(circuit, circuit, seed).differs
        driver = circuit.population("relay").compartment("driver")
        more = replace(driver, drive=(*driver.drive, Weight(gain=Gain(1.0))))
        wrong = with_compartment(circuit, "relay", more)
        seen.append(apart(circuit, wrong, seed).differs)
    assert np.mean(seen) > 0.9  # the rest have outputs beside which one is nothing
