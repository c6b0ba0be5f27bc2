"""Passes that an attack saw proved, or right ones that it saw refused; each with its kind."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from cortico import compile_attention
from cortico.ir import Gain, Input, InputKind, Parameter, PassError, TensorRef, Weight, check
from cortico.ir.rewrite import map_parameters, map_populations, map_projections
from cortico.lowering import lower
from cortico.passes import Pass, run_passes
from cortico.passes.move_value_bias import MoveValueBias
from cortico.passes.prune_dead import PruneDead
from cortico.spec import AttentionSpec, Bias, Kernel, Mask, Rotary
from cortico.spec.weights import random_weights
from cortico.verify.equations.meaning import circuit_equations
from cortico.verify.equations.reference import reference
from cortico.verify.known import Known
from cortico.verify.normal.equivalence import compare
from cortico.verify.steps.validation import prove_step
from tests.covering import first


@dataclass(frozen=True)
class Made(Pass):
    """The pass that makes `after` of anything."""

    name = "made"
    after: object = None

    def run(self, circuit):
        return self.after

    def __str__(self):
        return self.name


def verdict(before, after):
    return prove_step(Made(after), before, after).verdict


def lowered(spec, **arrays):
    """The circuit of a spec, some of its tensors given."""
    return lower(spec, {**random_weights(spec), **arrays})


def with_drive(circuit, population, change):
    """The circuit with the drive of the first compartment of a population changed."""

    def of(p):
        if p.name != population:
            return p
        first, *rest = p.compartments
        return replace(p, compartments=(replace(first, drive=change(first.drive)), *rest))

    return map_populations(circuit, of)


def with_values(circuit, name, change):
    return map_parameters(
        circuit, lambda p: replace(p, values=change(p.values)) if p.name == name else p
    )


def with_gain(circuit, projection, gain):
    return map_projections(
        circuit,
        lambda p: replace(p, weight=replace(p.weight, gain=gain)) if p.name == projection else p,
    )


BIASED = AttentionSpec(model=3, heads=1, bias=Bias(output=True))


# ---- what vanishes -------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_bias_of_one_sign_is_not_dropped(sign):
    before = lowered(BIASED, b_O=sign * np.array([1.0, 2.0, 3.0]))
    assert verdict(before, with_drive(before, "relay", lambda drive: ())) is Known.REFUTED


def test_one_is_not_added():
    before = lowered(AttentionSpec(model=3, heads=1))
    after = with_drive(before, "relay", lambda drive: (*drive, Weight(gain=Gain(1.0))))
    assert verdict(before, after) is Known.REFUTED


@pytest.mark.parametrize("axis", ["i", "j"])
def test_a_size_that_is_no_number_is_not_one(axis):
    scale = Gain(1.0, ((axis, 1),))
    before = lowered(BIASED, b_O=np.array([-1.0, 2.0, -3.0]))
    after = with_drive(before, "relay", lambda drive: tuple(replace(w, gain=scale) for w in drive))
    assert verdict(before, after) is Known.REFUTED


def test_a_difference_that_a_guard_at_five_tokens_cannot_see():
    """y + b (n - 5): the attack's pass, through the whole compiler."""
    weights = {**random_weights(BIASED), "b_O": np.array([-1.0, -2.0, -3.0])}
    before = lower(BIASED, weights)
    (bias,) = before.population("relay").compartments[0].drive
    more = (
        replace(bias, gain=Gain(1.0, (("i", 1),))),
        replace(bias, gain=Gain(-5.0)),
    )
    after = with_drive(before, "relay", lambda drive: (*drive, *more))
    assert verdict(before, after) is Known.REFUTED
    with pytest.raises(PassError, match="at n = "):
        compile_attention(BIASED, weights, passes=[Made(after)], verify=True)


def test_sums_that_vanish_are_summed_without_rounding():
    """W_O b_V is 2^-60: nothing beside one, but not nothing."""
    spec = AttentionSpec(model=1, heads=1, key_features=1, value_features=2, bias=Bias(value=True))
    w_o = np.array([[[1.0, 1.0]]])
    none = lowered(spec, W_O=w_o, b_V=np.array([[3.0, -3.0]]))
    some = lowered(spec, W_O=w_o, b_V=np.array([[2.0**-60, 0.0]]))
    for before, right in ((none, True), (some, False)):
        after = map_populations(
            before,
            lambda p: replace(
                p,
                compartments=tuple(
                    replace(c, drive=tuple(w for w in c.drive if w.tensor.name != "b_V"))
                    for c in p.compartments
                ),
            ),
        )
        proved = verdict(before, after) is Known.PROVED
        assert proved is right


# ---- axes that are cut ---------------------------------------------------------------------------


