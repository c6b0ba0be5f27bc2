"""drop-softmax-shift: the key bias goes, all else stays."""

from dataclasses import replace

import pytest

from cortico.ir import PassError, check
from cortico.lowering import lower
from cortico.passes import drop_softmax_shift
from cortico.passes.base import nominal
from cortico.passes.drop_softmax_shift import DropSoftmaxShift
from cortico.passes.meaning import compare_meaning
from cortico.passes.share_relays import ShareRelays
from cortico.spec import AttentionSpec, Bias, Kernel, Mask, Rotary
from tests.cases import BIASED
from tests.covering import every_case

SOFT = AttentionSpec(model=4, heads=2, bias=BIASED, mask=Mask.CAUSAL)


def names(circuit):
    return {parameter.name for parameter in circuit.parameters}


@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
def test_every_case(case, concrete, relayed):
    before = lower(case.spec, case.weights if concrete else None)
    before = ShareRelays().run(before) if relayed else before
    after = DropSoftmaxShift().run(before)
    norm = case.spec.qk_norm
    added = case.spec.bias.key if norm is None else norm.bias  # last to the keys that meet queries
    expected = case.spec.kernel is Kernel.SOFTMAX and added
    expected = (
        expected and not (case.spec.sink or case.spec.extra_source) and case.spec.rotary is None
    )
    expected = expected and case.spec.soft_cap is None and not case.spec.semi_saturation
    name = "b_K" if norm is None else "shift_K"
    assert names(before) - names(after) == ({name} if expected else set())
    if not expected:
        assert after is before
        return
    check(after)
    compare_meaning(before, after)
    assert nominal(after).counts().synapses <= nominal(before).counts().synapses
    assert DropSoftmaxShift().run(after) is after


def test_golden(golden):
    before = lower(AttentionSpec(model=2, bias=Bias(query=True, key=True)))
    after = DropSoftmaxShift().run(before)
    golden(
        f"# --passes drop-softmax-shift\n{before}\n# becomes\n{after}",
        name="passes/drop_softmax_shift.txt",
    )


def test_a_relay_with_another_listener_keeps_its_bias():
    before = ShareRelays().run(lower(replace(SOFT, tokens=4)))
    relay = next(p for p in before.projections if p.name == "key_relay")
    again = replace(relay, name="key_again", compartment="basal")
    before = replace(before, projections=(*before.projections, again))
    check(before)
    assert DropSoftmaxShift().run(before) is before


@pytest.mark.parametrize("options", [{"sink": True}, {"semi_saturation": 0.5}], ids=str)
def test_what_is_beside_the_pool_keeps_the_key_bias(options):
    before = lower(replace(SOFT, **options))
    assert DropSoftmaxShift().run(before) is before


@pytest.mark.parametrize(
    ("helper", "wrong", "spec"),
    [
        ("_shifts_alone", lambda group: True, replace(SOFT, sink=True)),
        ("_shifts_alone", lambda group: True, replace(SOFT, semi_saturation=0.5)),
        ("_arrives_alike", lambda *_: True, replace(SOFT, model=8, rotary=Rotary())),
        ("_across", lambda cells, group: {"i"}, SOFT),
        ("current_axes", lambda *_: set(), replace(SOFT, bias=Bias(query=True))),
    ],
    ids=[
        "ignores the sink",
        "ignores the semi-saturation",
        "ignores rotation",
        "drops the query bias",
        "ignores the other factor",
    ],
)
@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
def test_mutants_are_caught(helper, wrong, spec, relayed, monkeypatch):
    before = ShareRelays().run(lower(spec)) if relayed else lower(spec)
    monkeypatch.setattr(drop_softmax_shift, helper, wrong)
    after = DropSoftmaxShift().run(before)
    assert after is not before
    with pytest.raises(PassError, match="changed its output"):
        compare_meaning(before, after)
