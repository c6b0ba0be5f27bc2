"""merge-duplicates: tied weights, equal populations, copied heads."""

from dataclasses import replace

import numpy as np
import pytest

import cortico.passes.copied_heads as copied_heads
import cortico.passes.merge_duplicates as module
from cortico.ir import Circuit, Gain, PassError, TensorRef, Weight, check
from cortico.ir.rewrite import map_projections
from cortico.lowering import lower
from cortico.passes.base import nominal
from cortico.passes.meaning import compare_meaning
from cortico.passes.merge_duplicates import MergeDuplicates
from cortico.passes.share_relays import ShareRelays
from cortico.spec import AttentionSpec, Bias, Kernel, Mask, Microcircuit, PositionBias, Rotary
from cortico.spec.weights import random_weights
from tests.cases import BIASED
from tests.covering import every_case

THIS = MergeDuplicates()
MULTIHEAD = AttentionSpec(model=8, heads=4)
COPIED = ("W_K", "b_K", "W_V", "b_V")


def merged(before: Circuit) -> Circuit:
    """The circuit after the pass, with all that every run of it must keep checked."""
    after = THIS.run(before)
    check(after)
    compare_meaning(before, after)
    assert THIS.cost(nominal(after)) <= THIS.cost(nominal(before))
    assert THIS.run(after) is after
    return after


@pytest.mark.slow
@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "after-share-relays"])
def test_keeps_meaning(case, concrete, shared):
    before = lower(case.spec, case.weights if concrete else None)
    merged(ShareRelays().run(before) if shared else before)


# ---- copied heads ---------------------------------------------------------------------------------


def copies(spec: AttentionSpec, groups: int, names=COPIED):
    """A multihead spec's weights with keys and values of only `groups` heads, and grouped weights."""
    grouped = replace(spec, kv_heads=groups)
    weights = random_weights(grouped, 3)
    repeats = spec.heads // groups
    spread = {n: w.repeat(repeats, axis=0) if n in names else w for n, w in weights.items()}
    return spread, grouped, weights


SPECS = {
    "softmax": MULTIHEAD,
    "linear": replace(MULTIHEAD, kernel=Kernel.LINEAR),
    "biased": replace(MULTIHEAD, bias=BIASED, mask=Mask.CAUSAL),
    "rotary": replace(MULTIHEAD, rotary=Rotary(), sink=True),
    "alibi": replace(MULTIHEAD, position_bias=PositionBias.ALIBI, mask=Mask.CAUSAL),
    "cross": replace(MULTIHEAD, cross=True, key_padding=True, bias=BIASED),
}


@pytest.mark.slow
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_finds_grouped_query_attention(spec, groups):
    spread, grouped, weights = copies(spec, groups)
    after = merged(ShareRelays().run(lower(spec, spread)))
    expected = ShareRelays().run(lower(grouped, weights))
    assert nominal(after).counts().neurons == nominal(expected).counts().neurons
    assert nominal(after).counts().synapses == nominal(expected).counts().synapses
    assert after.counts().parameters == expected.counts().parameters
    compare_meaning(expected, after)


@pytest.mark.parametrize("spec", [SPECS["rotary"], SPECS["biased"]], ids=["rotary", "biased"])
def test_finds_copies_before_share_relays(spec):
    spread, grouped, weights = copies(spec, 2)
    one = ShareRelays().run(merged(lower(spec, spread)))
    two = merged(one)
    expected = ShareRelays().run(lower(grouped, weights))
    assert nominal(two).counts().synapses == nominal(expected).counts().synapses


def test_keys_and_values_may_be_copied_differently():
    """Keys in pairs, values in fours: (g, r) and then r again."""
    spec = replace(MULTIHEAD, heads=8, model=16)
    weights = random_weights(spec, 1)
    weights["W_K"] = weights["W_K"][::2].repeat(2, axis=0)
    weights["W_V"] = weights["W_V"][::4].repeat(4, axis=0)
    before = ShareRelays().run(lower(spec, weights))
    after = merged(before)
    saved = 16 * (2 * 4 + 2 * 6) * 1024 + (2 * 4 + 2 * 6) * 1024
    cost = THIS.cost(nominal(before)) - THIS.cost(nominal(after))
    assert cost == saved  # synapses and cells of 4 heads' keys and 6 heads' values


def test_a_bias_that_differs_keeps_its_heads():
    spec = replace(MULTIHEAD, bias=Bias(key=True))
    spread, _, _ = copies(spec, 2, ("W_K", "W_V", "b_V"))
    spread["b_K"] = random_weights(spec, 9)["b_K"]
    after = merged(ShareRelays().run(lower(spec, spread)))
    assert after.population("value_relay").axes == ("g", "j", "c")
    assert after.population("key_relay").axes == ("g", "r", "j", "a")


def test_nearly_equal_heads_are_different():
    spread, _, _ = copies(MULTIHEAD, 2)
    for name in ("W_K", "W_V"):
        spread[name] = spread[name].copy()
        spread[name][1, 0, 0] = np.nextafter(spread[name][1, 0, 0], 9)
        spread[name][3, 0, 0] = np.nextafter(spread[name][3, 0, 0], 9)
    before = ShareRelays().run(lower(MULTIHEAD, spread))
    assert THIS.run(before) is before


def test_symbolic_heads_are_different():
    before = ShareRelays().run(lower(MULTIHEAD))
    assert THIS.run(before) is before


def test_an_axis_of_an_output_stays():
    spread, _, _ = copies(MULTIHEAD, 2)
    before = ShareRelays().run(lower(MULTIHEAD, spread))
    keys = replace(before.outputs[0], name="k", source=TensorRef("key_relay", ("h", "j", "a")))
    before = replace(before, outputs=(*before.outputs, keys))
    assert THIS.run(before) is before


