"""Passes are proved step by step on their own circuits; a pass that lies is refuted."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from cortico.ir import Gain, PassError
from cortico.ir.rewrite import map_parameters, map_projections
from cortico.lowering import lower
from cortico.passes import Pass, Step, parse_passes, run_passes
from cortico.passes.fold_constants import FoldConstants
from cortico.passes.merge_duplicates import MergeDuplicates
from cortico.passes.prune_dead import PruneDead
from cortico.passes.share_relays import ShareRelays
from cortico.passes.split_sign import SplitSign
from cortico.spec import AttentionSpec, Bias, Kernel
from cortico.spec.weights import random_weights
from cortico.verify.known import Known
from cortico.verify.steps.axis_facts import Selected, Split
from cortico.verify.steps.facts import Constant, Scaled, SignParts, Summed, Zero
from cortico.verify.steps.validation import prove_stage, prove_step, prove_steps
from tests.cases import CASES
from tests.covering import covering, every_case, every_pair
from tests.verify.planted import planted_weights

PIPELINES = ("aggressive", "serialize,split-sign")
CASE = {case.name: case for case in CASES}


def proofs(circuit, pipeline):
    """At least one: each of these circuits has relays to share, or tokens to bring into time."""
    passes = parse_passes(pipeline)
    _, steps = run_passes(circuit, passes)
    found = prove_steps(passes, steps, lambda stage: None)
    assert found or pipeline == "serialize,split-sign"
    return found


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("case", every_pair())
def test_every_pass_is_proved_with_symbols(case, pipeline):
    for proof in proofs(lower(case.spec), pipeline):
        assert proof.verdict is Known.PROVED, proof.reason
        # symbols: no number was used, but for a size of one
        assert all(isinstance(fact, Constant) and fact.value == 1.0 for fact in proof.facts)


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("case", every_case())
def test_every_pass_is_proved_with_numbers(case, pipeline):
    for proof in proofs(lower(case.spec, case.weights), pipeline):
        assert proof.verdict is Known.PROVED, proof.reason
        assert proof.rounding < 1e-13  # absolute, of numbers near one


@pytest.mark.slow
@pytest.mark.parametrize("case", every_pair())
def test_every_pass_is_proved_where_it_prunes_and_merges(case):
    circuit = lower(case.spec, planted_weights(case))
    for pipeline in ("default", "prune-dead,share-relays,merge-duplicates,split-sign"):
        for proof in proofs(circuit, pipeline):
            assert proof.verdict is Known.PROVED, (proof.name, proof.reason)


@pytest.mark.slow
def test_every_kind_of_fact_is_met():
    met = set()
    wanted = {Selected, Scaled, SignParts, Split, Summed, Zero, Constant}
    for case in itertools.takewhile(lambda _: not wanted <= met, covering()):
        circuit = lower(case.spec, planted_weights(case))
        for pipeline in ("default", "prune-dead,share-relays,merge-duplicates,split-sign"):
            met.update(type(f) for proof in proofs(circuit, pipeline) for f in proof.facts)
    assert wanted <= met


# ---- a pass that lies ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Lying(Pass):
    """Makes a circuit that it should not."""

    name = "lying"
    lie: object = None

    def run(self, circuit):
        return self.lie(circuit)


def spoilt(circuit, name, change):
    """The circuit with the array of one parameter changed by `change`, in a copy."""

    def of(parameter):
        if parameter.name != name:
            return parameter
        values = parameter.values.copy()
        change(values)
        return replace(parameter, values=values)

    return map_parameters(circuit, of)


def zero_one_entry(values):
    values.reshape(-1)[0] = 0


def without_projection(circuit, name):
    return replace(circuit, projections=tuple(p for p in circuit.projections if p.name != name))


def gain_dropped(circuit):
    return map_projections(circuit, lambda p: replace(p, weight=replace(p.weight, gain=Gain())))


LIES = {
    "zero_entry": lambda c: spoilt(c, "W_V", zero_one_entry),
    "no_gain": gain_dropped,
    "no_output_bias": lambda c: replace(
        c,
        populations=tuple(
            replace(p, compartments=tuple(replace(k, drive=()) for k in p.compartments))
            if p.name == "relay"
            else p
            for p in c.populations
        ),
    ),
    "dead_pool": lambda c: without_projection(c, "pool_mask"),
    "folded_twice": lambda c: FoldConstants().run(
        spoilt(c, "W_K", lambda v: v.__imul__(np.float64(2)))
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_pass_is_refuted(lie):
    case = CASE["bert"]
    before = lower(case.spec, case.weights)
    wrong = Lying(LIES[lie])
    after = wrong.run(before)
    assert prove_step(wrong, before, after).verdict is Known.REFUTED
    step = Step(str(wrong), before, after, 0.0)
    with pytest.raises(PassError, match="changed the circuit's output"):
        prove_steps([wrong], [step], lambda stage: None)


def test_pruning_a_live_feature_is_refuted(monkeypatch):
    from cortico.passes import dead_indices

    right = dead_indices._needed

    def wrong(circuit, axis, heads):
        needed = right(circuit, axis, heads)
        if axis == "c":
            needed[..., 0] = False
        return needed

    monkeypatch.setattr(dead_indices, "_needed", wrong)
    spec = AttentionSpec(model=4, heads=2, kernel=Kernel.LINEAR)
    before = lower(spec, random_weights(spec))
    after = PruneDead().run(before)
    assert after is not before
    assert prove_step(PruneDead(), before, after).verdict is Known.REFUTED


def test_merging_heads_that_differ_is_refuted(monkeypatch):
    from cortico.passes.copied_heads import HeadSplit

    monkeypatch.setattr(HeadSplit, "_is_copied", lambda self, parameter: parameter.name == "W_K")
    spec = AttentionSpec(model=8, heads=4)
    before = ShareRelays().run(lower(spec, random_weights(spec)))
    after = MergeDuplicates().run(before)
    assert after is not before
    assert prove_step(MergeDuplicates(), before, after).verdict is not Known.PROVED


def test_a_sign_part_with_a_wrong_number_is_refuted():
    spec = AttentionSpec(model=4, heads=2, kernel=Kernel.LINEAR)
    before = lower(spec, random_weights(spec))
    after = spoilt(SplitSign().run(before), "W_O_plus", zero_one_entry)
    assert prove_step(SplitSign(), before, after).verdict is Known.REFUTED


def test_a_moved_bias_with_a_wrong_number_is_refuted():
    spec = AttentionSpec(model=4, heads=2, bias=Bias(value=True, output=True))
    before = lower(spec, random_weights(spec))
    (move,) = parse_passes("move-value-bias")
    right, _ = run_passes(before, [move])
    assert prove_step(move, before, right).verdict is Known.PROVED
    wrong = spoilt(right, "b_O_v2", zero_one_entry)
    assert prove_step(move, before, wrong).verdict is Known.REFUTED


def test_the_same_name_for_other_numbers_is_not_the_same_tensor():
    case = CASE["one_head"]
    before = lower(case.spec, case.weights)
    after = spoilt(before, "W_K", lambda v: v.__imul__(1.5))
    assert not prove_stage(before, after).proved
    assert prove_step(Lying(lambda c: after), before, after).verdict is Known.REFUTED
