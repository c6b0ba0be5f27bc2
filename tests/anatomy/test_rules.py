"""Each rule speaks about a circuit built to break it, and is silent about one that does not."""

from dataclasses import dataclass

import pytest

from cortico import lower
from cortico.anatomy import Verdict, audit
from cortico.anatomy.rules import RULES
from cortico.learning import differentiate, gradient_circuit
from cortico.lowering import lower_model
from cortico.spec import AttentionSpec, Kernel, ModelSpec, Norm, Way
from cortico.spec.model import Branch, Layer, Stack, Step
from tests.anatomy.circuits import joined

SUPPORTED, CONTESTED, UNSUPPORTED, CONTRADICTED = Verdict


@dataclass(frozen=True)
class Case:
    rule: str
    verdict: Verdict
    breaks: tuple[str, ...]  #: the last link is the one judged
    keeps: tuple[str, ...]
    rows: tuple[str, ...]  #: that must be quoted
    across: tuple[str, ...] = ()  #: populations without an area axis


def case(rule, verdict, breaks, keeps, *rows, across=()):
    listed = (links if isinstance(links, tuple) else (links,) for links in (breaks, keeps))
    return Case(rule, verdict, *listed, rows, across)


CT_TO_CORE = "L6:pyramidal_ct > core:relay.driver"
PT_TO_RELAY = "L5:pyramidal_pt > higher_order:relay.driver"
PT_TO_AREA = "L5:pyramidal_pt > L4:stellate.basal"

