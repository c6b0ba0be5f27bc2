"""fold-constants: gains vanish into stored weights, chains of relays into one projection."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from cortico.ir import (
    CellClass,
    CircuitBuilder,
    Compartment,
    Gain,
    PassError,
    Region,
    Role,
    TensorRef,
    Weight,
    check,
)
from cortico.ir.rewrite import weights_of
from cortico.lowering import lower
from cortico.passes import fold_constants
from cortico.passes.base import nominal
from cortico.passes.fold_constants import FoldConstants
from cortico.passes.meaning import compare_meaning
from cortico.passes.share_relays import ShareRelays
from cortico.spec import AttentionSpec, Bias, Kernel, NormKind
from cortico.spec.weights import random_weights
from tests.covering import every_case

SOFT = AttentionSpec(model=8, heads=2, bias=Bias(key=True))
LINEAR = replace(SOFT, kernel=Kernel.LINEAR, scale=0.3)


def gains(circuit):
    return sum(not weight.gain.is_one for weight in weights_of(circuit))


def folded(before):
    after = FoldConstants().run(before)
    check(after)
    compare_meaning(before, after)
    assert nominal(after).counts().synapses <= nominal(before).counts().synapses
    assert gains(after) <= gains(before)
    assert FoldConstants().run(after) is after
    return after


def has_means(case):
    return case.spec.qk_norm is not None and case.spec.qk_norm.kind is NormKind.LAYER


@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
def test_concrete_cases_lose_all_gains(case, relayed):
    """But the two means of squares and what is added to them, under a root, and a cap around a tanh.

    And that two means are taken away, each with its size. And a semi-saturation, for the extra source too.
    """
    before = lower(case.spec, case.weights)
    before = ShareRelays().run(before) if relayed else before
    after = folded(before)
    kept = 4 * (case.spec.qk_norm is not None) + 2 * (case.spec.soft_cap is not None)
    kept += 2 * has_means(case) + bool(case.spec.semi_saturation) * (1 + case.spec.extra_source)
    assert gains(after) == kept
    assert len(after.populations) == len(before.populations)
    assert (after is before) == (gains(before) == gains(after))


@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
def test_symbolic_cases_stay(case, relayed):
    """But that the sign of a mean that is taken away joins its gain."""
    before = lower(case.spec)
    before = ShareRelays().run(before) if relayed else before
    if has_means(case):
        assert gains(folded(before)) == gains(before) - 2
    else:
        assert FoldConstants().run(before) is before


def test_golden(golden):
    before = lower(replace(SOFT, model=2, heads=1), random_weights(replace(SOFT, model=2, heads=1)))
    golden(
        f"# --passes fold-constants\n{before}\n# becomes\n{folded(before)}",
        name="passes/fold_constants.txt",
    )


@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
def test_the_key_weights_carry_the_scale(relayed):
    before = lower(replace(SOFT, scale=0.3), random_weights(SOFT))
    after = folded(ShareRelays().run(before) if relayed else before)
    old, new = ({p.name: p.values for p in c.parameters} for c in (before, after))
    for name in ("W_K", "b_K"):
        np.testing.assert_allclose(new[name], 0.3 * old[name], rtol=1e-15)


@pytest.mark.parametrize("features", [4, 3])
def test_small_types_stay_only_if_nothing_is_lost(features):
    spec = replace(SOFT, key_features=features)
    after = folded(lower(spec, random_weights(spec, dtype=np.float32)))
    kind = next(p.values.dtype.name for p in after.parameters if p.name == "W_K")
    assert kind == ("float32" if features == 4 else "float64")


# ---- chains, and tensors that several read ---------------------------------------------------------


def chain(last=Weight(gain=Gain(0.5)), symbolic=False):
    """x -> first [j, a] -> second [j, a] -> y [j], with W[a, m] in front, read twice if `last` does."""
    b = CircuitBuilder("chain")
    j, a = b.axis("j", Role.COLUMN, 3), b.axis("a", Role.FEATURE, 2)
    m = b.axis("m", Role.MODEL, 2)
    b.input("x", (3, 2))
    b.parameter("W", (2, 2), None if symbolic else np.array([[1.0, 2.0], [3.0, -1.0]]))
    drive = Compartment("driver", drive=(Weight(TensorRef("x", (j, m))),))
    cells = (Region.CORE, CellClass.RELAY)
    b.population("source", (j, m), *cells, [drive])
    b.population("first", (j, a), *cells, [Compartment("basal")])
    b.population("second", (j, a), *cells, [Compartment("basal")])
    b.population("y", (j,), *cells, [Compartment("basal")])
    b.project("in", "source", "first", "basal", Weight(TensorRef("W", (a, m))))
    b.project("pass", "first", "second", "basal", Weight(gain=Gain(3.0)))
    b.project("sum", "second", "y", "basal", last)
    b.output("y", "y", (j,))
    return b.build()


@pytest.mark.parametrize("symbolic", [True, False])
def test_a_chain_is_joined(symbolic):
    before = chain(symbolic=symbolic)
    after = folded(before)
    assert {p.name for p in after.populations} < {p.name for p in before.populations}
    assert gains(after) == (1 if symbolic else 0)


def test_sizes_that_are_symbols_stay():
    before = lower(SOFT, random_weights(SOFT))
    per_token = Weight(gain=Gain(sizes=(("j", Fraction(-1)),)))
    score = next(p for p in before.projections if p.name == "score")
    others = tuple(replace(p, weight=per_token) if p is score else p for p in before.projections)
    before = replace(before, projections=others)
    assert FoldConstants().run(before) is before


def read_twice():
    """Keys and queries by the same weights, and a scale."""
    spec = replace(SOFT, bias=Bias())
    before = lower(spec, random_weights(spec))
    tied = [
        replace(p, weight=replace(p.weight, tensor=replace(p.weight.tensor, name="W_K")))
        if p.name in ("query", "value")
        else p
        for p in before.projections
    ]
    return replace(before, projections=tuple(tied))


def test_a_tensor_read_twice_is_left_alone():
    before = read_twice()
    check(before)
    assert FoldConstants().run(before) is before


direct = fold_constants._direct


def without_entry(circuit, entry, leaf):
    return replace(direct(circuit, entry, leaf), weight=leaf.weight)


@pytest.mark.parametrize(
    ("helper", "wrong", "before"),
    [
        ("_times", lambda values, factor: values, lower(SOFT, random_weights(SOFT))),
        ("is_read_once", lambda *_: True, read_twice()),
        ("_direct", without_entry, chain(symbolic=True)),
        ("_scaled_drive", lambda circuit, *_: circuit, lower(LINEAR, random_weights(LINEAR))),
    ],
    ids=["unscaled", "read twice", "chain without its first gain", "bias left unscaled"],
)
def test_mutants_are_caught(helper, wrong, before, monkeypatch):
    monkeypatch.setattr(fold_constants, helper, wrong)
    after = FoldConstants().run(before)
    assert after is not before
    with pytest.raises(PassError, match="changed its output"):
        compare_meaning(before, after)