def with_dead_feature(spec):
    weights = random_weights(spec)
    weights["W_Q"][:, 0], weights["W_K"][:, 0] = 0, 0
    return lower(spec, weights)


def test_a_cut_axis_has_another_size():
    """The pass forgets that size(a)^-1/2 was of four features."""
    spec = AttentionSpec(model=3, heads=2, key_features=4, value_features=2)
    before = with_dead_feature(spec)
    right, _ = run_passes(before, [PruneDead()])
    assert right.axis("a").extent == 3
    assert verdict(before, right) is Known.PROVED
    (score,) = (p.weight.gain for p in before.projections if p.name == "score")
    assert verdict(before, with_gain(right, "score", score)) is Known.REFUTED


def test_an_output_of_another_shape_is_another_output():
    spec = AttentionSpec(model=3, heads=1)
    before = lowered(spec)
    cut = before.axis("m")
    after = replace(
        before,
        axes=(*before.axes, replace(cut, name="o", extent=2)),
        outputs=tuple(
            replace(o, source=replace(o.source, axes=("i", "o"))) for o in before.outputs
        ),
        populations=tuple(
            replace(p, axes=("i", "o")) if p.name == "relay" else p for p in before.populations
        ),
        projections=tuple(
            replace(p, weight=Weight(TensorRef("W_O", ("h", "o", "c"))))
            if p.name == "output"
            else p
            for p in before.projections
        ),
    )
    after = map_parameters(
        after,
        lambda p: replace(p, shape=(1, 2, 3), values=p.values[:, :2]) if p.name == "W_O" else p,
    )
    found = prove_step(Made(after), before, after)
    assert found.verdict is Known.REFUTED
    assert "output 'y' is (n, 3) before and (n, 2) after" in found.reason


def test_a_symbolic_output_of_another_shape_is_no_attention():
    """The same of a circuit without numbers, against the textbook."""
    wide, narrow = (AttentionSpec(model=3, heads=1, output=o) for o in (3, 2))
    (outcome,) = compare(reference(wide), circuit_equations(lower(narrow)))
    assert outcome.verdict is Known.UNDECIDED
    assert "size 3 on one side and 2 on the other" in outcome.reason


# ---- what is 0 or 1 ------------------------------------------------------------------------------


def declared_mask(circuit, name):
    kinds = tuple(replace(t, kind=InputKind.MASK) if t.name == name else t for t in circuit.inputs)
    return replace(circuit, inputs=kinds)


def test_an_input_is_not_declared_a_mask():
    spec = AttentionSpec(model=3, heads=1, kernel=Kernel.LINEAR)
    before = lower(spec)
    squared = with_drive(declared_mask(before, "x"), "core_source", lambda drive: drive)
    for after in (squared, declared_mask(before, "x")):
        assert verdict(before, after) is Known.UNDECIDED
        (outcome,) = compare(reference(spec), circuit_equations(after))
        assert outcome.verdict is Known.UNDECIDED
        assert "x is 0 or 1 on one side" in outcome.reason
    with pytest.raises(PassError, match="input 'x' is rate"):
        run_passes(before, [Made(squared)])


def test_an_input_does_not_become_a_parameter():
    """Facts are read off arrays: an input that becomes a stored zero would be taken for zero."""
    before = lowered(AttentionSpec(model=3, heads=1, tokens=4))
    after = replace(
        before, inputs=(), parameters=(*before.parameters, Parameter("x", (4, 3), np.zeros((4, 3))))
    )
    assert verdict(before, after) is not Known.PROVED


# ---- rounding ------------------------------------------------------------------------------------


def test_an_outlier_excuses_no_other_number():
    """One number of 4e14 that nothing multiplies; all others of the new tensor are zero."""
    spec = AttentionSpec(model=3, heads=1, kernel=Kernel.LINEAR, scale=0.5)
    weights = random_weights(spec)
    weights["W_K"][0, 0, 0], weights["W_Q"][0, 0] = 4e14, 0.0
    before = lower(spec, weights)
    without = with_gain(before, "gate", Gain())

    def scaled(values):
        new = np.zeros_like(values)
        new[0, 0, 0] = 0.5 * values[0, 0, 0]
        return new

    assert verdict(before, with_values(without, "W_K", lambda v: 0.5 * v)) is Known.PROVED
    assert verdict(before, with_values(without, "W_K", scaled)) is Known.REFUTED


def test_each_entry_of_a_sum_is_judged_by_itself():
    """b_O + W_O b_V, with an outlier in one output and a wrong number in another."""
    spec = AttentionSpec(model=3, heads=1, bias=Bias(value=True, output=True))
    before = lowered(spec, b_O=np.array([4e14, 1.0, 1.0]))
    right, _ = run_passes(before, [MoveValueBias()])
    assert verdict(before, right) is Known.PROVED

    def spoilt(values):
        new = values.copy()
        new[1] = 0.0
        return new

    assert verdict(before, with_values(right, "b_O_v2", spoilt)) is not Known.PROVED