CASES = (
    case(
        "pathways_are_published",
        SUPPORTED,
        "core:relay > L4:stellate.basal",
        "core:relay > L4:stellate.apical",
        "P01",
    ),
    case(
        "dendrites_are_as_published",
        CONTESTED,
        "L4:stellate > L2/3:pyramidal_it.apical",
        "L4:stellate > L2/3:pyramidal_it.basal",
        "P19",
    ),
    case(
        "compartments_are_dendrites",
        UNSUPPORTED,
        "L2/3:pyramidal_it > L5:pyramidal_it.error",
        "L2/3:pyramidal_it > L5:pyramidal_it.tuft",
    ),
    case(
        "superficial_cells_leave_thalamus_alone",
        CONTRADICTED,
        "L2/3:pyramidal_it > higher_order:relay.driver",
        PT_TO_RELAY,
        "P40",
    ),
    case(
        "superficial_cells_leave_thalamus_alone",
        CONTRADICTED,
        "L4:stellate > reticular:reticular.soma",
        "L4:stellate > L5:pyramidal_it.basal",
        "P40",
    ),
    case(
        "layer_five_drives_higher_order_thalamus",
        UNSUPPORTED,
        "L5:pyramidal_pt > core:relay.driver",
        PT_TO_RELAY,
        "P11",
    ),
    case(
        "layer_five_drives_higher_order_thalamus",
        CONTESTED,
        "L5:pyramidal_pt > matrix:relay.driver",
        "L5:pyramidal_it > matrix:relay.driver",
        "P11",
    ),
    case("layer_six_carries_no_content", CONTESTED, CT_TO_CORE, PT_TO_RELAY, "P13", "P12"),
    case(
        "reticular_cells_hear_layer_five_of_frontal_areas",
        CONTESTED,
        "L5:pyramidal_pt > reticular:reticular.soma",
        "L6:pyramidal_ct > reticular:reticular.soma",
        "P15",
    ),
    case(
        "deep_cells_have_one_target",
        CONTRADICTED,
        (PT_TO_AREA, PT_TO_RELAY),
        (PT_TO_RELAY, PT_TO_RELAY),
        "P28",
        across=("L4:stellate",),
    ),
    case(
        "deep_cells_have_one_target",
        CONTRADICTED,
        (PT_TO_RELAY, PT_TO_AREA),
        ("L5:pyramidal_it > L4:stellate.basal",),
        "P28",
        across=("L4:stellate",),
    ),
    case(
        "reticular_cells_stay_in_the_thalamus",
        CONTRADICTED,
        "reticular:reticular > L4:stellate.soma",
        "reticular:reticular > core:relay.soma",
        "P38",
    ),
    case(
        "relays_do_not_excite_relays",
        CONTRADICTED,
        "core:relay > higher_order:relay.driver",
        "core:relay > reticular:reticular.soma",
        "P39",
    ),
    case(
        "core_drives_middle_and_deep_layers",
        UNSUPPORTED,
        "core:relay > L2/3:pyramidal_it.apical",
        "matrix:relay > L2/3:pyramidal_it.apical",
        "P01",
        "P02",
        "P42",
    ),
    case(
        "core_drives_middle_and_deep_layers",
        UNSUPPORTED,
        "core:relay > L5:pyramidal_pt.apical",
        "core:relay > L5:pyramidal_pt.basal",
        "P02",
    ),
    case(
        "core_drives_middle_and_deep_layers",
        CONTESTED,
        "core:relay > L2/3:pyramidal_it.basal",
        "core:relay > L6:pyramidal_it.basal",
        "P42",
    ),
    case(
        "core_is_weak_on_corticothalamic_cells",
        CONTESTED,
        "core:relay > L6:pyramidal_ct.basal",
        "core:relay > L6:pyramidal_it.basal",
        "P04",
    ),
    case(
        "matrix_reaches_apical_tufts",
        UNSUPPORTED,
        "matrix:relay > L4:stellate.basal",
        "matrix:relay > L5:pyramidal_pt.apical",
        "P05",
    ),
    case(
        "matrix_reaches_apical_tufts",
        CONTESTED,
        "matrix:relay > L2/3:pyramidal_it.basal",
        "matrix:relay > L2/3:pyramidal_it.apical",
        "P08",
    ),
    case(
        "superficial_cells_reach_basal_dendrites",
        CONTESTED,
        "L2/3:pyramidal_it > L5:pyramidal_pt.apical",
        "L2/3:pyramidal_it > L5:pyramidal_pt.basal",
        "P21",
    ),
    case(
        "superficial_input_to_deep_parvalbumin_cells_is_sparse",
        CONTESTED,
        "L2/3:pyramidal_it > L5:pv.soma",
        "L5:pyramidal_it > L5:pv.soma",
        "P41",
    ),
    case(
        "deep_cells_are_weak_on_superficial_ones",
        CONTESTED,
        "L5:pyramidal_it > L2/3:pyramidal_it.basal",
        "L5:pyramidal_it > L5:pyramidal_pt.basal",
        "P24",
    ),
    case(
        "pyramidal_tract_cells_do_not_drive_their_neighbours",
        CONTESTED,
        "L5:pyramidal_pt > L5:pyramidal_it.basal",
        "L5:pyramidal_it > L5:pyramidal_pt.basal",
        "P23",
    ),
    case(
        "parvalbumin_cells_divide",
        CONTESTED,
        "L5:pv > L5:pyramidal_pt./shunt",
        "L5:sst > L5:pyramidal_pt.apical",
        "P29",
    ),
    case(
        "routes_between_areas_are_drivers_or_not",
        CONTESTED,
        "L2/3:pyramidal_it > L4:stellate.basal",
        "L2/3:pyramidal_it > L5:pyramidal_it.basal",
        "P37",
        across=("L4:stellate",),
    ),
)


def last(circuit):
    return circuit.projections[-1].name


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{case.breaks[-1]}")
def test_rule(case):
    broken = joined(*case.breaks, across=case.across)
    (found,) = (f for f in audit(broken).of(last(broken)) if f.rule == case.rule)
    assert found.verdict is case.verdict
    assert set(case.rows) <= {row.id for row in found.pathways}
    kept = joined(*case.keeps)
    assert case.rule not in {f.rule for f in audit(kept).findings}


def test_every_rule_is_tested():
    assert {rule.__name__ for rule in RULES} == {case.rule for case in CASES}


