"""reassociate: linear attention becomes a memory, and nothing else does."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from cortico.backends import get_backend
from cortico.ir import Bound, PassError, SpecError, Weight, check
from cortico.lowering import lower
from cortico.passes import gated_product, reassociate
from cortico.passes.base import nominal
from cortico.passes.manager import run_passes
from cortico.passes.meaning import compare_meaning
from cortico.passes.reassociate import Reassociate
from cortico.passes.share_relays import ShareRelays
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit, PositionBias
from cortico.spec.weights import random_weights
from tests.cases import CASES
from tests.covering import every_case

REASSOCIATE = Reassociate()
LINEAR = AttentionSpec(model=4, heads=2, kernel=Kernel.LINEAR)


def is_rewritable(spec):
    return (
        spec.kernel is Kernel.LINEAR
        and not spec.mask.has_window
        and spec.position_bias is PositionBias.NONE
        and spec.soft_cap is None
        and spec.microcircuit is Microcircuit.MASK
    )


#: An extra source token keeps cells of its own beside the memory.
REWRITABLE = [c for c in CASES if is_rewritable(c.spec) and not c.spec.extra_source]


@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "after_share_relays"])
def test_keeps_every_output(case, concrete, shared):
    before = lower(case.spec, case.weights if concrete else None)
    before = ShareRelays().run(before) if shared else before
    after = REASSOCIATE.run(before)
    assert (after is not before) == is_rewritable(case.spec)
    assert REASSOCIATE.run(after) is after
    if after is not before:
        check(after)
        compare_meaning(before, after)
        assert REASSOCIATE.cost(nominal(after)) < REASSOCIATE.cost(nominal(before))


def structure(circuit):
    """All of a circuit but its names: cells and synapses by kind, with their counts."""
    counts = circuit.counts()
    roles = {a.name: (a.role, a.extent, a.unfold) for a in circuit.axes}
    cells = Counter(
        (
            tuple(sorted(map(str, (roles[a] for a in p.axes)))),
            (p.region, p.cell_class, p.transfer, len(p.compartments)),
            str(sorted(str(w) for c in p.compartments for w in c.drive)),
            str(counts.neurons_of[p.name]),
        )
        for p in circuit.populations
    )
    synapses = Counter(
        (str(p.weight), str(p.domain), str(counts.synapses_of[p.name])) for p in circuit.projections
    )
    return cells, synapses


@pytest.mark.parametrize("case", every_case(REWRITABLE))
def test_makes_the_memory_circuit_of_the_lowering(case):
    found = REASSOCIATE.run(lower(case.spec, case.weights))
    expected = lower(replace(case.spec, microcircuit=Microcircuit.MEMORY), case.weights)
    assert structure(found) == structure(expected)
    compare_meaning(expected, found)


def test_golden(golden):
    before = lower(replace(LINEAR, heads=1, mask=Mask.CAUSAL, key_padding=True))
    golden(
        f"# --passes reassociate\n{before}\n# becomes\n{REASSOCIATE.run(before)}",
        "passes/reassociate.txt",
    )


# ---- what it must show -----------------------------------------------------------------------------


def columns_of_pairs(circuit):
    return sum(1 for p in circuit.populations if {"i", "j"} <= set(p.axes))


def test_linear_attention_at_4096_tokens():
    """16.8 million microcolumns per head to none; synapses by the closed form; the same output."""
    spec = AttentionSpec(model=8, heads=2, tokens=4096, kernel=Kernel.LINEAR)
    weights = random_weights(spec)
    mask = lower(spec, weights)
    memory = REASSOCIATE.run(mask)
    heads, d, model = 2, 4, 8
    assert len(mask.area(0).microcolumns) == 4096**2 == 16_777_216
    assert mask.counts().neurons_of["superficial"] == heads * 4096**2 * d
    assert columns_of_pairs(mask) == 2
    assert columns_of_pairs(memory) == 0
    assert memory.area(0).microcolumns.axes == () or not len(memory.area(0).microcolumns)
    # key, value and query in, output out; store and recall between
    assert memory.counts().synapses == heads * d * d * (4 * model + 2)
    assert memory.counts().neurons == 3 * heads * d * d + 3 * model

    x = np.random.default_rng(0).standard_normal((4096, model))
    found = get_backend("numpy").run(memory, {"x": x})["y"]
    q, k, v = (np.einsum("ham,im->hia", weights[w], x) for w in ("W_Q", "W_K", "W_V"))
    heads_out = [q[h] @ k[h].T @ v[h] @ weights["W_O"][h].T for h in range(heads)]
    expected = sum(heads_out)
    assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()


def test_few_tokens_and_many_features_stay_a_mask():
    circuit = lower(AttentionSpec(model=64, heads=1, tokens=2, kernel=Kernel.LINEAR))
    assert REASSOCIATE.run(circuit) is circuit


def values_summed_over_the_key_axis():
    """One head whose values come from relay cells spread over the key axis `a`, of the model's size."""
    one = lower(replace(LINEAR, heads=1))
    source = next(p for p in one.populations if p.name == "core_source")
    drive = replace(
        source.compartments[0],
        drive=tuple(
            replace(w, tensor=replace(w.tensor, axes=("j", "a")))
            for w in source.compartments[0].drive
        ),
    )
    values = replace(source, name="core_value", axes=("j", "a"), compartments=(drive,))
    changed = []
    for p in one.projections:
        if p.name == "value":
            tensor = replace(p.weight.tensor, axes=("h", "c", "a"))
            changed.append(replace(p, pre="core_value", weight=Weight(tensor, p.weight.gain)))
        else:
            changed.append(p)
    result = replace(one, populations=(*one.populations, values), projections=tuple(changed))
    check(result)
    compare_meaning(one, result)
    return result


