"""Approximate passes: they keep their budget and their stated bound, and change nothing twice."""

import numpy as np
import pytest

import cortico.passes.prune_small as prune_small
import cortico.passes.quantize as quantize
from cortico.ir import Circuit, PassError, SpecError, check
from cortico.lowering import lower
from cortico.passes.base import nominal
from cortico.passes.meaning import compare_meaning, relative_difference
from cortico.passes.prune_small import PruneSmall
from cortico.passes.quantize import Quantize, step
from cortico.passes.share_relays import ShareRelays
from cortico.passes.synapse_numbers import largest_change, synaptic_parameters
from cortico.spec import AttentionSpec, Bias, Kernel
from cortico.spec.weights import random_weights
from tests.covering import every_case

SPEC = AttentionSpec(model=8, heads=2, tokens=5, bias=Bias(True, True, True, True))
PASSES = [
    PruneSmall(),
    PruneSmall(0.3, "projection"),
    Quantize(),
    Quantize(bits=3),
]


def weights_of(circuit: Circuit) -> dict[str, np.ndarray]:
    return {p.name: p.values for p in synaptic_parameters(circuit)}


@pytest.mark.parametrize("this", PASSES, ids=str)
@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "after-share-relays"])
def test_cases(this, case, shared):
    before = lower(case.spec, case.weights)
    before = ShareRelays().run(before) if shared else before
    after = this.run(before)
    check(after)
    assert not this.exact
    assert after is not before
    assert this.run(after) is after
    assert this.cost(nominal(after)) <= this.cost(nominal(before))
    assert np.isfinite(relative_difference(before, after))
    symbolic = lower(case.spec)
    assert this.run(symbolic) is symbolic


@pytest.mark.parametrize("this", PASSES, ids=str)
def test_biases_and_types_stay(this):
    single = {n: w.astype(np.float32) for n, w in random_weights(SPEC, 0).items()}
    before = lower(SPEC, single)
    after = this.run(before)
    for p in after.parameters:
        assert p.values.dtype == np.float32
        assert p.name.startswith("W_") or np.array_equal(p.values, single[p.name])


@pytest.mark.parametrize("this", PASSES, ids=str)
def test_the_bound_holds_for_a_current(this):
    """A linear read of the tokens: the change of the keys is at most the bound times their norm."""
    before = lower(SPEC, random_weights(SPEC, 0))
    after = this.run(before)
    bound = this.error_bound(before, after)
    x = np.random.default_rng(0).standard_normal((5, 8))
    old, new = weights_of(before), weights_of(after)
    for name in ("W_Q", "W_K", "W_V"):
        change = np.einsum("ham,jm->hja", new[name] - old[name], x)
        assert 0 < np.linalg.norm(change) <= bound * np.linalg.norm(x)


@pytest.mark.parametrize("scope", ["global", "projection"])
@pytest.mark.parametrize("budget", [0.0, 0.25, 1.0])
def test_prune_small_keeps_its_budget(scope, budget):
    before = lower(SPEC, random_weights(SPEC, 0))
    after = PruneSmall(budget, scope).run(before)
    old, new = weights_of(before), weights_of(after)
    zeros = {name: int((w == 0).sum()) for name, w in new.items()}
    assert sum(zeros.values()) == int(budget * sum(w.size for w in new.values()))
    if scope == "projection":
        assert all(zeros[name] == int(budget * w.size) for name, w in new.items())
    if scope == "global" and 0 < budget < 1:
        dropped = max(np.abs(old[n][new[n] == 0]).max(initial=0) for n in old)
        assert dropped <= min(np.abs(w[w != 0]).min() for w in new.values())
    assert budget or after is before


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_quantize_keeps_its_bound(bits, dtype):
    before = lower(SPEC, random_weights(SPEC, 0, dtype))
    after = Quantize(bits).run(before)
    for name, old in weights_of(before).items():
        new = weights_of(after)[name]
        s = step(old, bits)
        half_a_unit = np.finfo(dtype).eps * np.abs(old).max()
        assert np.abs(new.astype(float) - old.astype(float)).max() <= s / 2 + half_a_unit
        assert len(np.unique(new)) <= 2**bits - 1
    assert Quantize(bits).run(after) is after


def test_more_bits_err_less():
    before = lower(SPEC, random_weights(SPEC, 0))
    errors = [relative_difference(before, Quantize(bits).run(before)) for bits in (4, 8, 16)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3
    bounds = [Quantize(bits).error_bound(before, Quantize(bits).run(before)) for bits in (4, 8, 16)]
    assert bounds[0] > bounds[1] > bounds[2] > 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: PruneSmall(budget=-0.1),
        lambda: PruneSmall(budget=1.5),
        lambda: PruneSmall(budget=float("nan")),
        lambda: PruneSmall(scope="everywhere"),
        lambda: Quantize(bits=1),
        lambda: Quantize(bits=17),
    ],
)
def test_wrong_options(make):
    with pytest.raises(SpecError):
        make()


@pytest.mark.parametrize(
    "this, file",
    [(PruneSmall(budget=0.5), "prune_small"), (Quantize(bits=3), "quantize")],
)
def test_golden(golden, this, file):
    """Structure and numbers: the printed circuit only names its weights."""
    spec = AttentionSpec(model=2, tokens=2, kernel=Kernel.LINEAR)
    before = lower(spec, {n: w.round(2) for n, w in random_weights(spec, 0).items()})

    def shown(circuit):
        numbers = [
            f"{name} = {np.round(w, 6).tolist()}\n" for name, w in weights_of(circuit).items()
        ]
        return f"{circuit}{''.join(numbers)}"

    golden(
        f"# --passes {this}\n{shown(before)}\n# becomes\n{shown(this.run(before))}",
        name=f"passes/{file}.txt",
    )


# ---- mutations ------------------------------------------------------------------------------------


def test_change_is_never_silent():
    """What an exact pass may not do, these do: the meaning check tells."""
    before = lower(SPEC, random_weights(SPEC, 0))
    for this in PASSES:
        with pytest.raises(PassError):
            compare_meaning(before, this.run(before))


def test_pruning_the_largest_breaks_the_bound(monkeypatch):
    before = lower(SPEC, random_weights(SPEC, 0))
    right = largest_change(before, PruneSmall(0.1).run(before))
    small_ones = prune_small._pruned

    def wrong(arrays, budget):
        kept = small_ones(arrays, 1 - budget)
        return [array - other for array, other in zip(arrays, kept, strict=True)]

    monkeypatch.setattr(prune_small, "_pruned", wrong)
    assert largest_change(before, PruneSmall(0.1).run(before)) > 2 * right


def test_truncation_breaks_the_bound_of_rounding(monkeypatch):
    before = lower(SPEC, random_weights(SPEC, 0))

    def wrong(values, bits):
        return np.trunc(values / step(values, bits)) * step(values, bits)

    monkeypatch.setattr(quantize, "_rounded", wrong)
    after = Quantize(8).run(before)
    old, new = weights_of(before)["W_Q"], weights_of(after)["W_Q"]
    assert np.abs(new - old).max() > step(old, 8) / 2