def test_what_no_row_speaks_about_is_unsupported():
    circuit = joined("L1:vip > L6:sst.soma")
    (found,) = audit(circuit).findings
    assert (found.rule, found.verdict) == ("nothing_is_published", UNSUPPORTED)
    assert found.pathways == ()
    assert "L1 vip" in found.statement and "L6 sst" in found.statement


def test_the_gravest_verdict_counts():
    circuit = joined(PT_TO_AREA, PT_TO_RELAY, across=("L4:stellate",))
    found = audit(circuit)
    assert [f.verdict for f in found.of("p1")] == [CONTRADICTED, SUPPORTED]
    assert found.verdicts["p1"] is CONTRADICTED


@pytest.mark.parametrize(
    ("link", "verdict"),
    [
        ("core:relay > L4:pv.soma", SUPPORTED),
        ("core:relay > reticular:reticular.soma", SUPPORTED),
        ("reticular:reticular > matrix:relay.soma", SUPPORTED),
        ("L6:pyramidal_ct > reticular:reticular.soma", SUPPORTED),
        ("L4:stellate > L2/3:pyramidal_it.basal", SUPPORTED),
        ("L5:sst > L5:pyramidal_pt.apical", SUPPORTED),
        ("matrix:relay > L2/3:pyramidal_it.tuft", SUPPORTED),
        ("L2/3:vip > L2/3:sst.soma", SUPPORTED),
        ("L5:pv > L2/3:pyramidal_it.soma", CONTESTED),  # not of one layer; and PV
        ("L2/3:pv > L2/3:pyramidal_it.soma", CONTESTED),
        ("L5:pyramidal_it > core:relay.driver", UNSUPPORTED),
    ],
)
def test_verdicts(link, verdict):
    assert audit(joined(link)).verdicts == {"p0": verdict}


def test_same_layer_pathways_do_not_cross_layers():
    """P29 is of one layer: across layers only the rule on PV cells speaks."""
    (found,) = audit(joined("L5:pv > L2/3:pyramidal_it.soma")).findings
    assert found.rule == "parvalbumin_cells_divide"


def test_local_pathways_do_not_cross_areas():
    links = ("L2/3:pyramidal_it > L5:pyramidal_it.basal",)
    assert audit(joined(*links)).verdicts == {"p0": SUPPORTED}
    across = audit(joined(*links, across=("L5:pyramidal_it",)))
    assert "pathways_are_published" not in {f.rule for f in across.findings}


def test_inputs_are_no_projections():
    circuit = lower(AttentionSpec(8, heads=2))
    assert {f.projection for f in audit(circuit).findings} == {p.name for p in circuit.projections}


def test_error_neurons_are_never_supported():
    learning = differentiate(lower(AttentionSpec(8, heads=2, kernel=Kernel.LINEAR)))
    circuit = gradient_circuit(learning)
    verdicts = audit(circuit).verdicts
    errors = {e.name for e in learning.errors}
    onto_errors = [p.name for p in circuit.projections if {p.pre, p.post} & errors]
    assert onto_errors
    assert {verdicts[name] for name in onto_errors} <= {UNSUPPORTED, CONTRADICTED}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("way", Way)
def test_a_residual_from_relay_to_relay_is_contradicted(way, times):
    """What attention gives comes from relay cells, which may drive deep cells and no relay cells."""
    step = Step((Branch(attention=AttentionSpec(8, heads=2)),), norm=Norm(8), way=way)
    made = lower_model(ModelSpec(Stack(8, (Layer((step,), times),))))
    verdicts = audit(made.flatten()).verdicts
    bad = {name for name, verdict in verdicts.items() if verdict is CONTRADICTED}
    onto = "carry" if way is Way.DEEP else "stream"
    joined_by = {f"layer_{k}_attention_residual_{onto}_branch" for k in range(times)}
    assert joined_by <= {*verdicts}
    assert bad & joined_by == (set() if way is Way.DEEP else joined_by)
    assert (
        way is Way.RELAY or not bad
    )  # the norm's L5 cells, not the stream, drive the next relay cells
