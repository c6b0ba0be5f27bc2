"""serialize: neurons for steps, and only where no step hears the future."""

from dataclasses import replace

import pytest

from cortico.ir import PassError, SpecError, Unfold, check
from cortico.ir.domain import EVERYWHERE
from cortico.ir.rewrite import map_populations
from cortico.lowering import lower
from cortico.passes import serialize
from cortico.passes.base import nominal
from cortico.passes.manager import run_passes
from cortico.passes.meaning import compare_meaning
from cortico.passes.reassociate import Reassociate
from cortico.passes.serialize import Serialize
from cortico.passes.share_relays import ShareRelays
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit
from tests.covering import every_case

SOFT = AttentionSpec(model=6, heads=2)
CAUSAL = replace(SOFT, mask=Mask.CAUSAL)


def in_time(circuit):
    return {axis.name for axis in circuit.axes if axis.in_time}


@pytest.mark.slow
@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("axis", ["queries", "tokens"])
@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "after_share_relays"])
def test_keeps_every_output(case, axis, concrete, shared):
    before = lower(case.spec, case.weights if concrete else None)
    before = ShareRelays().run(before) if shared else before
    this = Serialize(axis)
    after = this.run(before)
    assert this.run(after) is after
    memory = case.spec.microcircuit is Microcircuit.MEMORY
    causal = case.spec.mask in (Mask.CAUSAL, Mask.WINDOW)
    assert (after is not before) == (not memory and (axis == "queries" or causal))
    if after is not before:
        check(after)
        compare_meaning(before, after)
        assert this.cost(nominal(after)) < this.cost(nominal(before))


@pytest.mark.parametrize("mask", [Mask.NONE, Mask.CAUSAL])
@pytest.mark.parametrize("tokens", [1, 7, 4096])
def test_serial_queries_need_a_column_per_source_token(mask, tokens):
    circuit = Serialize("queries").run(lower(replace(SOFT, mask=mask, tokens=tokens)))
    assert in_time(circuit) == {"i"}
    neurons = circuit.counts().neurons_of
    assert neurons["superficial"] == neurons["deep"] == 2 * tokens * 3
    assert neurons["mask"] == 2 * tokens
    assert neurons["pool"] == 2
    assert neurons["matrix_query"] == neurons["relay"] == 6
    assert neurons["core_source"] == tokens * 6
    assert len(circuit.area(0).microcolumns) == tokens


@pytest.mark.parametrize("tokens", [1, 4096])
def test_streamed_causal_tokens_need_one_column(tokens):
    circuit = Serialize("tokens").run(lower(replace(CAUSAL, tokens=tokens)))
    assert in_time(circuit) == {"i", "j"}
    assert circuit.counts().neurons == 2 * (3 + 3 + 1 + 1) + 3 * 6


def test_a_query_that_hears_all_tokens_cannot_stream():
    for spec in (SOFT, replace(SOFT, kernel=Kernel.LINEAR), replace(SOFT, cross=True)):
        circuit = lower(spec)
        assert Serialize("tokens").run(circuit) is circuit


@pytest.mark.parametrize("mask", [Mask.NONE, Mask.CAUSAL])
def test_a_memory_streams_whether_it_is_full_first_or_runs_along(mask):
    """Back in space, a memory circuit may stream: its queries and sources meet causally or never."""
    streamed = lower(
        replace(SOFT, mask=mask, kernel=Kernel.LINEAR, microcircuit=Microcircuit.MEMORY)
    )
    axes = tuple(replace(axis, unfold=Unfold.SPACE) for axis in streamed.axes)
    assert Serialize("tokens").run(replace(streamed, axes=axes)) == streamed


def test_a_memory_that_sees_the_future_cannot_stream():
    streamed = lower(
        replace(SOFT, mask=Mask.CAUSAL, kernel=Kernel.LINEAR, microcircuit=Microcircuit.MEMORY)
    )
    axes = tuple(replace(axis, unfold=Unfold.SPACE) for axis in streamed.axes)
    late = tuple(
        replace(p, domain=tuple(replace(b, offset=1) for b in p.domain))
        for p in streamed.projections
    )
    circuit = replace(streamed, axes=axes, projections=late)
    assert Serialize("tokens").run(circuit) is circuit


def test_reassociate_leaves_nothing_to_serialize():
    circuit = Reassociate().run(lower(replace(CAUSAL, kernel=Kernel.LINEAR)))
    assert Serialize("tokens").run(circuit) is circuit


def test_an_unknown_axis():
    with pytest.raises(SpecError, match="must be queries or tokens, found 'querys'"):
        Serialize("querys")


def test_golden(golden):
    before = lower(replace(SOFT, heads=1, mask=Mask.CAUSAL))
    golden(
        f"# --passes serialize\n{before}\n# becomes\n{Serialize().run(before)}",
        "passes/serialize.txt",
    )


MUTATIONS = {
    # A serial query that hears whatever is presented, the future too.
    "forgets_the_domain": lambda p: replace(p, domain=EVERYWHERE),
    # A serial query that hears only itself and what came before its last token.
    "lags_behind": lambda p: replace(
        p, domain=tuple(replace(b, offset=b.offset - 1) for b in p.domain)
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_wrong_pass_is_caught(monkeypatch, mutation):
    right = serialize._in_time

    def wrong(circuit, names):
        after = right(circuit, names)
        return after if after is circuit else map_populations(after, MUTATIONS[mutation])

    monkeypatch.setattr(serialize, "_in_time", wrong)
    with pytest.raises(PassError):
        run_passes(lower(CAUSAL), [Serialize()], compare_meaning)
