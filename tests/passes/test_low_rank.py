"""low-rank: key and value features that no score and no output needs."""

from dataclasses import replace

import numpy as np
import pytest

import cortico.passes.low_rank as module
from cortico.ir import PassError, SpecError, check
from cortico.lowering import lower
from cortico.passes.base import nominal
from cortico.passes.low_rank import LowRank
from cortico.passes.meaning import compare_meaning, relative_difference
from cortico.passes.share_relays import ShareRelays
from cortico.spec import AttentionSpec, Bias, Kernel, Rotary
from cortico.spec.weights import random_weights
from tests.cases import CASES
from tests.covering import every_case

SPEC = AttentionSpec(model=16, heads=4)


def of_rank(spec, keys, values, noise=0.0):
    """Weights whose products have these ranks, but for relative `noise`."""
    weights = random_weights(spec, 0)
    rng = np.random.default_rng(1)
    for name, rank in (("W_K", keys), ("W_V", values)):
        # mixing makes it no matter of zero rows
        d = weights[name].shape[1]
        mix = rng.standard_normal((d, d))
        scales = np.where(np.arange(d) < rank, 1.0, noise)
        weights[name] = np.einsum("ab,b,hbm->ham", mix, scales, weights[name])
    return weights


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [0.0, 0.01, 0.5])
@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "after-share-relays"])
def test_cases(case, shared, tolerance):
    this = LowRank(tolerance)
    before = lower(case.spec, case.weights)
    before = ShareRelays().run(before) if shared else before
    after = this.run(before)
    check(after)
    assert this.run(after) is after
    assert this.cost(nominal(after)) <= this.cost(nominal(before))
    assert this.error_bound(before, after) <= tolerance + 1e-12
    if tolerance == 0:
        compare_meaning(before, after, tolerance=1e-10)
    symbolic = lower(case.spec)
    assert this.run(symbolic) is symbolic


SPECS = {
    "softmax": SPEC,
    "linear": replace(SPEC, kernel=Kernel.LINEAR),
    "grouped": replace(SPEC, kv_heads=2),
    "cross": replace(SPEC, cross=True, context=6),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "after-share-relays"])
def test_finds_the_rank(spec, shared):
    before = lower(spec, of_rank(spec, keys=2, values=3))
    before = ShareRelays().run(before) if shared else before
    after = LowRank(1e-9).run(before)
    check(after)
    assert (after.axis("a").extent, after.axis("c").extent) == (2, 3)
    compare_meaning(before, after, tolerance=1e-9)
    assert LowRank(1e-9).run(after) is after
    old, new = nominal(before).counts().neurons_of, nominal(after).counts().neurons_of
    assert new["superficial"] * 4 == old["superficial"] * 2
    assert new["deep"] * 4 == old["deep"] * 3


def test_types_stay():
    weights = {n: w.astype(np.float32) for n, w in of_rank(SPEC, 2, 2).items()}
    after = LowRank(1e-4).run(lower(SPEC, weights))
    assert after.axis("a").extent == 2
    assert all(p.values.dtype == np.float32 for p in after.parameters)


def test_error_is_measured_and_bounded():
    before = lower(SPEC, of_rank(SPEC, 2, 4, noise=1e-4))
    this = LowRank(0.02)
    after = this.run(before)
    assert after.axis("a").extent == 2
    assert 0 < this.error_bound(before, after) <= 0.02
    assert 0 < relative_difference(before, after) < 0.1


REFUSED = {
    "biases": replace(SPEC, bias=Bias(query=True, key=True, value=True)),
    "rotation": replace(SPEC, rotary=Rotary()),
}


@pytest.mark.parametrize("spec", REFUSED.values(), ids=REFUSED.keys())
def test_features_that_are_told_apart_stay(spec):
    before = lower(spec, random_weights(spec, 0))
    after = LowRank(0.9).run(before)
    keys = ["a"] if spec.rotary is None else ["p", "s", "t"]
    assert all(after.axis(axis) == before.axis(axis) for axis in keys)
    if spec.bias.value:
        assert after is before


@pytest.mark.parametrize("tolerance", [-0.1, 1.0, float("nan")])
def test_wrong_options(tolerance):
    with pytest.raises(SpecError):
        LowRank(tolerance)


def test_golden(golden):
    spec = AttentionSpec(model=2, tokens=2)
    before = lower(spec, of_rank(spec, 1, 1))
    this = LowRank()
    golden(
        f"# --passes {this}\n{before}\n# becomes\n{this.run(before)}", name="passes/low_rank.txt"
    )


def test_a_gain_that_shrinks_is_caught(monkeypatch):
    before = lower(SPEC, of_rank(SPEC, 2, 2))
    compare_meaning(before, LowRank(1e-9).run(before), tolerance=1e-9)
    monkeypatch.setattr("cortico.ir.rewrite._settled", lambda gain, axis, size: gain)
    with pytest.raises(PassError):
        compare_meaning(before, LowRank(1e-9).run(before), tolerance=1e-9)


def test_a_rank_too_low_breaks_the_bound(monkeypatch):
    before = lower(SPEC, of_rank(SPEC, 3, 3))
    right = module._spectrum

    def one_less(left, right_):
        factors, sigma = right(left, right_)
        return factors, np.where(np.arange(sigma.shape[1]) < 2, sigma, 0.0)

    monkeypatch.setattr(module, "_spectrum", one_less)
    after = LowRank(1e-9).run(before)
    monkeypatch.undo()
    assert LowRank(1e-9).error_bound(before, after) > 1e-3


def test_a_bias_keeps_its_axis():
    spec = replace(SPEC, bias=Bias(value=True))
    after = LowRank(1e-9).run(lower(spec, of_rank(spec, 2, 2)))
    assert (after.axis("a").extent, after.axis("c").extent) == (2, 4)


def test_members_of_a_group_are_no_features():
    """In a memory circuit the members r contract W_Q and W_O too, but a head is no feature."""
    case = next(case for case in CASES if case.name == "memory_grouped")
    before = lower(case.spec, case.weights)
    assert LowRank(0.9).run(before).axis("r") == before.axis("r")
