"""move-value-bias: b_V becomes part of the output bias where rows of the mask sum to one."""

from dataclasses import replace

import numpy as np
import pytest

from cortico.ir import PassError, check
from cortico.lowering import lower
from cortico.passes import move_value_bias
from cortico.passes.base import nominal
from cortico.passes.meaning import compare_meaning
from cortico.passes.move_value_bias import MoveValueBias
from cortico.passes.share_relays import ShareRelays
from cortico.spec import AttentionSpec, Bias, Kernel, Mask
from cortico.spec.weights import random_weights
from tests.cases import BIASED
from tests.covering import every_case

SOFT = AttentionSpec(model=4, heads=2, bias=BIASED, mask=Mask.CAUSAL)


def concrete(spec, relayed=False):
    circuit = lower(spec, random_weights(replace(spec, tokens=5)))
    return ShareRelays().run(circuit) if relayed else circuit


def names(circuit):
    return {parameter.name for parameter in circuit.parameters}


def movable(spec):
    normalised = spec.kernel is Kernel.SOFTMAX and not (spec.sink or spec.extra_source)
    normalised = normalised and not (spec.key_padding or spec.semi_saturation)
    return spec.bias.value and normalised


@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
def test_every_case(case, relayed):
    before = lower(case.spec, case.weights)
    before = ShareRelays().run(before) if relayed else before
    after = MoveValueBias().run(before)
    if not movable(case.spec):
        assert after is before
        return
    assert "b_V" not in names(after)
    check(after)
    compare_meaning(before, after)
    assert nominal(after).counts().synapses == nominal(before).counts().synapses
    assert MoveValueBias().run(after) is after


@pytest.mark.parametrize("case", every_case())
def test_symbolic_biases_stay(case):
    before = lower(case.spec)
    assert MoveValueBias().run(before) is before


def test_golden(golden):
    before = concrete(AttentionSpec(model=2, bias=Bias(value=True, output=True)))
    after = MoveValueBias().run(before)
    golden(
        f"# --passes move-value-bias\n{before}\n# becomes\n{after}",
        name="passes/move_value_bias.txt",
    )


@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
def test_the_new_bias_by_the_closed_form(relayed):
    spec = AttentionSpec(model=8, heads=4, kv_heads=2, bias=BIASED)
    before = concrete(spec, relayed)
    after = MoveValueBias().run(before)
    old = {p.name: p.values for p in before.parameters}
    expected = old["b_O"] + np.einsum("grmc,gc->m", old["W_O"], old["b_V"])
    assert names(after) == names(before) - {"b_V"}
    found = next(p for p in after.parameters if p.name == "b_O")
    np.testing.assert_allclose(found.values, expected, rtol=1e-14)


def test_without_an_output_bias_there_is_a_new_one():
    after = MoveValueBias().run(concrete(replace(SOFT, bias=Bias(value=True))))
    assert "W_O_b_V" in names(after)


def test_small_types_lose_nothing():
    before = lower(SOFT, random_weights(SOFT, dtype=np.float32))
    compare_meaning(before, MoveValueBias().run(before))


def test_rows_without_a_cell_are_not_moved():
    """Under i <= j - 1 the last query has no keys."""
    before = concrete(replace(SOFT, mask=Mask.NONE))
    bound = next(b for b in concrete(SOFT).population("mask").domain)
    strict = (replace(bound, offset=-1),)
    cells = [
        replace(p, domain=strict) if {"i", "j"} <= set(p.axes) else p for p in before.populations
    ]
    before = replace(before, populations=tuple(cells))
    check(before)
    assert MoveValueBias().run(before) is before


def _whatever_drives(circuit, cells, compartment):
    """The mistake of not looking at a constant beside the pool."""
    hears = circuit.projections_onto(cells.name, compartment.name)
    return circuit.population(hears[0].pre) if len(hears) == 1 else None


@pytest.mark.parametrize("relayed", [True, False], ids=["relayed", "plain"])
@pytest.mark.parametrize(
    ("helper", "wrong", "spec"),
    [
        ("_sums", lambda *_: True, replace(SOFT, sink=True)),
        ("_sums", lambda *_: True, replace(SOFT, extra_source=True)),
        ("_lone_source", _whatever_drives, replace(SOFT, semi_saturation=0.5)),
        (
            "_is_positive",
            lambda gate: gate.transfer == "exp" or gate.name == "gated_mask",
            replace(SOFT, key_padding=True, mask=Mask.WINDOW, window=1),
        ),
        ("_rows_that_sum_to_one", lambda *_: ("j",), replace(SOFT, kernel=Kernel.LINEAR)),
    ],
    ids=[
        "past a sink",
        "past an extra source",
        "past a semi-saturation",
        "with padding",
        "unnormalised",
    ],
)
def test_mutants_are_caught(helper, wrong, spec, relayed, monkeypatch):
    before = concrete(spec, relayed)
    monkeypatch.setattr(move_value_bias, helper, wrong)
    after = MoveValueBias().run(before)
    assert after is not before
    with pytest.raises(PassError, match="changed its output"):
        for seed in range(5):  # the first may draw no dead token
            compare_meaning(before, after, seed=seed)
