"""prune-heads: the heads that matter least go."""

import numpy as np
import pytest

from cortico.ir import SpecError, check
from cortico.lowering import lower
from cortico.passes.base import nominal
from cortico.passes.meaning import compare_meaning
from cortico.passes.prune_heads import PruneHeads
from cortico.passes.share_relays import ShareRelays
from cortico.spec import AttentionSpec
from cortico.spec.weights import random_weights
from tests.covering import every_case

SPEC = AttentionSpec(model=8, heads=4)


@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "after-share-relays"])
def test_cases(case, shared):
    before = lower(case.spec, case.weights)
    before = ShareRelays().run(before) if shared else before
    this = PruneHeads(keep=2, seed=1)
    after = this.run(before)
    check(after)
    assert this.run(after) is after
    assert this.cost(nominal(after)) <= this.cost(nominal(before))
    grouped = case.spec.members > 1
    assert (after is before) == (grouped or case.spec.heads <= 2)
    symbolic = lower(case.spec)
    assert this.run(symbolic) is symbolic


@pytest.mark.slow
def test_heads_without_effect_go_first(tmp_path):
    weights = random_weights(SPEC, 0)
    weights["W_O"][[0, 2]] = 0.0
    before = lower(SPEC, weights)
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).standard_normal((3, 5, 8)))
    for this in (PruneHeads(keep=2), PruneHeads(keep=2, inputs=str(tmp_path / "x.npz"))):
        after = this.run(before)
        compare_meaning(before, after)
        kept = {p.name: p.values for p in after.parameters}
        assert np.array_equal(kept["W_Q"], weights["W_Q"][[1, 3]])
        assert this.error_bound(before, after) < 1e-12


@pytest.mark.slow
def test_bound_and_importance():
    weights = random_weights(SPEC, 0)
    weights["W_O"][1] *= 1e-3
    before = lower(SPEC, weights)
    this = PruneHeads(keep=3)
    after = this.run(before)
    assert np.argmin(this.contributions(before)) == 1
    assert 0 < this.error_bound(before, after) == min(this.contributions(before))


def test_wrong_options(tmp_path):
    with pytest.raises(SpecError):
        PruneHeads(keep=0)
    with pytest.raises(SpecError):
        PruneHeads(keep=1, inputs=str(tmp_path / "none.npz")).run(
            lower(SPEC, random_weights(SPEC, 0))
        )


def test_golden(golden):
    spec = AttentionSpec(model=2, heads=2, tokens=2)
    before = lower(spec, random_weights(spec, 0))
    this = PruneHeads(keep=1)
    golden(
        f"# --passes {this}\n{before}\n# becomes\n{this.run(before)}", name="passes/prune_heads.txt"
    )
