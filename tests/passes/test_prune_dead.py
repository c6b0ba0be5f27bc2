"""prune-dead: zeros and what reaches no output go, down to single heads and features."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import Gain, PassError, check, rewrite
from cortico.ir.rewrite import map_projections
from cortico.lowering import lower
from cortico.passes import dead_indices, prune_dead
from cortico.passes.base import nominal
from cortico.passes.meaning import compare_meaning
from cortico.passes.prune_dead import PruneDead
from cortico.passes.share_relays import ShareRelays
from cortico.spec import AttentionSpec, Bias, Kernel, Rotary
from cortico.spec.weights import random_weights
from tests.cases import BIASED
from tests.covering import every_case

SOFT = AttentionSpec(model=8, heads=4, key_features=4, value_features=3)


def planted(spec, *zeros, relayed=False, seed=0):
    """The circuit of `spec` with weights that are zero at `zeros`, pairs (tensor, index)."""
    weights = random_weights(spec, seed)
    for name, index in zeros:
        weights[name][index] = 0.0
    circuit = lower(spec, weights)
    return ShareRelays().run(circuit) if relayed else circuit


def pruned(before):
    after = PruneDead().run(before)
    check(after)
    compare_meaning(before, after, backend="reference")
    for measure in ("neurons", "synapses", "parameters"):
        smaller, larger = (getattr(nominal(c).counts(), measure) for c in (after, before))
        assert smaller <= larger
    assert PruneDead().run(after) is after
    return after


def extents(circuit):
    return {axis.name: axis.extent for axis in circuit.axes}


def same_counts(first, second):
    return all(
        getattr(nominal(first).counts(), measure) == getattr(nominal(second).counts(), measure)
        for measure in ("neurons", "synapses", "parameters")
    )


@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
def test_nothing_is_dead(case, concrete, relayed):
    before = lower(case.spec, case.weights if concrete else None)
    before = ShareRelays().run(before) if relayed else before
    assert PruneDead().run(before) is before


@pytest.mark.slow
@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
@pytest.mark.parametrize("seed", [0, 1])
def test_planted_zeros(case, relayed, seed):
    rng, weights = np.random.default_rng(seed), case.weights
    for array in weights.values():
        for axis in range(array.ndim):
            dead = rng.random(array.shape[axis]) < 0.2
            np.moveaxis(array, axis, 0)[dead] = 0.0
    before = lower(case.spec, weights)
    pruned(ShareRelays().run(before) if relayed else before)


def test_golden(golden):
    spec = AttentionSpec(model=2, heads=2, key_features=2, value_features=2)
    before = planted(spec, ("W_O", 1), ("W_Q", (0, 1)))
    golden(
        f"# --passes prune-dead\n{before}\n# becomes\n{pruned(before)}",
        name="passes/prune_dead.txt",
    )


@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
@pytest.mark.parametrize("kernel", Kernel)
def test_dead_heads_by_the_closed_form(relayed, kernel):
    spec = replace(SOFT, kernel=kernel, bias=BIASED)
    before = planted(spec, ("W_O", 1), ("W_V", 3), ("b_V", 3), relayed=relayed)
    expected = planted(replace(spec, heads=2), relayed=relayed)
    assert same_counts(pruned(before), expected)


@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
def test_dead_features_differ_by_head(relayed):
    zeros = [("W_O", (h, slice(None), h % 3)) for h in range(4)]
    zeros += [("W_K", (h, h)) for h in range(4)] + [("W_Q", (2, 0))]
    after = pruned(planted(SOFT, *zeros, relayed=relayed))
    assert same_counts(
        after, planted(replace(SOFT, key_features=3, value_features=2), relayed=relayed)
    )


def test_dead_members_of_groups():
    """One head of each group goes, another in each."""
    spec = replace(SOFT, kv_heads=2, sink=True)
    after = pruned(planted(spec, ("W_O", 0), ("W_O", 3)))
    assert extents(after) | {"g": 2, "r": 1} == extents(after)


def test_dead_planes_of_rotary():
    spec = replace(SOFT, rotary=Rotary(), bias=Bias(key=True))
    plane = (slice(None), [1, 3])
    after = pruned(planted(spec, ("W_K", plane), ("b_K", plane)))
    assert extents(after)["p"] == 1
    assert next(p for p in after.parameters if p.name == "frequencies").shape == (1,)


def test_a_key_bias_keeps_its_feature():
    spec = replace(SOFT, bias=Bias(key=True))
    assert extents(pruned(planted(spec, ("W_K", (slice(None), 1)))))["a"] == 4


def test_without_output_weights_nothing_stays():
    after = pruned(planted(SOFT, ("W_O", slice(None))))
    assert [p.name for p in after.populations] == ["relay"]
    assert nominal(after).counts().synapses == 0


def test_a_zero_gain_is_not_a_zero_input():
    """Softmax of zeros is uniform attention: scores go, mask cells stay."""
    before = planted(SOFT)
    silent = replace(before.projections[0].weight, tensor=None, gain=Gain(0.0))
    before = map_projections(
        before, lambda p: replace(p, weight=silent) if p.name == "score" else p
    )
    after = pruned(before)
    kept = {p.name for p in after.populations}
    assert {"mask", "pool", "deep"} <= kept
    assert "superficial" not in kept


MUTANTS = [
    (prune_dead, "keeps_zero", lambda population: True, [("W_Q", slice(None))]),
    (rewrite, "_settled", lambda gain, axis, size: gain, [("W_K", (slice(None), 1))]),
]


@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
@pytest.mark.parametrize(
    ("where", "helper", "wrong", "zeros"),
    MUTANTS,
    ids=["drops cells that hear zero", "unadjusted 1/sqrt(d)"],
)
def test_mutants_are_caught(where, helper, wrong, zeros, relayed, monkeypatch):
    before = planted(SOFT, *zeros, relayed=relayed)
    monkeypatch.setattr(where, helper, wrong)
    after = PruneDead().run(before)
    assert after is not before
    with pytest.raises(PassError, match="changed its output"):
        compare_meaning(before, after)


@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
def test_pruning_a_live_head_is_caught(relayed, monkeypatch):
    right = dead_indices._needed

    def wrong(circuit, axis, heads):
        needed = right(circuit, axis, heads)
        if axis == "h":
            needed[0] = False
        return needed

    monkeypatch.setattr(dead_indices, "_needed", wrong)
    before = planted(SOFT, relayed=relayed)
    after = before
    for axis in before.axes:
        after = dead_indices.without_dead_indices(after, axis.name)
    check(after)
    with pytest.raises(PassError, match="changed its output"):
        compare_meaning(before, after)