@pytest.mark.parametrize("type_", [np.float32, np.float64])
def test_a_number_may_miss_what_it_rounds_by_its_last_bit_only(type_):
    spec = AttentionSpec(model=3, heads=1, kernel=Kernel.LINEAR, scale=0.3)
    weights = {name: a.astype(type_) for name, a in random_weights(spec).items()}
    before = lower(spec, weights)
    without = with_gain(before, "gate", Gain())
    for off, right in ((0, True), (40, False)):

        def scaled(values, off=off):
            new = (0.3 * values.astype(np.float64)).astype(type_)
            new[0, 0, 2] *= 1 + off * np.finfo(type_).eps
            return new

        after = with_values(without, "W_K", scaled)
        proof = prove_step(Made(after), before, after)
        assert (proof.verdict is Known.PROVED) is right
        if right:
            assert 0 < proof.rounding < 2 * np.finfo(type_).eps


# ---- sizes ---------------------------------------------------------------------------------------


def test_two_sizes_that_meet_in_a_formula_stay_two():
    """rotation(frequencies) is read at n query tokens and at k source tokens."""
    spec = AttentionSpec(model=4, heads=1, kernel=Kernel.LINEAR, scale=1.0, rotary=Rotary())
    same = lower(spec)
    cross = with_drive(same, "core_source", lambda _: (Weight(TensorRef("context", ("j", "m"))),))
    cross = map_parameters(
        cross, lambda p: replace(p, shape=("k", *p.shape[1:])) if p.name == "R_K" else p
    )
    cross = replace(
        cross,
        inputs=(*cross.inputs, Input("context", ("k", 4))),
        axes=tuple(replace(a, extent="k") if a.name == "j" else a for a in cross.axes),
    )
    check(cross)
    by = {axis: with_gain(cross, "output", Gain(1.0, ((axis, -1),))) for axis in "ij"}
    for axis, circuit in by.items():
        for other, its in by.items():
            (outcome,) = compare(circuit_equations(circuit), circuit_equations(its))
            right = Known.PROVED if axis == other else Known.REFUTED
            assert outcome.verdict is right
            assert verdict(circuit, its) is right


# ---- right ones are not refused ------------------------------------------------------------------


TIED = [("W_K", "W_Q"), ("W_V", "W_Q"), ("W_V", "W_K")]


@pytest.mark.slow
@pytest.mark.parametrize("new, old", first(2, TIED))
@pytest.mark.parametrize("kernel", Kernel)
@pytest.mark.parametrize("mask", first(1, [Mask.CAUSAL, Mask.NONE]))
def test_tied_weights(new, old, kernel, mask):
    spec = AttentionSpec(model=4, heads=2, kernel=kernel, mask=mask)
    weights = random_weights(spec)
    weights[new] = weights[old].copy()
    assert compile_attention(spec, weights, verify=True).verification.holds


@pytest.mark.slow
def test_heads_that_copy_the_queries_of_their_group():
    spec = AttentionSpec(model=4, heads=4, kv_heads=2)
    weights = random_weights(spec)
    weights["W_Q"][1::2] = weights["W_Q"][::2]
    assert compile_attention(spec, weights, "merge-duplicates", verify=True).verification.holds


def test_numbers_divided_by_a_gain():
    before = lowered(AttentionSpec(model=4, heads=2))
    after = with_values(before, "W_O", lambda v: v / 1000)
    for gain, right in ((1000.0, Known.PROVED), (999.0, Known.REFUTED)):
        assert verdict(before, with_gain(after, "output", Gain(gain))) is right


@pytest.mark.slow
@pytest.mark.parametrize("scale", first(1, [1000.0, 0.0, 30.0]))
@pytest.mark.parametrize("kernel", Kernel)
def test_scales_at_the_edges(scale, kernel):
    spec = AttentionSpec(model=4, heads=2, kernel=kernel, scale=scale)
    for weights in (random_weights(spec), None):
        assert compile_attention(spec, weights, verify=True).verification.holds


@pytest.mark.slow
@pytest.mark.parametrize("zero", first(2, ["b_V", "W_Q", "W_K", "W_V", "W_O"]))
def test_tensors_that_are_zero(zero):
    spec = AttentionSpec(model=4, heads=2, bias=Bias(value=True), mask=Mask.CAUSAL)
    weights = random_weights(spec)
    weights[zero][:] = 0
    assert compile_attention(spec, weights, verify=True).verification.holds
