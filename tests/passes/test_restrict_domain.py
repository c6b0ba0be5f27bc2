"""restrict-domain: masks written on synapses remove microcolumns."""

from dataclasses import dataclass, replace

import pytest

import cortico.passes.restrict_domain as module
from cortico.ir import (
    Bound,
    CellClass,
    CircuitBuilder,
    Compartment,
    PassError,
    Region,
    Role,
    TensorRef,
    Weight,
    check,
)
from cortico.ir.domain import conjunction
from cortico.ir.rewrite import map_populations, map_projections
from cortico.lowering import lower
from cortico.passes.base import nominal
from cortico.passes.meaning import compare_meaning
from cortico.passes.restrict_domain import RestrictDomain
from cortico.passes.share_relays import ShareRelays
from cortico.spec import AttentionSpec, Kernel, Mask, Microcircuit, PositionBias
from tests.cases import CASES
from tests.covering import every_case

#: Memory circuits have no microcolumns for pairs of tokens.
MASKED = [
    case
    for case in CASES
    if case.spec.mask is not Mask.NONE and case.spec.microcircuit is Microcircuit.MASK
]


def on_synapses(circuit, names):
    """`circuit` with the domains of its populations moved to the projections called `names`."""
    domain = conjunction(*(p.domain for p in circuit.populations))
    circuit = map_projections(
        circuit, lambda p: replace(p, domain=domain) if p.name in names else p
    )
    return map_populations(circuit, lambda p: replace(p, domain=()))


def where_it_works(spec):
    """Projections that, bounded, make a mask: those that gate, or with a bias those that read."""
    biased = spec.kernel is Kernel.LINEAR and spec.position_bias is not PositionBias.NONE
    return {"output" if biased else "gate", "pool_mask"}


@pytest.mark.slow
@pytest.mark.parametrize("case", every_case())
@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
@pytest.mark.parametrize("shared", [False, True], ids=["alone", "after-share-relays"])
def test_lowered_circuits_are_restricted_already(case, concrete, shared):
    before = lower(case.spec, case.weights if concrete else None)
    before = ShareRelays().run(before) if shared else before
    after = RestrictDomain().run(before)
    check(after)
    compare_meaning(before, after)
    assert RestrictDomain().cost(nominal(after)) <= RestrictDomain().cost(nominal(before))
    assert RestrictDomain().run(after) is after


@pytest.mark.parametrize("case", every_case(MASKED))
@pytest.mark.parametrize("concrete", [True, False], ids=["concrete", "symbolic"])
@pytest.mark.parametrize(
    "names", ["where it works", {"output", "pool_mask"}], ids=["gate", "output"]
)
def test_restores_microcolumns(case, concrete, names):
    lowered = lower(case.spec, case.weights if concrete else None)
    before = on_synapses(lowered, where_it_works(case.spec) if names == "where it works" else names)
    check(before)
    compare_meaning(lowered, before)
    after = RestrictDomain().run(before)
    check(after)
    compare_meaning(before, after)
    assert after == lowered
    assert nominal(after).counts().neurons < nominal(before).counts().neurons
    assert RestrictDomain().run(after) is after


@pytest.mark.parametrize("case", every_case(MASKED))
def test_before_and_after_share_relays(case):
    lowered = lower(case.spec)
    before = on_synapses(lowered, where_it_works(case.spec))
    one = ShareRelays().run(RestrictDomain().run(before))
    assert one == ShareRelays().run(lowered)
    shared = ShareRelays().run(before)
    other = RestrictDomain().run(shared)
    compare_meaning(lowered, other)
    assert nominal(other).counts().neurons <= nominal(shared).counts().neurons


def test_closed_form():
    """n = 10 tokens, a window of 3: 27 microcolumns of 100, each of 4 + 1 + 4 cells and 2 heads."""
    spec = AttentionSpec(model=8, heads=2, tokens=10, mask=Mask.WINDOW, window=3)
    before = on_synapses(lower(spec), {"gate", "pool_mask"})
    after = RestrictDomain().run(before)
    fell = before.counts().neurons - after.counts().neurons
    assert fell == 2 * (4 + 1 + 4) * (100 - 27)


def test_golden(golden):
    spec = AttentionSpec(model=2, mask=Mask.CAUSAL)
    before = on_synapses(lower(spec), {"gate", "pool_mask"})
    after = RestrictDomain().run(before)
    golden(
        f"# --passes restrict-domain\n{before}\n# becomes\n{after}",
        name="passes/restrict_domain.txt",
    )


# ---- what must be left alone ----------------------------------------------------------------------


