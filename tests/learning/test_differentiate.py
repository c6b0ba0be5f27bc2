"""Gradient circuits are the textbook's gradients for every size; wrong ones are refuted."""

from dataclasses import replace

import pytest

from cortico.ir import Bound, Gain, Output, SpecError, TensorRef, Weight
from cortico.learning import SquaredError, differentiate, gradient_circuit
from cortico.lowering import lower
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from tests.cases import CASES
from tests.covering import every_case
from tests.learning.systems import meaning, textbook

SOFT = AttentionSpec(model=8, heads=2, mask=Mask.CAUSAL)
MEMORY = replace(SOFT, kernel=Kernel.LINEAR, microcircuit=Microcircuit.MEMORY)


def verdicts(spec, circuit):
    """The verdict on each gradient of a circuit against the closed forms of a spec."""
    return {o.output: o.verdict for o in compare(textbook(spec), meaning(circuit))}


@pytest.mark.parametrize("case", every_case())
def test_gradients_are_the_closed_forms_for_every_size(case):
    found = verdicts(case.spec, gradient_circuit(differentiate(lower(case.spec))))
    assert {name: v for name, v in found.items() if v is not Known.PROVED} == {}
    assert len(found) >= 4


def test_every_plain_parameter_has_a_rule_but_frequencies():
    for case in CASES:
        circuit = lower(case.spec)
        plain = {p.name for p in circuit.parameters if p.formula is None}
        fixed = {a for p in circuit.parameters if p.formula for a in p.formula.arguments}
        rules = {rule.parameter for rule in differentiate(circuit).rules}
        assert rules <= plain and plain - rules <= fixed - {"alibi_slopes"}


# ---- wrong rules are refuted -----------------------------------------------------------------------


def without(circuit, pre, post):
    """The circuit without the projections from one population to another."""
    kept = tuple(p for p in circuit.projections if (p.pre, p.post) != (pre, post))
    assert len(kept) < len(circuit.projections)
    return replace(circuit, projections=kept)


def changed(circuit, pre, post, change):
    """The circuit with projections from one population to another changed."""
    new = tuple(change(p) if (p.pre, p.post) == (pre, post) else p for p in circuit.projections)
    assert new != circuit.projections
    return replace(circuit, projections=new)


def reading(name, *axes):
    return lambda p: replace(p, weight=Weight(TensorRef(name, axes)))


DEEP, RELAY = "deep_basal_error", "relay_driver_error"
WRONG = {
    "W_O not transposed": (
        replace(SOFT, value_features=8),  # as many as model features: else the tensor does not fit
        lambda c: changed(c, RELAY, DEEP, reading("W_O", "h", "c", "m")),
        {"d_W_V"},
    ),
    "W_V in place of W_O": (
        SOFT,
        lambda c: changed(c, RELAY, DEEP, reading("W_V", "h", "c", "m")),
        {"d_W_V"},
    ),
    "W_O of another head": (
        SOFT,
        lambda c: changed(c, RELAY, DEEP, lambda p: replace(p, weight=Weight())),
        {"d_W_V"},
    ),
    "causal sum over the wrong side": (
        MEMORY,
        lambda c: changed(
            c,
            "memory_basal_error",
            "association_apical_error",
            lambda p: replace(p, domain=(Bound("i", "j", 0),)),
        ),
        {"d_W_K"},
    ),
    "causal sum one token further": (
        MEMORY,
        lambda c: changed(
            c,
            "memory_basal_error",
            "association_basal_error",
            lambda p: replace(p, domain=(Bound("j", "i", 1),)),
        ),
        {"d_W_V"},
    ),
    "no softmax Jacobian term": (
        SOFT,
        lambda c: without(c, "pool_soma_error", "mask_basal_error"),
        {"d_W_Q", "d_W_K"},
    ),
    "pool's error with the wrong sign": (
        SOFT,
        lambda c: changed(
            c,
            RELAY,
            "deep_shunt_error",
            lambda p: replace(p, weight=replace(p.weight, gain=Gain())),
        ),
        {"d_W_Q", "d_W_K"},
    ),
    "no slope of the exponential": (
        SOFT,
        lambda c: changed(c, "mask", "mask_basal_error", lambda p: replace(p, pre="pool")),
        {"d_W_Q", "d_W_K"},
    ),
    "target added": (
        SOFT,
        lambda c: replace(
            c,
            populations=tuple(
                replace(p, compartments=(replace(p.compartments[0], drive=(plus_target(),)),))
                if p.name == "relay_error"
                else p
                for p in c.populations
            ),
        ),
        {"d_W_Q", "d_W_K", "d_W_V", "d_W_O"},
    ),
}


def plus_target():
    return Weight(TensorRef("target", ("i", "m")))


@pytest.mark.parametrize("what", WRONG)
def test_wrong_rules_are_refuted(what):
    spec, change, wrong = WRONG[what]
    found = verdicts(spec, change(gradient_circuit(differentiate(lower(spec)))))
    assert {name for name, v in found.items() if v is Known.REFUTED} == wrong
    assert all(v is Known.PROVED for name, v in found.items() if name not in wrong)


# ---- what cannot be differentiated -----------------------------------------------------------------


def test_two_outputs():
    circuit = lower(SOFT)
    other = Output("pool", TensorRef("pool", ("h", "i")))
    with pytest.raises(SpecError, match="2 outputs, not one"):
        differentiate(replace(circuit, outputs=(*circuit.outputs, other)))


def test_taken_names():
    with pytest.raises(SpecError, match="a tensor 'x' already"):
        differentiate(lower(SOFT), SquaredError(target="x"))


def test_unknown_feedback():
    with pytest.raises(SpecError, match="transposed, random, learned"):
        differentiate(lower(SOFT), feedback="none")


def test_differentiating_twice_numbers_the_names():
    once = differentiate(lower(SOFT)).circuit
    again = replace(once, outputs=once.outputs[:1])
    learning = differentiate(again, SquaredError(target="other"))
    names = [p.name for p in learning.circuit.populations]
    assert len(set(names)) == len(names) and "relay_error_2" in names