# ---- equal tensors, populations and projections -----------------------------------------------------


def test_tied_weights():
    weights = random_weights(MULTIHEAD, 0)
    weights["W_Q"] = weights["W_K"].copy()
    before = lower(MULTIHEAD, weights)
    after = merged(before)
    assert [p.name for p in after.parameters] == ["W_Q", "W_V", "W_O"]
    single = dict(weights, W_Q=weights["W_K"].astype(np.float32))
    before = lower(MULTIHEAD, single)
    assert THIS.run(before) is before


def test_equal_formulas():
    """Queries and keys of one sequence turn alike: one rotation serves both."""
    after = merged(lower(replace(MULTIHEAD, rotary=Rotary(), tokens=5)))
    assert [p.name for p in after.parameters if p.formula] == ["R_Q"]


def twice(circuit: Circuit, name: str) -> Circuit:
    """`circuit` with a copy of one population, and of all it hears and says."""
    copied = replace(circuit.population(name), name=f"{name}_copy")
    heard = [
        replace(p, name=f"{p.name}_heard", post=copied.name) for p in circuit.projections_onto(name)
    ]
    said = [
        replace(p, name=f"{p.name}_said", pre=copied.name) for p in circuit.projections_from(name)
    ]
    return replace(
        circuit,
        populations=(*circuit.populations, copied),
        projections=(*circuit.projections, *heard, *said),
    )


def doubled_gain(circuit: Circuit, name: str) -> Circuit:
    double = Gain(2.0)
    return map_projections(
        circuit,
        lambda p: (
            replace(p, weight=replace(p.weight, gain=p.weight.gain * double))
            if p.pre == name
            else p
        ),
    )


@pytest.mark.parametrize("name", ["core_source", "superficial", "deep"])
@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
def test_equal_populations(name, concrete):
    spec = replace(MULTIHEAD, kernel=Kernel.LINEAR, mask=Mask.CAUSAL, bias=BIASED)
    lowered = lower(spec, random_weights(spec, 0) if concrete else None)
    assert merged(twice(lowered, name)) == doubled_gain(lowered, name)


def test_a_copied_output_is_read_from_the_first():
    lowered = lower(MULTIHEAD)
    two = twice(lowered, "relay")
    second = replace(lowered.outputs[0], name="z", source=TensorRef("relay_copy", ("i", "m")))
    after = merged(replace(two, outputs=(*two.outputs, second)))
    assert after.populations == lowered.populations
    assert [o.source.name for o in after.outputs] == ["relay", "relay"]


def different(circuit: Circuit, name: str, **changes) -> Circuit:
    """A circuit with a copy of a population that is not quite equal."""
    two = twice(circuit, name)
    return replace(
        two,
        populations=tuple(
            replace(p, **changes) if p.name == f"{name}_copy" else p for p in two.populations
        ),
    )


SQUARES = different(
    lower(replace(MULTIHEAD, kernel=Kernel.LINEAR, mask=Mask.CAUSAL)),
    "superficial",
    transfer="tanh",
)
UNMASKED = different(lower(replace(MULTIHEAD, mask=Mask.CAUSAL)), "mask", domain=())


@pytest.mark.parametrize("before", [SQUARES, UNMASKED], ids=["transfer", "domain"])
def test_different_populations_stay(before):
    check(before)
    assert THIS.run(before) is before


def test_sums_that_overflow_stay_apart():
    lowered = lower(MULTIHEAD)
    huge = Weight(gain=Gain(1.7e308))
    before = map_projections(lowered, lambda p: replace(p, weight=huge) if p.name == "shunt" else p)
    again = replace(next(p for p in before.projections if p.name == "shunt"), name="again")
    before = replace(before, projections=(*before.projections, again))
    assert THIS.run(before) is before


def test_golden(golden):
    spec = AttentionSpec(model=2, heads=2, microcircuit=Microcircuit.MASK, kernel=Kernel.LINEAR)
    spread, _, _ = copies(spec, 1)
    before = ShareRelays().run(lower(spec, spread))
    golden(
        f"# --passes merge-duplicates\n{before}\n# becomes\n{THIS.run(before)}",
        name="passes/merge_duplicates.txt",
    )


# ---- mutations ------------------------------------------------------------------------------------


def caught(monkeypatch, owner, helper, wrong, before):
    compare_meaning(before, THIS.run(before))
    monkeypatch.setattr(owner, helper, wrong)
    with pytest.raises(PassError):
        compare_meaning(before, THIS.run(before), backend="reference")


def test_forgetting_the_domain_is_caught(monkeypatch):
    right = module._identity

    def wrong(circuit, population):
        return right(circuit, replace(population, domain=()))

    caught(monkeypatch, module, "_identity", wrong, UNMASKED)


def test_forgetting_the_transfer_is_caught(monkeypatch):
    right = module._identity

    def wrong(circuit, population):
        return right(circuit, replace(population, transfer="identity"))

    caught(monkeypatch, module, "_identity", wrong, SQUARES)


def test_dropping_a_gain_is_caught(monkeypatch):
    before = twice(lower(MULTIHEAD), "core_source")
    caught(monkeypatch, module, "_with_coefficient", lambda projection, _: projection, before)


def test_taking_shapes_for_values_is_caught(monkeypatch):
    before = lower(MULTIHEAD, random_weights(MULTIHEAD, 0))
    wrong = lambda one, other: one.shape == other.shape  # noqa: E731
    caught(monkeypatch, module, "_same_numbers", wrong, before)


def test_copying_any_head_is_caught(monkeypatch):
    before = ShareRelays().run(lower(MULTIHEAD, random_weights(MULTIHEAD, 0)))
    caught(monkeypatch, copied_heads.HeadSplit, "_is_copied", lambda self, parameter: True, before)