def pair_circuit(transfer="identity", drive=(), read=(), heard=(), second=()):
    """x[i] onto pair[i,j] inside `heard`, and inside `second`; read by y[i] inside `read`."""
    b = CircuitBuilder("pair")
    b.axis("i", Role.COLUMN, 4)
    b.axis("j", Role.COLUMN, 4)
    b.input("x", (4,))
    here = Compartment("driver", drive=(Weight(TensorRef("x", ("i",))),))
    b.population("x", ("i",), Region.CORE, CellClass.RELAY, [here])
    soma = Compartment("soma", drive=drive)
    b.population("pair", ("i", "j"), Region.L4, CellClass.STELLATE, [soma], transfer)
    b.population("y", ("i",), Region.L5, CellClass.PT, [Compartment("soma")])
    b.project("in", "x", "pair", "soma", domain=heard)
    if second:
        b.project("in_2", "x", "pair", "soma", domain=second)
    b.project("out", "pair", "y", "soma", domain=read)
    b.output("y", "y", ("i",))
    return b.build()


CAUSAL = (Bound("j", "i", 0),)
WIDER = (Bound("j", "i", 1),)


@pytest.mark.parametrize(
    "before, expected",
    [
        (pair_circuit(heard=CAUSAL), CAUSAL),
        (pair_circuit("tanh", heard=CAUSAL), CAUSAL),
        (pair_circuit("exp", heard=CAUSAL), ()),
        (pair_circuit("exp", read=CAUSAL), CAUSAL),
        (pair_circuit(heard=CAUSAL, drive=(Weight(),)), ()),
        (pair_circuit(heard=CAUSAL, second=WIDER), WIDER),
        (pair_circuit(heard=CAUSAL, second=(Bound("i", "j", 0),)), ()),
        (pair_circuit(heard=WIDER, read=CAUSAL), CAUSAL),
    ],
)
def test_rules(before, expected):
    after = RestrictDomain().run(before)
    check(after)
    compare_meaning(before, after, backend="reference")
    assert after.population("pair").domain == expected


def test_outputs_are_read_everywhere():
    before = pair_circuit("exp", read=CAUSAL)
    out = replace(before.outputs[0], name="pair", source=TensorRef("pair", ("i", "j")))
    before = replace(before, outputs=(*before.outputs, out))
    assert RestrictDomain().run(before) is before


def test_at_most_two_axes_are_tied():
    """The domain of `pair` ties i and j; a third axis k, bounded on one synapse, must not join."""
    b = CircuitBuilder("three")
    for axis in "ijk":
        b.axis(axis, Role.COLUMN, 3)
    b.input("x", (3,))
    here = Compartment("driver", drive=(Weight(TensorRef("x", ("i",))),))
    b.population("x", ("i",), Region.CORE, CellClass.RELAY, [here])
    parts = [Compartment("basal"), Compartment("apical")]
    b.population("cube", ("i", "j", "k"), Region.L4, CellClass.STELLATE, parts)
    b.population("y", ("i",), Region.L5, CellClass.PT, [Compartment("soma")])
    b.project("basal", "x", "cube", "basal", domain=CAUSAL)
    b.project("apical", "x", "cube", "apical", domain=(Bound("k", "j", 0),))
    b.project("out", "cube", "y", "soma")
    b.output("y", "y", ("i",))
    before = b.build()
    after = RestrictDomain().run(before)
    assert after is before  # with either bound in the domain, the other's synapses tie three axes


# ---- mutations ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    helper: str
    wrong: object
    circuit: object


def off_by_one(domains):
    right = module_loosest(domains)
    return tuple(replace(bound, offset=bound.offset - 1) for bound in right)


def of_first(domains):
    return next(iter(domains), ())


module_loosest = module._loosest

MUTANTS = {
    "off-by-one bound": Mutant("_loosest", off_by_one, pair_circuit(heard=CAUSAL)),
    "forward rule on exp": Mutant(
        "keeps_zero", lambda population: True, pair_circuit("exp", heard=CAUSAL)
    ),
    "a synapse ignored": Mutant("_loosest", of_first, pair_circuit(heard=CAUSAL, second=WIDER)),
}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS.keys())
def test_mutants_are_caught(monkeypatch, mutant):
    compare_meaning(mutant.circuit, RestrictDomain().run(mutant.circuit), backend="reference")
    monkeypatch.setattr(module, mutant.helper, mutant.wrong)
    with pytest.raises(PassError):
        compare_meaning(mutant.circuit, RestrictDomain().run(mutant.circuit), backend="reference")


def test_an_ignored_consumer_is_caught(monkeypatch):
    before = on_synapses(lower(AttentionSpec(model=2, mask=Mask.CAUSAL)), {"gate"})
    compare_meaning(before, RestrictDomain().run(before))  # the pool reads every mask cell
    monkeypatch.setattr(module, "_loosest", of_first)
    with pytest.raises(PassError):
        # reversed, so that `gate` is the first consumer of the mask cells and `pool_mask` ignored
        before = replace(before, projections=before.projections[::-1])
        compare_meaning(before, RestrictDomain().run(before))
