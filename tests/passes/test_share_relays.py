"""share-relays: what many compute alike is computed once, and only where that saves synapses."""

from dataclasses import replace

import pytest

from cortico.ir import PassError
from cortico.lowering import lower
from cortico.passes import compare_meaning, share_relays
from cortico.passes.share_relays import ShareRelays
from cortico.spec import AttentionSpec, Kernel, Mask
from tests.cases import CASES


def test_golden(golden):
    before = lower(AttentionSpec(model=2, kernel=Kernel.LINEAR, tokens=8))
    after = ShareRelays().run(before)
    golden(f"# --passes share-relays\n{before}\n# becomes\n{after}", "passes/share_relays.txt")


@pytest.mark.parametrize("mask", [Mask.NONE, Mask.CAUSAL])
def test_synapses_by_hand(mask):
    """3·n²·d·D + n²·d·D synapses become 3·n·d·D + n·d·D and four relays of n²·d."""
    n, heads, d, width = 20, 3, 4, 12
    spec = AttentionSpec(model=width, heads=heads, kernel=Kernel.LINEAR, tokens=n, mask=mask)
    pairs = n * n if mask is Mask.NONE else n * (n + 1) // 2
    before = lower(spec)
    lateral = heads * pairs * d * d  # every superficial cell onto every deep cell of its column
    assert before.counts().synapses == 4 * heads * pairs * d * width + lateral
    after = ShareRelays().run(before).counts()
    # the lateral sum over superficial cells is computed once per column, too
    lateral = 2 * heads * pairs * d
    assert after.synapses == 4 * heads * n * d * width + 4 * heads * pairs * d + lateral


def test_nothing_to_save():
    """With one token there is nothing to share."""
    circuit = lower(AttentionSpec(model=2, tokens=1))
    assert ShareRelays().run(circuit) is circuit


CASE = {case.name: case for case in CASES}


def test_a_relay_that_forgets_an_axis_is_caught(monkeypatch):
    """Wrong variant: keys are taken to be the same for all source tokens."""
    case = CASE["softmax-mask_none"]
    right = share_relays.own_axes
    monkeypatch.setattr(share_relays, "own_axes", lambda *args: right(*args) - {"j"})
    circuit = lower(case.spec, case.weights)
    with pytest.raises(PassError):
        compare_meaning(circuit, ShareRelays().run(circuit))


def test_a_sum_that_ignores_a_bound_is_caught(monkeypatch):
    """Wrong variant: sources are collected before the mask of the projection is applied."""
    case = CASE["linear-mask_causal"]
    circuit = lower(case.spec, case.weights)
    deep = circuit.population("deep")
    # the causal bound stands on the synapses of the output instead of on the deep cells
    populations = [replace(p, domain=()) for p in circuit.populations]
    projections = [
        replace(p, domain=deep.domain) if p.name == "gate" else p for p in circuit.projections
    ]
    moved = replace(circuit, populations=tuple(populations), projections=tuple(projections))
    compare_meaning(circuit, moved)
    compare_meaning(moved, ShareRelays().run(moved))
    right = share_relays._relayed

    def unbounded(*args):
        result = right(*args)
        return replace(result, projections=tuple(replace(p, domain=()) for p in result.projections))

    monkeypatch.setattr(share_relays, "_relayed", unbounded)
    with pytest.raises(PassError):
        compare_meaning(moved, ShareRelays().run(moved))