# ---- and back --------------------------------------------------------------------------------------


BACK = [c for c in CASES if c.spec.microcircuit is Microcircuit.MEMORY and not c.spec.extra_source]


@pytest.mark.parametrize("case", every_case(BACK))
@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "after_share_relays"])
def test_the_way_back_keeps_every_output(monkeypatch, case, concrete, shared):
    """At any price: the mask costs more."""
    before = lower(case.spec, case.weights if concrete else None)
    before = ShareRelays().run(before) if shared else before
    assert Reassociate("mask").run(before) is before
    (after,) = Reassociate("mask")._candidates(before)
    check(after)
    compare_meaning(before, after)
    if not shared:
        expected = lower(replace(case.spec, microcircuit=Microcircuit.MASK), case.weights)
        assert structure(after)[1] == structure(expected)[1]
        assert structure(after)[0] == structure(expected)[0]
        assert structure(REASSOCIATE.run(after)) == structure(before)


def test_a_memory_that_keeps_an_extra_source_token_stays():
    memory = lower(replace(LINEAR, microcircuit=Microcircuit.MEMORY, extra_source=True))
    assert not list(Reassociate("mask")._candidates(memory))


def test_few_tokens_go_back_to_the_mask():
    spec = AttentionSpec(model=64, heads=1, tokens=2, kernel=Kernel.LINEAR)
    memory = lower(replace(spec, microcircuit=Microcircuit.MEMORY))
    for direction in ("mask", "auto"):
        found = Reassociate(direction).run(memory)
        assert structure(found) == structure(lower(spec))
        compare_meaning(memory, found)
        assert Reassociate(direction).run(found) is found
    assert Reassociate("memory").run(memory) is memory


def test_an_unknown_direction():
    with pytest.raises(SpecError, match="must be one of memory, mask, auto, found 'maks'"):
        Reassociate("maks")


# ---- mutations -------------------------------------------------------------------------------------


def matches(change):
    """The pass with every match changed."""
    found = reassociate.gated_products
    return reassociate, "gated_products", lambda circuit: (change(m) for m in found(circuit))


def rewriting(change):
    """The pass with the match changed after it was found fit."""
    right = reassociate._to_memory
    return reassociate, "_to_memory", lambda circuit, m, *rest: right(circuit, change(m), *rest)


def sides(change):
    found = reassociate._sides
    return reassociate, "_sides", lambda *arguments: change(*found(*arguments))


MUTATIONS = {
    "forgets_the_causal_mask": matches(lambda m: replace(m, domain=())),
    "sees_one_token_ahead": matches(
        lambda m: replace(m, domain=tuple(Bound(b.left, b.right, b.offset + 1) for b in m.domain))
    ),
    "sees_one_token_less": matches(
        lambda m: replace(m, domain=tuple(Bound(b.left, b.right, b.offset - 1) for b in m.domain))
    ),
    "mirrors_the_causal_mask": rewriting(
        lambda m: replace(m, domain=tuple(Bound(b.right, b.left, b.offset) for b in m.domain))
    ),
    "loses_the_scale": matches(lambda m: replace(m, gate=replace(m.gate, weight=Weight()))),
    "loses_the_padding": sides(lambda source, query: (source[:-1], query)),
    "loses_the_values": sides(lambda source, query: (source[:1] + source[2:], query)),
    "squares_the_query": sides(lambda source, query: (source, query * 2)),
    "ignores_position_biases": (
        gated_product,
        "_is_gated_product",
        lambda circuit, path: path[0].name == "gate" and len(path) == 1,
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_wrong_pass_is_caught(monkeypatch, mutation):
    spec = replace(LINEAR, mask=Mask.CAUSAL, scale=0.3, key_padding=True)
    if mutation == "ignores_position_biases":
        spec = replace(spec, position_bias=PositionBias.ALIBI)
    circuit = lower(spec, random_weights(spec))
    monkeypatch.setattr(*MUTATIONS[mutation])
    # Seed 0 draws a padding mask that keeps every token.
    with pytest.raises(PassError):
        run_passes(circuit, [REASSOCIATE], lambda old, new: compare_meaning(old, new, seed=1))


def test_a_pass_that_lets_axes_clash_is_caught(monkeypatch):
    circuit = values_summed_over_the_key_axis()
    assert REASSOCIATE.run(circuit) is circuit
    monkeypatch.setattr(gated_product, "_others_are_plain", lambda circuit, path: True)
    with pytest.raises(PassError):
        run_passes(circuit, [REASSOCIATE], compare_meaning)


@pytest.mark.parametrize("mutation", ["forgets_the_causal_mask", "loses_the_scale"])
def test_a_wrong_way_back_is_caught(monkeypatch, mutation):
    spec = replace(LINEAR, mask=Mask.CAUSAL, scale=0.3, microcircuit=Microcircuit.MEMORY)
    circuit = lower(spec, random_weights(spec))
    monkeypatch.setattr(*MUTATIONS[mutation])
    (wrong,) = Reassociate("mask")._candidates(circuit)
    with pytest.raises(PassError):
        compare_meaning(circuit, wrong)
