"""split-sign: rates that are never negative, and Dale's principle."""

from dataclasses import replace

import numpy as np
import pytest

import cortico.passes.split_sign as module
from cortico.backends.reference import interpret
from cortico.ir import (
    CellClass,
    Circuit,
    CircuitBuilder,
    Compartment,
    Effect,
    PassError,
    Region,
    Role,
    TensorRef,
    Weight,
    check,
)
from cortico.ir.analysis.constants import array_of
from cortico.lowering import lower
from cortico.passes import parse_passes, run_passes
from cortico.passes.base import nominal
from cortico.passes.meaning import compare_meaning
from cortico.passes.share_relays import ShareRelays
from cortico.passes.split_sign import SplitSign
from cortico.spec import AttentionSpec, Kernel
from cortico.spec.weights import random_weights
from tests.covering import every_case, every_pair

THIS = SplitSign()
SMALL = AttentionSpec(model=4, heads=2, tokens=3)
LINEAR = replace(SMALL, kernel=Kernel.LINEAR)


def assert_dale(circuit: Circuit) -> None:
    """Weights of one sign per projection: negative, or shunting, exactly for inhibitory cells."""
    values = {p.name: array_of(circuit, p.name) for p in circuit.parameters}
    for p in circuit.projections:
        tensor = p.weight.tensor
        weights = p.weight.gain.coefficient * (values[tensor.name] if tensor else np.ones(1))
        divides = circuit.population(p.post).compartment(p.compartment).effect is Effect.DIVIDES
        inhibitory = circuit.population(p.pre).cell_class.inhibitory
        if divides:
            assert inhibitory, p
        effect = -weights if inhibitory and not divides else weights
        assert (effect >= 0).all(), p


def assert_rates_positive(circuit: Circuit, inputs) -> None:
    """No rate is negative but the readouts', and nobody hears those."""
    readouts = {output.source.name for output in circuit.outputs}
    assert not any(circuit.projections_from(name) for name in readouts)
    for name, rate in interpret(circuit, inputs).items():
        assert name in readouts or (rate >= 0).all(), name


def symbolic_rotation(case) -> bool:
    return case.spec.rotary is not None and isinstance(case.spec.tokens, str)


@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "after-share-relays"])
def test_cases(case, shared):
    before = lower(case.spec, case.weights)
    if symbolic_rotation(case):
        assert THIS.run(before) is before  # the signs of a rotation depend on the number of tokens
        tokens = dict(zip(before.symbols, (5, 4), strict=False))
        before = before.bind(**tokens)
    before = ShareRelays().run(before) if shared else before
    after = THIS.run(before)
    if case.spec.soft_cap:  # tanh of what is signed is signed
        assert after is before
        return
    assert after is not before
    check(after)
    compare_meaning(before, after)
    assert THIS.cost(nominal(after)) == THIS.cost(nominal(before)) == 0
    assert THIS.run(after) is after
    assert_dale(after)
    assert_rates_positive(after, {name: array[0] for name, array in case.inputs.items()})


@pytest.mark.parametrize("case", every_case())
def test_symbolic_weights_are_refused(case):
    before = lower(case.spec)
    assert THIS.run(before) is before


def test_what_comes_after_keeps_the_meaning():
    before = lower(LINEAR, random_weights(LINEAR, 0))
    after = THIS.run(before)
    compare_meaning(before, ShareRelays().run(after))


def test_positive_weights_need_no_interneurons():
    """Weights without a negative entry still meet signed tokens: x = on - off."""
    weights = {name: np.abs(w) for name, w in random_weights(SMALL, 0).items()}
    after = THIS.run(lower(SMALL, weights))
    assert {p.name for p in after.parameters} == set(weights)
    compare_meaning(lower(SMALL, weights), after)


def test_counts():
    """Linear attention, shared: each relay and product of two signed factors in its sign versions."""
    before = ShareRelays().run(lower(LINEAR, random_weights(LINEAR, 0)))
    after = THIS.run(before)
    neurons, old = after.counts().neurons_of, before.counts().neurons_of
    assert neurons["key_relay_on"] == neurons["key_relay_off"] == old["key_relay"]
    combinations = ["on_on", "on_off", "off_on", "off_off"]
    assert all(neurons[f"superficial_{signs}"] == old["superficial"] for signs in combinations)
    assert neurons["relay"] == old["relay"]


def lone(transfer="identity", cell=CellClass.IT, divisor=None) -> Circuit:
    """x[i] onto one population, read out."""
    b = CircuitBuilder("lone")
    b.axis("i", Role.COLUMN, 3)
    b.input("x", (3,))
    drive = (Weight(TensorRef("x", ("i",))),)
    parts = [Compartment("soma", drive=drive)]
    if divisor is not None:
        parts.append(Compartment("shunt", Effect.DIVIDES, (divisor,)))
    b.population("cells", ("i",), Region.L23, cell, parts, transfer)
    b.population("y", ("i",), Region.L5, CellClass.PT, [Compartment("soma")])
    b.project("out", "cells", "y", "soma")
    b.output("y", "y", ("i",))
    return b.build()


REFUSED = {
    "tanh": lone("tanh"),
    "signed inhibitory cells": lone(cell=CellClass.PV),
    "signed divisor": lone(divisor=Weight(TensorRef("x", ("i",)))),
}


@pytest.mark.parametrize("before", REFUSED.values(), ids=REFUSED.keys())
def test_refusals(before):
    assert THIS.run(before) is before


def test_golden(golden):
    spec = AttentionSpec(model=2, tokens=3, kernel=Kernel.LINEAR)
    before = ShareRelays().run(lower(spec, random_weights(spec, 0)))
    golden(
        f"# --passes split-sign\n{before}\n# becomes\n{THIS.run(before)}",
        name="passes/split_sign.txt",
    )


# ---- mutations ------------------------------------------------------------------------------------


def caught(monkeypatch, owner, name, wrong):
    before = lower(LINEAR, random_weights(LINEAR, 0))
    compare_meaning(before, THIS.run(before))
    monkeypatch.setattr(owner, name, wrong)
    with pytest.raises(PassError):
        compare_meaning(before, THIS.run(before))


def test_forgetting_the_minus_is_caught(monkeypatch):
    caught(monkeypatch, module, "_signed", lambda weight, sign: weight)


def test_forgetting_off_cells_is_caught(monkeypatch):
    right = module._Splitter.split

    def on_only(self, population):
        right(self, population)
        carriers = self.carriers[population.name]
        self.carriers[population.name] = [c for c in carriers if c[1] > 0]

    caught(monkeypatch, module._Splitter, "split", on_only)


def test_forgetting_the_negative_weights_is_caught(monkeypatch):
    right = module._Splitter.parts

    def positive(self, weight):
        return list(right(self, weight))[:1]

    caught(monkeypatch, module._Splitter, "parts", positive)


@pytest.mark.slow
@pytest.mark.parametrize("case", every_pair())
def test_folding_leaves_the_signs_alone(case):
    """Once in two camps: fold-constants joined interneurons and signs that split-sign had made."""
    passes = parse_passes("default,split-sign")
    after, _ = run_passes(lower(case.spec, case.weights), passes, compare_meaning)
    signs = module.Signs(after)
    assert signs.conforms or not signs.splittable  # rotations of any number of tokens have no sign
